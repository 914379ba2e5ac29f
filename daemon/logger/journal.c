/*
 * A field is NAME=value and a newline, or, for a value that may hold anything,
 * NAME, a newline, its length as 64 bits little-endian, the value, a newline.
 */
#include "logger/journal.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "logger/lines.h"

#define JOURNAL_PATIENCE_S 5
#define PRIORITY_INFO	   "PRIORITY=6\n"
#define PRIORITY_ERR	   "PRIORITY=3\n"
#define PARTIAL		   "CONTAINER_PARTIAL_MESSAGE=true\n"

int
journal_open(struct journal *j, const char *socket_path, const char *ns, const char *id,
    const char *tag, struct err *err)
{
	const struct timeval patience = {.tv_sec = JOURNAL_PATIENCE_S};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int n;

	*j = (struct journal){.fd = -1, .sa = {.sun_family = AF_UNIX}};
	if (fd == -1)
		return err_set(err, errno, "socket");
	if (strlen(socket_path) >= sizeof j->sa.sun_path)
		return err_setx(err, ENAMETOOLONG, "path '%s' is too long", socket_path);
	memcpy(j->sa.sun_path, socket_path, strlen(socket_path) + 1);
	if (connect(fd, (const struct sockaddr *)&j->sa, sizeof j->sa) == -1)
		return err_set(err, errno, "no journald at '%s'", socket_path);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	n = snprintf(j->fields, sizeof j->fields,
	    "SYSLOG_IDENTIFIER=%s\nCONTAINER_ID=%s\nCONTAINER_NAMESPACE=%s\n", tag, id,
	    ns);
	if (n < 0 || (size_t)n >= sizeof j->fields)
		return err_setx(err, ENAMETOOLONG, "names are too long");
	j->fields_len = (size_t)n;
	j->fd = steal_fd(&fd);
	return 0;
}

/* One that is stuck is waited for once; then not until it takes something. */
static int
journal_packet(struct journal *j, const struct msghdr *msg)
{
	int flags = MSG_NOSIGNAL | (j->stuck ? MSG_DONTWAIT : 0);

	while (sendmsg(j->fd, msg, flags) == -1) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			j->stuck = true;
		return -errno;
	}
	j->stuck = false;
	return 0;
}

static int
journal_send(struct journal *j, bool is_stderr, const struct line *line)
{
	uint64_t len = htole64(line->len);
	/* sendmsg() reads only */
	union {
		const void *in;
		void *out;
	} fixed = {.in = is_stderr ? PRIORITY_ERR : PRIORITY_INFO},
	  partial = {.in = PARTIAL}, name = {.in = "MESSAGE\n"},
	  text = {.in = line->text}, end = {.in = "\n"};
	struct iovec iov[] = {
	    {j->fields, j->fields_len},
	    {fixed.out, strlen(PRIORITY_INFO)},
	    {partial.out, line->partial ? strlen(PARTIAL) : 0},
	    {name.out, strlen("MESSAGE\n")},
	    {&len, sizeof len},
	    {text.out, line->len},
	    {end.out, 1},
	};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_LEN(iov)};
	int rc = journal_packet(j, &msg);

	if (rc != -ECONNREFUSED && rc != -ENOTCONN && rc != -ECONNRESET && rc != -EPIPE)
		return rc;
	/* journald's socket was made anew, or will be */
	if (connect(j->fd, (const struct sockaddr *)&j->sa, sizeof j->sa) == -1)
		return -errno;
	return journal_packet(j, &msg);
}

bool
journal_tell(struct journal *j)
{
	char text[200];
	int n;

	if (j->lost_lines == 0)
		return true;
	n = snprintf(text, sizeof text,
	    "podshim-logger: %" PRIu64 " lines, %" PRIu64 " bytes are missing here: %s",
	    j->lost_lines, j->lost_bytes, strerror(j->lost_errno));
	if (journal_send(
		j, true, &(struct line){.text = text, .len = n > 0 ? (size_t)n : 0}) < 0)
		return false;
	j->lost_lines = j->lost_bytes = 0;
	return true;
}

void
journal_line(struct journal *j, bool is_stderr, const struct line *line)
{
	int rc = journal_tell(j) ? journal_send(j, is_stderr, line) : -j->lost_errno;

	if (rc == 0)
		return;
	j->lost_errno = -rc;
	j->lost_lines++;
	j->lost_bytes += line->len;
}

void
journal_close(struct journal *j)
{
	fd_close(&j->fd);
}

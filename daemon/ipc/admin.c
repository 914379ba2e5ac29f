/*
 * The asking side of the admin socket, and sockets by directory and name.
 *
 * A pod's directory can be longer than sun_path, so its sockets are bound and
 * reached as /proc/self/fd/<dirfd>/<name>. The one who answers is the keeper
 * (keeper/admin_server.c).
 */
#include "ipc/admin.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/channel.h"
#include "ipc/msg.h"

#define LISTEN_BACKLOG 128

static int
address_at(struct sockaddr_un *sa, int dirfd, const char *name, struct err *err)
{
	int n;

	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(
	    sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
	if (n < 0 || (size_t)n >= sizeof sa->sun_path)
		return err_setx(err, ENAMETOOLONG, "socket name '%s' is too long", name);
	return 0;
}

int
unix_listen_at(int dirfd, const char *name, int type, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	int rc;

	if (fd == -1)
		return err_set(err, errno, "socket");
	rc = address_at(&sa, dirfd, name, err);
	if (rc < 0)
		return rc;
	/* the mode that the new socket file gets, whatever the umask */
	if (fchmod(fd, 0600) == -1)
		return err_set(err, errno, "chmod socket '%s'", name);
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == -1)
		return err_set(err, errno, "bind '%s'", name);
	if (listen(fd, LISTEN_BACKLOG) == -1) {
		rc = err_set(err, errno, "listen at '%s'", name);
		(void)unlinkat(dirfd, name, 0);
		return rc;
	}
	return steal_fd(&fd);
}

int
unix_connect_at(int dirfd, const char *name, int type, int timeout_ms, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	boot_us_t end = clock_boot_us() + (boot_us_t)timeout_ms * US_PER_MS;
	struct sockaddr_un sa;
	int rc;

	if (fd == -1)
		return err_set(err, errno, "socket");
	rc = address_at(&sa, dirfd, name, err);
	if (rc < 0)
		return rc;
	/* EAGAIN: the backlog is full, and nothing tells when it is not */
	while (connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return err_set(err, errno, "connect to '%s'", name);
		if (clock_boot_us() >= end)
			return err_set(err, ETIMEDOUT, "connect to '%s'", name);
		(void)poll(NULL, 0, 5);
	}
	return steal_fd(&fd);
}

/* Ask, and wait for REPLY. 0, or what the keeper said, or -errno. */
static int
admin_ask(int dirfd, enum msg_type type, const char *name, int pass_fd, int timeout_ms,
    char **text, struct err *err)
{
	_Alignas(8) char body[512];
	struct msg_head head = {.type = (uint16_t)type};
	boot_us_t end = clock_boot_us() + (boot_us_t)timeout_ms * US_PER_MS, now;
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *buf = NULL;
	int fds[MSG_FDS_MAX], rc;
	size_t i, n_fds = 0, len = 0;
	const char *said;

	fd = unix_connect_at(dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, timeout_ms, err);
	if (fd < 0)
		return fd;
	if (msg_put_str(body, sizeof body, &len, MF_NAME, name) < 0)
		return err_setx(err, EINVAL, "name is too long");
	head.len = (uint32_t)len;
	rc = packet_send(fd, &head, body, &pass_fd, pass_fd >= 0 ? 1 : 0);
	if (rc < 0)
		return err_set(err, -rc, "ask the keeper");
	buf = aligned_alloc(8, MSG_PACKET_MAX);
	if (buf == NULL)
		return err_set(err, ENOMEM, "ask the keeper");
	now = clock_boot_us();
	rc = packet_recv(fd, now < end ? (int)((end - now) / US_PER_MS) : 0, &head, buf,
	    MSG_PACKET_MAX, fds, &n_fds);
	if (rc < 0)
		return err_set(err, -rc, "wait for the keeper's answer");
	for (i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	if (head.type != MSG_REPLY || head.a > 4095)
		return err_setx(err, EBADMSG, "the keeper's answer makes no sense");
	said = msg_get_str(&head, buf, MF_TEXT);
	if (head.a != 0)
		return err_setx(
		    err, (int)head.a, "%s", said != NULL ? said : strerror((int)head.a));
	if (text != NULL) {
		*text = strdup(said != NULL ? said : "");
		if (*text == NULL)
			return err_set(err, ENOMEM, "the keeper's answer");
	}
	return 0;
}

int
admin_pin(int dirfd, const char *id, int timeout_ms, struct err *err)
{
	int rc = admin_ask(dirfd, MSG_PIN, id, -1, timeout_ms, NULL, err);

	/* it closed instead of answering: it is on its way out */
	if (rc == -EPIPE)
		return err_setx(err, EAGAIN, "the keeper is ending");
	return rc;
}

int
admin_status(int dirfd, int timeout_ms, char **text, struct err *err)
{
	return admin_ask(dirfd, MSG_STATUS, NULL, -1, timeout_ms, text, err);
}

int
admin_detail(int dirfd, int timeout_ms, char **text, struct err *err)
{
	return admin_ask(dirfd, MSG_DETAIL, NULL, -1, timeout_ms, text, err);
}

void
admin_clean(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

char *
admin_status_get(const char *text, const char *key)
{
	size_t len = strlen(key);
	const char *line, *eol;

	for (line = text; *line != '\0'; line = eol + (*eol != '\0')) {
		eol = line + strcspn(line, "\n");
		if (strncmp(line, key, len) == 0 && line[len] == '=')
			return strndup(line + len + 1, (size_t)(eol - line) - len - 1);
	}
	return NULL;
}

int
admin_upgrade(int dirfd, int exe_fd, int timeout_ms, char **text, struct err *err)
{
	return admin_ask(dirfd, MSG_UPGRADE, NULL, exe_fd, timeout_ms, text, err);
}

int
admin_restart(int dirfd, int timeout_ms, char **text, struct err *err)
{
	return admin_ask(dirfd, MSG_RESTART, NULL, -1, timeout_ms, text, err);
}

int
admin_end(int dirfd, int timeout_ms, struct err *err)
{
	return admin_ask(dirfd, MSG_END, NULL, -1, timeout_ms, NULL, err);
}

int
admin_dump(int dirfd, int timeout_ms, char **text, struct err *err)
{
	return admin_ask(dirfd, MSG_DUMP, NULL, -1, timeout_ms, text, err);
}

/*
 * The keeper's connection reader: bytes as a client might send them, in
 * pieces, with each request answered at once or left open. Whatever comes, the
 * connection stays open and every budget returns to zero.
 */
#include "fuzz.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "keeper/conn.h"
#include "keeper/limits.h"

static struct loop *loop;
static struct conns *conns;
static struct sockaddr_un sun = {.sun_family = AF_UNIX};
static socklen_t sun_len;

static void
on_request(struct conn *c, uint32_t stream, struct blob *blob, void *arg)
{
	size_t len = blob->len;

	(void)arg;
	(void)blob_request_timeout_ns(blob);
	if (stream % 4 == 1)
		conn_answer(c, stream, "\x12\x00", 2, blob);
	else
		conn_answer_status(c, stream, STATUS_UNIMPLEMENTED, "no", blob);
	blob_fini(blob);
	conn_uncharge(c, len);
}

static bool
is_open(struct conn *c, uint32_t stream, void *arg)
{
	(void)c;
	(void)arg;
	return stream == 7;
}

static void
on_closed(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void
on_flushed(void *arg)
{
	(void)arg;
}

static void
begin(void)
{
	static const struct conns_ops ops = {on_request, is_open, on_closed, on_flushed};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	log_init("fuzz", "", "/dev/null");
	sun_len = (socklen_t)offsetof(struct sockaddr_un, sun_path) +
	    (socklen_t)snprintf(sun.sun_path + 1, sizeof sun.sun_path - 1,
		"podshim-fuzz-%d", (int)getpid()) +
	    1;
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, sun_len) == -1 ||
	    listen(fd, 8) == -1)
		abort();
	loop = loop_new();
	conns = conns_new(loop, fd, &ops, NULL);
	assert(loop != NULL && conns != NULL);
}

static void
turn(unsigned times)
{
	while (times-- > 0)
		loop_once(loop, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char answers[4096];
	size_t at = 0;
	unsigned i;
	int fd;

	if (loop == NULL)
		begin();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sun_len) == -1)
		abort();
	while (at < size) {
		/* the bytes themselves choose the pieces */
		size_t n = 1 + (size_t)data[at] * 7;
		ssize_t sent;

		if (n > size - at)
			n = size - at;
		sent = send(fd, data + at, n, MSG_NOSIGNAL);
		assert(sent > 0 || errno == EAGAIN);
		at += sent > 0 ? (size_t)sent : 0;
		turn(2);
		while (recv(fd, answers, sizeof answers, 0) > 0)
			;
		assert(errno == EAGAIN); /* not closed */
	}
	fd_close(&fd);
	/* the first pass accepts it, if there were no bytes to send */
	for (i = 0; i < 50 && (i < 3 || conns_count(conns) > 0); i++)
		turn(1);
	turn(1);
	assert(
	    conns_count(conns) == 0 && conns_charged(conns) == 0 && !conns_busy(conns));
	return 0;
}

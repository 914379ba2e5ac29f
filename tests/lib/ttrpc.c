/*
 * The test client's frames. It owns the socket and a list of answers that
 * arrived for streams nobody asked for yet, so that a test may send fifty
 * requests and read the answers in any order.
 */
#include "tests/lib/ttrpc.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_LEN 10u

struct pending {
	struct pending *next;
	struct ttrpc_reply r;
};

struct ttrpc {
	int fd;
	uint32_t next_stream;
	struct pending *first, **last;
};

void
ttrpc_reply_fini(struct ttrpc_reply *r)
{
	free(r->text);
	free(r->frame);
	*r = (struct ttrpc_reply){0};
}

struct ttrpc *
ttrpc_from_fd(int fd)
{
	struct ttrpc *t = calloc(1, sizeof *t);

	if (!t)
		abort();
	t->fd = fd;
	t->next_stream = 1;
	t->last = &t->first;
	return t;
}

struct ttrpc *
ttrpc_connect(const char *path, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;

	if (strncmp(path, "unix://", 7) == 0)
		path += 7;
	if (strlen(path) >= sizeof sa.sun_path) {
		err_setx(err, ENAMETOOLONG, "socket path '%s' is too long", path);
		return NULL;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		err_set(err, errno, "connect '%s'", path);
		return NULL;
	}
	return ttrpc_from_fd(steal_fd(&fd));
}

void
ttrpc_free(struct ttrpc *t)
{
	if (!t)
		return;
	while (t->first) {
		struct pending *p = t->first;

		t->first = p->next;
		ttrpc_reply_fini(&p->r);
		free(p);
	}
	fd_close(&t->fd);
	free(t);
}

int
ttrpc_fd(struct ttrpc *t)
{
	return t->fd;
}

int
ttrpc_send_raw(struct ttrpc *t, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = send(t->fd, p, len, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
put_be32(uint8_t *out, uint32_t v)
{
	out[0] = (uint8_t)(v >> 24);
	out[1] = (uint8_t)(v >> 16);
	out[2] = (uint8_t)(v >> 8);
	out[3] = (uint8_t)v;
}

static uint32_t
get_be32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 |
	    in[3];
}

int
ttrpc_send_frame(struct ttrpc *t, uint32_t len, uint32_t stream, uint8_t type,
    uint8_t flags, const void *payload, size_t payload_len)
{
	struct pb frame = PB_INIT;
	uint8_t head[HEAD_LEN];
	int rc;

	put_be32(head, len);
	put_be32(head + 4, stream);
	head[8] = type;
	head[9] = flags;
	pb_raw(&frame, head, sizeof head);
	pb_raw(&frame, payload, payload_len);
	rc = ttrpc_send_raw(t, frame.data, frame.len);
	pb_fini(&frame);
	return rc;
}

void
ttrpc_encode_request(struct pb *out, const char *service, const char *method,
    const void *payload, size_t len, int64_t timeout_ns)
{
	pb_str(out, 1, service);
	pb_str(out, 2, method);
	if (len > 0)
		pb_bytes(out, 3, payload, len);
	pb_u64(out, 4, (uint64_t)timeout_ns);
}

int
ttrpc_send(struct ttrpc *t, const char *service, const char *method, const struct pb *msg,
    int64_t timeout_ns, uint32_t *stream)
{
	struct pb req = PB_INIT;
	int rc;

	ttrpc_encode_request(&req, service, method, msg ? msg->data : NULL,
	    msg ? msg->len : 0, timeout_ns);
	*stream = t->next_stream;
	t->next_stream += 2;
	rc = ttrpc_send_frame(t, (uint32_t)req.len, *stream, 1, 0, req.data, req.len);
	pb_fini(&req);
	return rc;
}

/* Exactly len bytes, or -ETIMEDOUT, or -EPIPE at the end of file. */
static int
read_full(int fd, uint8_t *buf, size_t len, boot_us_t deadline)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		boot_us_t now = clock_boot_us();
		ssize_t n;

		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, (int)((deadline - now) / 1000) + 1) <= 0)
			continue;
		n = recv(fd, buf + got, len - got, MSG_DONTWAIT);
		if (n == 0)
			return -EPIPE;
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			got += (size_t)n;
	}
	return 0;
}

static int
read_reply(struct ttrpc *t, boot_us_t deadline, struct ttrpc_reply *r)
{
	struct pb_view v, status;
	uint8_t head[HEAD_LEN];
	int rc;

	rc = read_full(t->fd, head, sizeof head, deadline);
	if (rc < 0)
		return rc;
	*r = (struct ttrpc_reply){0};
	r->frame_len = get_be32(head);
	r->stream = get_be32(head + 4);
	r->type = head[8];
	r->flags = head[9];
	if (r->frame_len > 64u * 1024 * 1024)
		return -EPROTO;
	r->frame = malloc(r->frame_len + 1);
	if (!r->frame)
		abort();
	rc = read_full(t->fd, r->frame, r->frame_len, deadline);
	if (rc < 0) {
		ttrpc_reply_fini(r);
		return rc;
	}
	v = (struct pb_view){r->frame, r->frame_len};
	if (r->type == 1) { /* a request: we serve */
		(void)pb_get_bytes(v, 3, 0, &r->payload);
		return 0;
	}
	if (!pb_valid(v)) {
		ttrpc_reply_fini(r);
		return -EBADMSG;
	}
	if (pb_get_bytes(v, 1, 0, &status)) {
		r->code = (int)pb_get_u64(status, 1);
		r->text = pb_get_str(status, 2);
	} else {
		r->text = strdup("");
	}
	(void)pb_get_bytes(v, 2, 0, &r->payload);
	return 0;
}

static bool
take_pending(struct ttrpc *t, uint32_t stream, struct ttrpc_reply *r)
{
	for (struct pending **pp = &t->first; *pp; pp = &(*pp)->next) {
		struct pending *p = *pp;

		if (stream != 0 && p->r.stream != stream)
			continue;
		*r = p->r;
		*pp = p->next;
		if (!p->next)
			t->last = pp;
		free(p);
		return true;
	}
	return false;
}

static void
keep_pending(struct ttrpc *t, const struct ttrpc_reply *r)
{
	struct pending *p = calloc(1, sizeof *p);

	if (!p)
		abort();
	p->r = *r;
	*t->last = p;
	t->last = &p->next;
}

int
ttrpc_recv(struct ttrpc *t, uint32_t stream, int timeout_ms, struct ttrpc_reply *r)
{
	boot_us_t deadline = clock_boot_us() + (boot_us_t)timeout_ms * US_PER_MS;
	int rc;

	if (take_pending(t, stream, r))
		return 0;
	for (;;) {
		rc = read_reply(t, deadline, r);
		if (rc < 0 || stream == 0 || r->stream == stream)
			return rc;
		keep_pending(t, r);
	}
}

int
ttrpc_call(struct ttrpc *t, const char *service, const char *method, const struct pb *msg,
    int timeout_ms, struct ttrpc_reply *r)
{
	uint32_t stream;
	int rc;

	rc = ttrpc_send(t, service, method, msg, (int64_t)timeout_ms * 1000000, &stream);
	/* Longer than what the peer is told, so that its own answer to that arrives,
	 * however late on a busy machine: this only ends what hangs. */
	return rc < 0 ? rc : ttrpc_recv(t, stream, timeout_ms + 30000, r);
}

int
ttrpc_wait_close(struct ttrpc *t, int timeout_ms)
{
	boot_us_t deadline = clock_boot_us() + (boot_us_t)timeout_ms * US_PER_MS;
	struct ttrpc_reply r;
	int rc;

	while ((rc = read_reply(t, deadline, &r)) == 0)
		keep_pending(t, &r);
	return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
}

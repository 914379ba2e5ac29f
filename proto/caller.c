/*
 * See caller.h. One buffer collects what arrives, so that a deadline in the
 * middle of a frame loses nothing of it: the next call goes on where this one
 * stopped.
 */
#include "proto/caller.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

#define CONNECT_RETRY_MS 5
#define READ_AHEAD	 4096u

struct answer {
	TAILQ_ENTRY(answer) link;
	uint32_t stream;
	uint8_t *body; /* not looked into before somebody wants it */
	size_t len;
};
TAILQ_HEAD(answers, answer);

struct caller {
	int fd;
	uint32_t next_stream;
	struct answers kept;
	uint8_t *in; /* bytes that are no whole frame yet */
	size_t in_len;
	size_t in_cap;
};

void
caller_reply_fini(struct caller_reply *r)
{
	free(r->text);
	free(r->payload);
	*r = (struct caller_reply){0};
}

/* --- the socket ----------------------------------------------------------------- */

static int
caller_poll(const struct caller *c, short events, boot_us_t end)
{
	struct pollfd pfd = {.fd = c->fd, .events = events};
	boot_us_t now, ms;
	int n;

	for (;;) {
		now = clock_boot_us();
		if (now >= end)
			return -ETIMEDOUT;
		ms = (end - now) / US_PER_MS + 1;
		n = poll(&pfd, 1, ms > INT_MAX ? INT_MAX : (int)ms);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -errno;
	}
}

int
caller_connect(const char *path, boot_us_t end, struct caller **out, struct err *err)
{
	AUTO_CLOSE int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct caller *c;

	if (fd == -1)
		return err_set(err, errno, "socket");
	if (strlen(path) >= sizeof sa.sun_path)
		return err_set(err, ENAMETOOLONG, "connect to '%s'", path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	while (connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		/* EAGAIN: the backlog is full, and nothing tells when it is not */
		if (errno != EAGAIN && errno != EINTR)
			return err_set(err, errno, "connect to '%s'", path);
		if (clock_boot_us() >= end)
			return err_set(err, ETIMEDOUT, "connect to '%s'", path);
		(void)poll(NULL, 0, CONNECT_RETRY_MS);
	}
	c = mem_zalloc(sizeof *c);
	c->fd = steal_fd(&fd);
	c->next_stream = 1;
	TAILQ_INIT(&c->kept);
	*out = c;
	return 0;
}

static void
answer_free(struct caller *c, struct answer *a)
{
	TAILQ_REMOVE(&c->kept, a, link);
	free(a->body);
	free(a);
}

void
caller_free(struct caller *c)
{
	struct answer *a;

	if (c == NULL)
		return;
	while ((a = TAILQ_FIRST(&c->kept)) != NULL)
		answer_free(c, a);
	fd_close(&c->fd);
	free(c->in);
	free(c);
}

int
caller_fd(const struct caller *c)
{
	return c->fd;
}

/* --- out ------------------------------------------------------------------------- */

static int
caller_write(const struct caller *c, const void *buf, size_t len, boot_us_t end)
{
	const char *p = buf;
	ssize_t n;
	int rc;

	while (len > 0) {
		n = send(c->fd, p, len, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = caller_poll(c, POLLOUT, end);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
caller_send(struct caller *c, const char *service, const char *method,
    const ProtobufCMessage *msg, boot_us_t tell, boot_us_t end, uint32_t *stream,
    struct err *err)
{
	Ttrpc__Request request = TTRPC__REQUEST__INIT;
	AUTO_FREE char *own_service = mem_strdup(service),
		       *own_method = mem_strdup(method);
	AUTO_FREE void *payload = NULL;
	AUTO_FREE void *body = NULL;
	AUTO_FREE uint8_t *frame = NULL;
	struct frame_head head = {.stream = c->next_stream, .type = FRAME_REQUEST};
	boot_us_t now = clock_boot_us();
	size_t len;
	int rc;

	wire_pack(msg, &payload, &len);
	request.service = own_service;
	request.method = own_method;
	request.payload.data = payload;
	request.payload.len = len;
	if (tell != 0)
		request.timeout_nano = now < tell ? (int64_t)(tell - now) * 1000 : 1;
	wire_pack(&request.base, &body, &len);
	if (len > FRAME_PAYLOAD_MAX)
		return err_set(err, EMSGSIZE, "%s", method);
	head.len = (uint32_t)len;
	frame = mem_zalloc(FRAME_HEAD_LEN + len);
	frame_head_encode(frame, &head);
	memcpy(frame + FRAME_HEAD_LEN, body, len);
	rc = caller_write(c, frame, FRAME_HEAD_LEN + len, end);
	if (rc < 0)
		return err_set(err, -rc, "send %s", method);
	*stream = c->next_stream;
	c->next_stream += 2;
	return 0;
}

/* --- in -------------------------------------------------------------------------- */

/* Until in[] has at least `want` bytes. */
static int
caller_fill(struct caller *c, size_t want, boot_us_t end)
{
	ssize_t n;
	int rc;

	while (c->in_len < want) {
		if (c->in_cap < want + READ_AHEAD) {
			c->in_cap = want + READ_AHEAD;
			c->in = mem_realloc(c->in, c->in_cap);
		}
		n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
		if (n == 0)
			return -EPIPE;
		if (n > 0) {
			c->in_len += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = caller_poll(c, POLLIN, end);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
reply_decode(const uint8_t *body, size_t len, struct caller_reply *out)
{
	Ttrpc__Response *r = ttrpc__response__unpack(NULL, len, body);

	if (r == NULL)
		return -EBADMSG;
	*out = (struct caller_reply){
	    .status = r->status == NULL ? STATUS_OK : r->status->code,
	    .text = mem_strdup(r->status == NULL ? "" : r->status->message),
	    .payload = mem_dup(r->payload.data, r->payload.len),
	    .len = r->payload.len,
	};
	ttrpc__response__free_unpacked(r, NULL);
	return 0;
}

/*
 * Read one frame. An answer to something that we asked is kept; what is of
 * another kind, or for nobody, is skipped.
 */
static int
caller_read_frame(struct caller *c, boot_us_t end)
{
	struct frame_head head;
	struct answer *a;
	int rc;

	rc = caller_fill(c, FRAME_HEAD_LEN, end);
	if (rc < 0)
		return rc;
	frame_head_decode(&head, c->in);
	if (head.len > FRAME_PAYLOAD_MAX)
		return -EPROTO;
	rc = caller_fill(c, FRAME_HEAD_LEN + head.len, end);
	if (rc < 0)
		return rc;
	if (head.type == FRAME_RESPONSE && head.stream % 2 == 1 &&
	    head.stream < c->next_stream) {
		a = mem_zalloc(sizeof *a);
		a->stream = head.stream;
		a->body = mem_dup(c->in + FRAME_HEAD_LEN, head.len);
		a->len = head.len;
		TAILQ_INSERT_TAIL(&c->kept, a, link);
	}
	c->in_len -= FRAME_HEAD_LEN + head.len;
	memmove(c->in, c->in + FRAME_HEAD_LEN + head.len, c->in_len);
	return 0;
}

/* 1 and *out; 0: it is not among those kept. */
static int
caller_take(struct caller *c, uint32_t stream, struct caller_reply *out)
{
	struct answer *a;
	int rc;

	TAILQ_FOREACH (a, &c->kept, link) {
		if (a->stream != stream)
			continue;
		rc = reply_decode(a->body, a->len, out);
		answer_free(c, a);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

int
caller_take_in(struct caller *c, struct err *err)
{
	int rc;

	while ((rc = caller_read_frame(c, 0)) == 0)
		;
	return rc == -ETIMEDOUT ? 0 : err_set(err, -rc, "wait for an answer");
}

int
caller_recv(struct caller *c, uint32_t stream, boot_us_t end, struct caller_reply *out,
    struct err *err)
{
	int rc;

	for (;;) {
		rc = caller_take(c, stream, out);
		if (rc > 0)
			return 0;
		if (rc == 0)
			rc = end == 0 ? -ETIMEDOUT : caller_read_frame(c, end);
		if (rc < 0)
			return err_set(err, -rc, "wait for the answer");
	}
}

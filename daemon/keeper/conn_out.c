/*
 * Answers on their way to a connection. What its socket does not take is
 * queued; a peer that does not read its answers is not read either. It may
 * have asked for much before that, so what waits for it is bounded by itself:
 * beyond, the answer is a short one that says so.
 *
 * An answer's memory is got before its first byte is sent. If there is none,
 * the memory of its own request holds a short one that says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/log.h"
#include "keeper/conn_int.h"
#include "keeper/limits.h"

/* A unix socket takes as much whole, or nothing of it. */
#define WHOLE_MAX 16384u

_Static_assert(sizeof(struct out) + FRAME_HEAD_LEN + 32 <= BLOB_ROOM, "a short answer");

/* Is there room for an answer that the socket does not take? */
static bool
conn_may_queue(const struct conn *c, size_t len)
{
	size_t own = c->unwritten + len;

	/* takes no more than its request did, or than a refusal would */
	if (len <= LIMIT_OVERHEAD)
		return true;
	return own <= LIMIT_CONN_BYTES &&
	    (own <= LIMIT_CONN_SHARE || c->cs->unwritten + len <= LIMIT_POD_BYTES);
}

/* How much the socket took, or -errno. */
static ssize_t
conn_send(struct conn *c, struct iovec *iov, size_t n)
{
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent;

	do
		sent = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? 0 : -errno;
}

/* Writing is over for good: close from the loop, not under our caller. */
static void
conn_break(struct conn *c)
{
	c->broken = true;
	event_active(&c->ev_read, EV_READ, 1);
}

static void
conn_pause_check(struct conn *c)
{
	bool pause = c->unwritten > LIMIT_CONN_UNWRITTEN;

	if (pause == c->paused)
		return;
	c->paused = pause;
	if (pause)
		(void)event_del(&c->ev_read);
	else
		conn_watch(c, &c->ev_read);
}

void
conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct out *out;

	(void)fd;
	(void)what;
	while ((out = c->out) != NULL) {
		struct iovec iov = {out->data + out->off, out->len - out->off};
		ssize_t n = conn_send(c, &iov, 1);

		if (n < 0) {
			conn_close(c);
			return;
		}
		out->off += (size_t)n;
		c->unwritten -= (size_t)n;
		c->cs->unwritten -= (size_t)n;
		if (out->off < out->len) {
			conn_watch(c, &c->ev_write);
			conn_pause_check(c);
			return;
		}
		c->out = out->next;
		free(out);
	}
	c->out_tail = &c->out;
	c->deaf = false;
	conn_pause_check(c);
	c->cs->ops->on_flushed(c->cs->arg);
}

/* Keep for later what the socket did not take of two pieces. Takes out. */
static void
conn_queue(struct conn *c, struct out *out, const struct iovec iov[2], size_t done)
{
	size_t i;

	out->next = NULL;
	out->off = 0;
	out->len = 0;
	for (i = 0; i < 2; i++) {
		size_t skip = done < iov[i].iov_len ? done : iov[i].iov_len;

		memcpy(out->data + out->len, (char *)iov[i].iov_base + skip,
		    iov[i].iov_len - skip);
		out->len += iov[i].iov_len - skip;
		done -= skip;
	}
	*c->out_tail = out;
	c->out_tail = &out->next;
	c->unwritten += out->len;
	c->cs->unwritten += out->len;
	conn_watch(c, &c->ev_write);
	conn_pause_check(c);
}

/*
 * Send, or queue: if malloc() has no memory for that, in that of a request
 * (NULL: none). 0, or with nothing of it sent -ENOMEM, or -ENOBUFS: too much
 * is queued already.
 */
static int
conn_write(struct conn *c, uint32_t stream, const void *payload, size_t len,
    struct blob *request)
{
	struct frame_head head = {
	    .len = (uint32_t)len, .stream = stream, .type = FRAME_RESPONSE};
	uint8_t head_buf[FRAME_HEAD_LEN];
	const size_t total = sizeof head_buf + len;
	struct out *out = NULL;
	struct iovec iov[2];
	ssize_t sent = 0;

	frame_head_encode(head_buf, &head);
	iov[0] = (struct iovec){head_buf, sizeof head_buf};
	iov[1] = (struct iovec){(void *)(uintptr_t)payload, len};
	if (total > WHOLE_MAX) {
		out = malloc(sizeof *out + total);
		if (out == NULL)
			return -ENOMEM;
	}
	if (c->out == NULL) {
		sent = conn_send(c, iov, len > 0 ? 2 : 1);
		if (sent < 0)
			conn_break(c);
		if (sent < 0 || (size_t)sent == total) {
			free(out);
			return 0;
		}
	}
	/* what was begun is ended */
	if (sent == 0 && !conn_may_queue(c, total)) {
		free(out);
		return -ENOBUFS;
	}
	if (out == NULL)
		out = malloc(sizeof *out + total);
	if (out == NULL && request != NULL && sizeof *out + total <= BLOB_ROOM)
		out = blob_steal(request);
	if (out != NULL) {
		conn_queue(c, out, iov, (size_t)sent);
		return 0;
	}
	if (sent == 0)
		return -ENOMEM;
	log_errx("connection %u: no memory for the rest of an answer, closing it", c->id);
	conn_break(c);
	return 0;
}

void
conn_answer_status(struct conn *c, uint32_t stream, enum status_code code,
    const char *text, struct blob *request)
{
	uint8_t buf[STATUS_RESPONSE_MAX];
	size_t len;

	if (c->closed || c->broken)
		return;
	len = status_encode_response(buf, sizeof buf, code, text);
	if (conn_write(c, stream, buf, len, request) == 0)
		return;
	len = status_encode_response(buf, sizeof buf, code, "");
	if (conn_write(c, stream, buf, len, request) == 0)
		return;
	/* a frame that was no request, of a peer that does not read */
	log_errx("connection %u: no memory for an answer, closing it", c->id);
	conn_break(c);
}

void
conn_answer(struct conn *c, uint32_t stream, const void *response, size_t len,
    struct blob *request)
{
	int rc;

	if (c->closed || c->broken)
		return;
	if (len > FRAME_PAYLOAD_MAX) {
		log_errx("connection %u: an answer of %zu bytes does not fit a frame",
		    c->id, len);
		conn_answer_status(
		    c, stream, STATUS_INTERNAL, "answer is too large", request);
		return;
	}
	rc = conn_write(c, stream, response, len, NULL);
	if (rc == 0)
		return;
	if (rc == -ENOBUFS && !c->deaf) {
		c->deaf = true;
		log_warnx("connection %u: %zu bytes of answers are not read, refusing "
			  "more",
		    c->id, c->unwritten);
	}
	conn_answer_status(c, stream, STATUS_RESOURCE_EXHAUSTED,
	    rc == -ENOBUFS ? "too many bytes of unread answers" : "out of memory",
	    request);
}

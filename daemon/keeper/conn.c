/*
 * Connections. An idle one owns no buffer: bytes are read into the stack and
 * go straight to the frame they belong to. A frame that cannot be kept (too
 * long, budget spent, no memory) is still read to its last byte, then answered.
 *
 * Budgets count bytes, not requests: a thousand Waits must not keep the Kill
 * that would end them from being read. A peer that does not read its answers
 * is not read either.
 */
#include "keeper/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "keeper/limits.h"
#include "proto/frame.h"

struct out {
	struct out *next;
	size_t len, off;
	uint8_t data[];
};

/* What becomes of the payload that is being read. */
enum fate {
	FATE_KEEP,   /* a request */
	FATE_IGNORE, /* unknown type, or data that we have no use for */
	FATE_REFUSE, /* answer with refuse_code at its end */
};

struct conn {
	struct conns *cs;
	TAILQ_ENTRY(conn) link;
	uint32_t id;
	int fd;
	struct event *ev_read;
	struct event *ev_write;
	uint32_t last_stream;
	bool closed;
	bool broken; /* writing failed */
	bool paused; /* not read: it does not read us */
	/* the frame in hand */
	uint8_t head_buf[FRAME_HEAD_LEN];
	size_t head_len;
	struct frame_head head;
	size_t left; /* of its payload */
	enum fate fate;
	enum status_code refuse_code;
	const char *refuse_text;
	struct blob blob;
	/* answers */
	struct out *out, **out_tail;
	size_t unwritten;
	size_t charged;
	struct request_list requests;
	struct grave grave;
};

struct conns {
	struct loop *loop;
	const struct conns_ops *ops;
	void *arg;
	int listen_fd;
	struct event *ev_accept;
	struct event *ev_resume; /* accept again after a pause */
	TAILQ_HEAD(, conn) all;
	size_t n;
	size_t charged;
	uint32_t last_id;
};

/* --- budget ---------------------------------------------------------------- */

static bool
conn_charge(struct conn *c, size_t len)
{
	size_t cost = len + LIMIT_OVERHEAD;

	if (c->cs->charged + cost > LIMIT_POD_BYTES ||
	    c->charged + cost > LIMIT_CONN_BYTES)
		return false;
	c->charged += cost;
	c->cs->charged += cost;
	return true;
}

void
conns_uncharge(struct conns *cs, size_t len)
{
	cs->charged -= len + LIMIT_OVERHEAD;
}

void
conn_uncharge(struct conn *c, size_t len)
{
	c->charged -= len + LIMIT_OVERHEAD;
	conns_uncharge(c->cs, len);
}

/* --- closing --------------------------------------------------------------- */

static void
conn_release(void *arg)
{
	free(arg);
}

static void
conn_close(struct conn *c)
{
	struct conns *cs = c->cs;
	struct out *out;

	if (c->closed)
		return;
	c->closed = true;
	event_free(c->ev_read);
	event_free(c->ev_write);
	fd_close(&c->fd);
	if (c->fate == FATE_KEEP && c->left > 0)
		conn_uncharge(c, c->blob.want);
	blob_fini(&c->blob);
	while ((out = c->out) != NULL) {
		c->out = out->next;
		free(out);
	}
	/* answers that nobody reads; requests stay charged until answered */
	cs->charged -= c->unwritten;
	c->unwritten = 0;
	TAILQ_REMOVE(&cs->all, c, link);
	cs->n--;
	cs->ops->on_closed(c, cs->arg);
	loop_bury(cs->loop, &c->grave, conn_release, c);
	if (cs->ev_accept != NULL && cs->n + 1 == LIMIT_CONNS)
		(void)event_add(cs->ev_accept, NULL);
}

/* --- writing --------------------------------------------------------------- */

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
	event_active(c->ev_read, EV_READ, 1);
}

static void
conn_pause_check(struct conn *c)
{
	bool pause = c->unwritten > LIMIT_CONN_UNWRITTEN;

	if (pause == c->paused)
		return;
	c->paused = pause;
	if (pause)
		(void)event_del(c->ev_read);
	else
		(void)event_add(c->ev_read, NULL);
}

static void
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
		c->cs->charged -= (size_t)n;
		if (out->off < out->len) {
			(void)event_add(c->ev_write, NULL);
			conn_pause_check(c);
			return;
		}
		c->out = out->next;
		free(out);
	}
	c->out_tail = &c->out;
	conn_pause_check(c);
	c->cs->ops->on_flushed(c->cs->arg);
}

/* Keep for later what the socket did not take of two pieces. */
static int
conn_queue(struct conn *c, const struct iovec iov[2], size_t done)
{
	size_t i, total = iov[0].iov_len + iov[1].iov_len;
	struct out *out = malloc(sizeof *out + total - done);

	if (out == NULL)
		return -ENOMEM;
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
	c->cs->charged += out->len;
	(void)event_add(c->ev_write, NULL);
	conn_pause_check(c);
	return 0;
}

/* 0, or -ENOMEM with nothing of it sent. */
static int
conn_write(struct conn *c, uint32_t stream, const void *payload, size_t len)
{
	struct frame_head head = {
	    .len = (uint32_t)len, .stream = stream, .type = FRAME_RESPONSE};
	uint8_t head_buf[FRAME_HEAD_LEN];
	struct iovec iov[2], rest[2];
	ssize_t sent = 0;

	frame_head_encode(head_buf, &head);
	iov[0] = (struct iovec){head_buf, sizeof head_buf};
	iov[1] = (struct iovec){(void *)(uintptr_t)payload, len};
	memcpy(rest, iov, sizeof rest);
	if (c->out == NULL) {
		sent = conn_send(c, iov, len > 0 ? 2 : 1);
		if (sent < 0) {
			conn_break(c);
			return 0;
		}
		if ((size_t)sent == sizeof head_buf + len)
			return 0;
	}
	if (conn_queue(c, rest, (size_t)sent) == 0)
		return 0;
	if (sent == 0)
		return -ENOMEM;
	log_errx("connection %u: no memory for the rest of an answer, closing it", c->id);
	conn_break(c);
	return 0;
}

void
conn_answer_status(
    struct conn *c, uint32_t stream, enum status_code code, const char *text)
{
	uint8_t buf[STATUS_RESPONSE_MAX];
	size_t len;

	if (c->closed || c->broken)
		return;
	len = status_encode_response(buf, sizeof buf, code, text);
	if (conn_write(c, stream, buf, len) < 0) {
		log_errx("connection %u: no memory for an answer, closing it", c->id);
		conn_break(c);
	}
}

void
conn_answer(struct conn *c, uint32_t stream, const void *response, size_t len)
{
	if (c->closed || c->broken)
		return;
	if (len > FRAME_PAYLOAD_MAX) {
		log_errx("connection %u: an answer of %zu bytes does not fit a frame",
		    c->id, len);
		conn_answer_status(c, stream, STATUS_INTERNAL, "answer is too large");
		return;
	}
	if (conn_write(c, stream, response, len) < 0)
		conn_answer_status(c, stream, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

/* --- reading --------------------------------------------------------------- */

static void
conn_refuse(struct conn *c, enum status_code code, const char *text)
{
	c->fate = FATE_REFUSE;
	c->refuse_code = code;
	c->refuse_text = text;
}

static void
conn_begin_request(struct conn *c)
{
	int rc;

	if (c->head.stream % 2 != 1) {
		conn_refuse(c, STATUS_INVALID_ARGUMENT,
		    "StreamID must be odd for client initiated streams");
		return;
	}
	if (c->head.stream <= c->last_stream) {
		conn_refuse(c, STATUS_INVALID_ARGUMENT,
		    "StreamID cannot be re-used and must increment");
		return;
	}
	c->last_stream = c->head.stream;
	if (!conn_charge(c, c->head.len)) {
		conn_refuse(c, STATUS_RESOURCE_EXHAUSTED,
		    "too many bytes of unanswered requests");
		return;
	}
	rc = blob_begin(&c->blob, c->head.len);
	if (rc < 0) {
		conn_uncharge(c, c->head.len);
		conn_refuse(c, STATUS_RESOURCE_EXHAUSTED, "no room for the request");
		return;
	}
	c->fate = FATE_KEEP;
}

/* The ten bytes are in: decide what becomes of the payload. */
static void
conn_begin_frame(struct conn *c)
{
	frame_head_decode(&c->head, c->head_buf);
	c->left = c->head.len;
	c->fate = FATE_IGNORE;
	if (c->head.len > FRAME_PAYLOAD_MAX) {
		conn_refuse(
		    c, STATUS_RESOURCE_EXHAUSTED, "message is larger than 4194304 bytes");
		return;
	}
	if (c->head.type == FRAME_REQUEST)
		conn_begin_request(c);
	else if (c->head.type == FRAME_DATA &&
	    !c->cs->ops->is_open(c, c->head.stream, c->cs->arg))
		conn_refuse(c, STATUS_INVALID_ARGUMENT, "StreamID is no longer active");
}

static void
conn_end_frame(struct conn *c)
{
	struct blob blob = c->blob;
	enum fate fate = c->fate;

	c->head_len = 0;
	c->fate = FATE_IGNORE;
	c->blob = BLOB_NONE;
	switch (fate) {
	case FATE_IGNORE: break;
	case FATE_REFUSE:
		conn_answer_status(c, c->head.stream, c->refuse_code, c->refuse_text);
		break;
	case FATE_KEEP:
		if (blob_finish(&blob) < 0) {
			conn_uncharge(c, blob.want);
			blob_fini(&blob);
			conn_answer_status(c, c->head.stream, STATUS_RESOURCE_EXHAUSTED,
			    "no room for the request");
			break;
		}
		c->cs->ops->on_request(c, c->head.stream, &blob, c->cs->arg);
		break;
	}
}

static void
conn_payload(struct conn *c, const uint8_t *p, size_t n)
{
	c->left -= n;
	if (c->fate != FATE_KEEP || blob_append(&c->blob, p, n) == 0)
		return;
	/* the memfd ran into a limit: read on, refuse at the end */
	conn_uncharge(c, c->blob.want);
	blob_fini(&c->blob);
	conn_refuse(c, STATUS_RESOURCE_EXHAUSTED, "no room for the request");
}

/* Feed bytes; a frame may end and the next begin anywhere in them. */
static void
conn_input(struct conn *c, const uint8_t *p, size_t n)
{
	size_t take;

	while (!c->closed) {
		if (c->head_len < FRAME_HEAD_LEN) {
			if (n == 0)
				return;
			take = FRAME_HEAD_LEN - c->head_len;
			take = take < n ? take : n;
			memcpy(c->head_buf + c->head_len, p, take);
			c->head_len += take;
			p += take;
			n -= take;
			if (c->head_len < FRAME_HEAD_LEN)
				return;
			conn_begin_frame(c);
		}
		take = c->left < n ? c->left : n;
		if (take > 0)
			conn_payload(c, p, take);
		p += take;
		n -= take;
		if (c->left > 0)
			return;
		conn_end_frame(c);
	}
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint8_t buf[16384];
	size_t total = 0;
	ssize_t n;

	(void)what;
	while (total < LIMIT_CONN_PASS && !c->broken) {
		n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) { /* a half-closed peer counts as closed */
			conn_close(c);
			return;
		}
		total += (size_t)n;
		conn_input(c, buf, (size_t)n);
		if (c->closed || c->paused || (size_t)n < sizeof buf)
			break;
	}
	if (c->broken)
		conn_close(c);
}

/* --- accepting ------------------------------------------------------------- */

static bool
peer_is_ours(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return false;
	return cred.uid == geteuid() && cred.gid == getegid();
}

/* Takes fd. */
static void
conn_new(struct conns *cs, int fd)
{
	struct event_base *base = loop_base(cs->loop);
	struct conn *c = calloc(1, sizeof *c);

	if (c != NULL) {
		c->ev_read = event_new(base, fd, EV_READ | EV_PERSIST, conn_on_read, c);
		c->ev_write = event_new(base, fd, EV_WRITE, conn_on_write, c);
	}
	if (c == NULL || c->ev_read == NULL || c->ev_write == NULL ||
	    event_add(c->ev_read, NULL) == -1) {
		log_errx("no memory for a connection, closing it");
		if (c != NULL && c->ev_read != NULL)
			event_free(c->ev_read);
		if (c != NULL && c->ev_write != NULL)
			event_free(c->ev_write);
		free(c);
		fd_close(&fd);
		return;
	}
	c->cs = cs;
	c->fd = fd;
	c->id = ++cs->last_id;
	c->fate = FATE_IGNORE;
	c->blob = BLOB_NONE;
	c->out_tail = &c->out;
	LIST_INIT(&c->requests);
	TAILQ_INSERT_TAIL(&cs->all, c, link);
	cs->n++;
}

/* Out of descriptors or memory: leave it in the backlog for a second. */
static void
conns_pause(struct conns *cs)
{
	const struct timeval second = {.tv_sec = 1};

	log_warn("accept: pausing");
	(void)event_del(cs->ev_accept);
	(void)evtimer_add(cs->ev_resume, &second);
}

bool
conns_accept(struct conns *cs)
{
	bool any = false;

	while (cs->ev_accept != NULL) {
		int fd;

		if (cs->n >= LIMIT_CONNS) {
			(void)event_del(cs->ev_accept); /* until one closes */
			break;
		}
		fd = accept4(cs->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno != EAGAIN)
				conns_pause(cs);
			break;
		}
		any = true;
		if (peer_is_ours(fd)) {
			conn_new(cs, fd);
		} else {
			log_warnx("connection from another user, closing it");
			fd_close(&fd);
		}
	}
	return any;
}

static void
conns_on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)conns_accept(arg);
}

static void
conns_on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct conns *cs = arg;

	(void)fd;
	(void)what;
	if (cs->ev_accept != NULL)
		(void)event_add(cs->ev_accept, NULL);
}

struct conns *
conns_new(struct loop *loop, int listen_fd, const struct conns_ops *ops, void *arg)
{
	struct conns *cs = calloc(1, sizeof *cs);

	if (cs == NULL) {
		fd_close(&listen_fd);
		return NULL;
	}
	cs->loop = loop;
	cs->ops = ops;
	cs->arg = arg;
	cs->listen_fd = listen_fd;
	TAILQ_INIT(&cs->all);
	cs->ev_accept = event_new(
	    loop_base(loop), listen_fd, EV_READ | EV_PERSIST, conns_on_accept, cs);
	cs->ev_resume = evtimer_new(loop_base(loop), conns_on_resume, cs);
	if (cs->ev_accept == NULL || cs->ev_resume == NULL ||
	    event_add(cs->ev_accept, NULL) == -1) {
		conns_free(cs);
		return NULL;
	}
	return cs;
}

void
conns_close_listener(struct conns *cs)
{
	if (cs->ev_accept != NULL)
		event_free(cs->ev_accept);
	cs->ev_accept = NULL;
	fd_close(&cs->listen_fd);
}

void
conns_free(struct conns *cs)
{
	if (cs == NULL)
		return;
	conns_close_listener(cs);
	while (!TAILQ_EMPTY(&cs->all))
		conn_close(TAILQ_FIRST(&cs->all));
	if (cs->ev_resume != NULL)
		event_free(cs->ev_resume);
	free(cs);
}

size_t
conns_count(const struct conns *cs)
{
	return cs->n;
}

size_t
conns_charged(const struct conns *cs)
{
	return cs->charged;
}

bool
conns_busy(const struct conns *cs)
{
	const struct conn *c;

	TAILQ_FOREACH (c, &cs->all, link)
		if (c->unwritten > 0 || (c->fate == FATE_KEEP && c->left > 0))
			return true;
	return false;
}

uint32_t
conn_id(const struct conn *c)
{
	return c->id;
}

struct request_list *
conn_requests(struct conn *c)
{
	return &c->requests;
}

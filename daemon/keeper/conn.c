/*
 * Connections. An idle one owns no buffer: bytes are read into the stack and
 * go straight to the frame they belong to. A frame that cannot be kept (too
 * long, budget spent, no memory) is still read to its last byte, then answered.
 *
 * Budgets count bytes, not requests: a thousand Waits must not keep the Kill
 * that would end them from being read. Answers: conn_out.c.
 *
 * Memory is got before what needs it is taken: a connection's before accept().
 */
#include "keeper/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/conn_int.h"
#include "keeper/limits.h"

/* until what could not be watched for want of memory is tried again */
#define RETRY_US (50 * US_PER_MS)
#define PAUSE_US (1 * US_PER_S)

static const char too_many_bytes[] = "too many bytes of unanswered requests";

/* --- budget ---------------------------------------------------------------- */

static bool
conn_charge(struct conn *c, size_t cost)
{
	/* answers that somebody else does not read are no reason to refuse */
	if (c->cs->charged + cost > LIMIT_POD_BYTES ||
	    c->charged + c->unwritten + cost > LIMIT_CONN_BYTES)
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

/* --- watching -------------------------------------------------------------- */

void
conn_watch(struct conn *c, struct event *ev)
{
	if (event_add(ev, NULL) == -1)
		loop_timer_set(c->cs->loop, &c->cs->retry, RETRY_US);
}

static void
conns_on_retry(void *arg)
{
	struct conns *cs = arg;
	struct conn *c;

	TAILQ_FOREACH (c, &cs->all, link) {
		if (!c->paused && !event_pending(&c->ev_read, EV_READ, NULL))
			conn_watch(c, &c->ev_read);
		if (c->out != NULL && !event_pending(&c->ev_write, EV_WRITE, NULL))
			conn_watch(c, &c->ev_write);
	}
}

static void
conns_watch(void *arg)
{
	struct conns *cs = arg;

	if (cs->ev_accept != NULL && event_add(cs->ev_accept, NULL) == -1)
		loop_timer_set(cs->loop, &cs->resume, PAUSE_US);
}

/* --- closing --------------------------------------------------------------- */

static void
conn_release(void *arg)
{
	free(arg);
}

void
conn_close(struct conn *c)
{
	struct conns *cs = c->cs;
	struct out *out;

	if (c->closed)
		return;
	c->closed = true;
	(void)event_del(&c->ev_read);
	(void)event_del(&c->ev_write);
	fd_close(&c->fd);
	if (c->fate == FATE_KEEP && c->left > 0)
		conn_uncharge(c, c->paid);
	blob_fini(&c->blob);
	while ((out = c->out) != NULL) {
		c->out = out->next;
		free(out);
	}
	/* answers that nobody reads; requests stay charged until answered */
	cs->unwritten -= c->unwritten;
	c->unwritten = 0;
	TAILQ_REMOVE(&cs->all, c, link);
	cs->n--;
	cs->ops->on_closed(c, cs->arg);
	loop_bury(cs->loop, &c->grave, conn_release, c);
	if (cs->n + 1 == LIMIT_CONNS)
		conns_watch(cs);
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
	/* of a long one, for what has come: who announces bytes has not sent them */
	c->paid = c->head.len < LIMIT_FRAME_INLINE ? c->head.len : LIMIT_FRAME_INLINE;
	if (!conn_charge(c, c->paid + LIMIT_OVERHEAD)) {
		conn_refuse(c, STATUS_RESOURCE_EXHAUSTED, too_many_bytes);
		return;
	}
	rc = blob_begin(&c->blob, c->head.len);
	if (rc < 0) {
		conn_uncharge(c, c->paid);
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
		conn_answer_status(
		    c, c->head.stream, c->refuse_code, c->refuse_text, NULL);
		break;
	case FATE_KEEP:
		if (blob_finish(&blob) < 0) {
			conn_uncharge(c, blob.want);
			conn_answer_status(c, c->head.stream, STATUS_RESOURCE_EXHAUSTED,
			    "no room for the request", &blob);
			blob_fini(&blob);
			break;
		}
		c->cs->ops->on_request(c, c->head.stream, &blob, c->cs->arg);
		break;
	}
}

/* Pay for what has come of the frame, and keep it. NULL, or why not. */
static const char *
conn_take(struct conn *c, const uint8_t *p, size_t n)
{
	size_t come = c->head.len - c->left, more = come > c->paid ? come - c->paid : 0;

	if (more > 0 && !conn_charge(c, more))
		return too_many_bytes;
	c->paid += more;
	/* a memfd may run into a limit */
	return blob_append(&c->blob, p, n) == 0 ? NULL : "no room for the request";
}

static void
conn_payload(struct conn *c, const uint8_t *p, size_t n)
{
	const char *why;

	c->left -= n;
	why = c->fate == FATE_KEEP ? conn_take(c, p, n) : NULL;
	if (why == NULL)
		return;
	/* read on, refuse at the end */
	conn_uncharge(c, c->paid);
	blob_fini(&c->blob);
	conn_refuse(c, STATUS_RESOURCE_EXHAUSTED, why);
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
		if (n == -1 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
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

/* Takes fd; c is new. */
static void
conn_begin(struct conns *cs, struct conn *c, int fd)
{
	struct event_base *base = loop_base(cs->loop);

	c->cs = cs;
	c->fd = fd;
	c->id = ++cs->last_id;
	c->fate = FATE_IGNORE;
	c->blob = BLOB_NONE;
	c->out_tail = &c->out;
	LIST_INIT(&c->requests);
	(void)event_assign(&c->ev_read, base, fd, EV_READ | EV_PERSIST, conn_on_read, c);
	(void)event_assign(&c->ev_write, base, fd, EV_WRITE, conn_on_write, c);
	TAILQ_INSERT_TAIL(&cs->all, c, link);
	cs->n++;
	conn_watch(c, &c->ev_read);
}

/* One connection: 1; none waits, or none may come: 0; or -errno. */
static int
conns_accept_one(struct conns *cs)
{
	AUTO_FREE struct conn *c = NULL;
	int fd;

	if (cs->ev_accept == NULL)
		return 0;
	if (cs->n >= LIMIT_CONNS) {
		(void)event_del(cs->ev_accept); /* until one closes */
		return 0;
	}
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return -ENOMEM;
	do
		fd = accept4(cs->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd == -1 && (errno == EINTR || errno == ECONNABORTED));
	if (fd == -1)
		return errno == EAGAIN ? 0 : -errno;
	if (peer_is_ours(fd)) {
		conn_begin(cs, steal_ptr(&c), fd);
	} else {
		log_warnx("connection from another user, closing it");
		fd_close(&fd);
	}
	return 1;
}

bool
conns_accept(struct conns *cs)
{
	bool any = false;
	int rc;

	while ((rc = conns_accept_one(cs)) == 1)
		any = true;
	if (rc < 0) { /* out of descriptors or memory: leave it in the backlog */
		log_warnx("accept: %s, pausing", strerror(-rc));
		(void)event_del(cs->ev_accept);
		loop_timer_set(cs->loop, &cs->resume, PAUSE_US);
	}
	return any || rc < 0;
}

static void
conns_on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)conns_accept(arg);
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
	loop_timer_init(&cs->resume, conns_watch, cs);
	loop_timer_init(&cs->retry, conns_on_retry, cs);
	if (cs->ev_accept == NULL || event_add(cs->ev_accept, NULL) == -1) {
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
	loop_timer_stop(cs->loop, &cs->resume);
	loop_timer_stop(cs->loop, &cs->retry);
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
	return cs->charged + cs->unwritten;
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

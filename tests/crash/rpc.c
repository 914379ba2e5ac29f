/*
 * One connection: frames out at once (they are small; a keeper that does not
 * read is a fault), answers in by the loop. Calls are freed by their owner; a
 * connection lives until its last call is freed.
 */
#include "rpc.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "proto/frame.h"

struct conn {
	int fd;
	struct event *ev;
	char *who;
	uint32_t next_stream;
	struct call *calls; /* open ones */
	uint8_t *answered;  /* by stream / 2 */
	size_t cap_answered;
	uint8_t *in;
	size_t in_len, in_cap;
	bool may_end;
	unsigned refs; /* calls, and its owner */
};

static void
conn_unref(struct conn *c)
{
	if (--c->refs > 0)
		return;
	if (c->ev != NULL)
		event_free(c->ev);
	fd_close(&c->fd);
	free(c->answered);
	free(c->in);
	free(c->who);
	free(c);
}

static void
call_end(struct call *call, int code)
{
	struct call **p;

	for (p = &call->conn->calls; *p != NULL; p = &(*p)->next)
		if (*p == call) {
			*p = call->next;
			break;
		}
	call->next = NULL;
	call->done = true;
	call->code = code;
	call->done_us = now_us();
	co_wake(&call->cond);
}

static void
shut(struct conn *c)
{
	if (c->ev != NULL)
		event_free(c->ev);
	c->ev = NULL;
	fd_close(&c->fd);
	while (c->calls != NULL)
		call_end(c->calls, RPC_CLOSED);
}

static void
got_answer(struct conn *c, const struct frame_head *h, const uint8_t *payload)
{
	struct pb_view v = {payload, h->len}, status;
	struct call *call;

	for (call = c->calls; call != NULL; call = call->next)
		if (call->stream == h->stream)
			break;
	if (call == NULL || h->type != FRAME_RESPONSE) {
		size_t i = h->stream / 2;

		fault(FAULT_DOUBLE, "%s: stream %u type %u: %s", c->who, h->stream,
		    h->type,
		    i < c->cap_answered && c->answered[i] ? "answered twice"
							  : "nobody asked");
		return;
	}
	c->answered[h->stream / 2] = 1;
	call->frame = mem_dup(payload, h->len);
	v.data = call->frame;
	if (!pb_valid(v))
		fault(
		    FAULT_ANSWER, "%s: %s: answer does not parse", c->who, call->method);
	(void)pb_get_bytes(v, 2, 0, &call->payload);
	call->code = 0;
	if (pb_get_bytes(v, 1, 0, &status)) {
		int code = (int)pb_get_u64(status, 1);

		call->text = pb_get_str(status, 2);
		call_end(call, code);
		return;
	}
	call_end(call, 0);
}

static void
conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct frame_head h;
	size_t at = 0;
	ssize_t n;

	(void)what;
	if (c->in_cap - c->in_len < 4096) {
		c->in_cap = c->in_cap * 2 + 8192;
		c->in = mem_realloc(c->in, c->in_cap);
	}
	n = read(fd, c->in + c->in_len, c->in_cap - c->in_len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (!c->may_end || c->calls != NULL)
			fault(FAULT_CLOSED, "%s: connection closed (%s)", c->who,
			    n == 0 ? "end of file" : strerror(errno));
		shut(c);
		return;
	}
	c->in_len += (size_t)n;
	c->refs++;
	while (c->in_len - at >= FRAME_HEAD_LEN) {
		frame_head_decode(&h, c->in + at);
		if (h.len > FRAME_PAYLOAD_MAX) {
			fault(FAULT_ANSWER, "%s: frame of %u bytes", c->who, h.len);
			shut(c);
			break;
		}
		if (c->in_len - at < FRAME_HEAD_LEN + h.len)
			break;
		got_answer(c, &h, c->in + at + FRAME_HEAD_LEN);
		at += FRAME_HEAD_LEN + h.len;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	conn_unref(c);
}

struct conn *
conn_open(const char *path, const char *who)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct conn *c;
	int fd;

	if (strncmp(path, "unix://", 7) == 0)
		path += 7;
	if (strlen(path) >= sizeof sun.sun_path) {
		fault(FAULT_OTHER, "%s: address '%s'", who, path);
		return NULL;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof sun) == -1) {
		fault(FAULT_CLOSED, "%s: connect '%s': %s", who, path, strerror(errno));
		fd_close(&fd);
		return NULL;
	}
	(void)fd_set_nonblock(fd, true);
	c = mem_zalloc(sizeof *c);
	c->fd = fd;
	c->who = mem_strdup(who);
	c->next_stream = 1;
	c->refs = 1;
	c->ev = event_new(base, fd, EV_READ | EV_PERSIST, conn_on_read, c);
	(void)event_add(c->ev, NULL);
	return c;
}

void
conn_close(struct conn *conn)
{
	if (conn == NULL)
		return;
	shut(conn);
	conn_unref(conn);
}

void
conn_may_end(struct conn *conn)
{
	if (conn != NULL)
		conn->may_end = true;
}

bool
conn_is_open(const struct conn *conn)
{
	return conn != NULL && conn->fd != -1;
}

struct call *
call_begin(struct conn *conn, const char *method, struct pb *msg)
{
	struct call *call = mem_zalloc(sizeof *call);
	uint8_t head[FRAME_HEAD_LEN];
	struct pb frame = PB_INIT, req = PB_INIT;
	struct frame_head h = {0};

	call->conn = conn;
	conn->refs++;
	call->method = method;
	call->stream = conn->next_stream;
	conn->next_stream += 2;
	call->sent_us = now_us();
	tally.requests++;
	if (call->stream / 2 >= conn->cap_answered) {
		size_t cap = conn->cap_answered * 2 + 64;

		conn->answered = mem_realloc(conn->answered, cap);
		memset(conn->answered + conn->cap_answered, 0, cap - conn->cap_answered);
		conn->cap_answered = cap;
	}
	pb_str(&req, 1,
	    call->stream % 4 == 1 || opt.foreign ? "containerd.task.v2.Task"
						 : "containerd.task.v3.Task");
	pb_str(&req, 2, method);
	pb_bytes(&req, 3, msg->data, msg->len);
	pb_fini(msg);
	h.len = (uint32_t)req.len;
	h.stream = call->stream;
	h.type = FRAME_REQUEST;
	frame_head_encode(head, &h);
	pb_raw(&frame, head, sizeof head);
	pb_raw(&frame, req.data, req.len);
	pb_fini(&req);
	call->next = conn->calls;
	conn->calls = call;
	if (conn->fd == -1) {
		call_end(call, RPC_CLOSED);
	} else if (send(conn->fd, frame.data, frame.len, MSG_NOSIGNAL) !=
	    (ssize_t)frame.len) {
		fault(
		    FAULT_CLOSED, "%s: send %s: %s", conn->who, method, strerror(errno));
		shut(conn);
	}
	pb_fini(&frame);
	return call;
}

bool
call_done(const struct call *call)
{
	return call->done;
}

int
call_wait(struct call *call)
{
	uint64_t limit = now_us() + RPC_PATIENCE_MS * 1000ull;

	while (!call->done) {
		uint64_t now = now_us();

		if (now >= limit) {
			fault(FAULT_SILENT, "%s: %s: no answer in %d s", call->conn->who,
			    call->method, (int)((now - call->sent_us) / 1000000));
			call_end(call, RPC_SILENT);
			break;
		}
		(void)co_wait(&call->cond, (long)((limit - now) / 1000 + 1));
	}
	return call->code;
}

void
call_free(struct call *call)
{
	if (call == NULL)
		return;
	if (!call->done)
		call_end(call, RPC_SILENT);
	conn_unref(call->conn);
	free(call->frame);
	free(call->text);
	free(call);
}

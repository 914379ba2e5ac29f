/*
 * See ttrpc_client.h. Calls stand in a list in the order they were sent; they
 * share one time-out, so the first one's deadline is the next to pass, and one
 * timer is enough.
 *
 * What surprises: callbacks may make new calls, or free the client. So a call
 * is taken off the list before its callback runs, calls that fail together
 * are moved to a list of their own first, and the client is buried, not freed.
 */
#include "worker/ttrpc_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

struct call {
	TAILQ_ENTRY(call) entry;
	uint32_t stream;
	boot_us_t deadline;
	int rc; /* of a call that is about to fail */
	ttrpc_cb cb;
	void *arg;
};
TAILQ_HEAD(calls, call);

struct ttrpc_client {
	struct loop *loop;
	char *path;
	struct bufferevent *bev; /* NULL while there is no connection */
	uint32_t next_stream;
	struct calls calls;  /* sent, not answered */
	struct calls failed; /* to be told so */
	struct event *timer;
	struct event *fail_ev;
	bool dead;
	struct grave grave;
};

static void ttrpc_client_on_read(struct bufferevent *bev, void *arg);
static void ttrpc_client_on_event(struct bufferevent *bev, short what, void *arg);

/* --- failing ------------------------------------------------------------------- */

/* All calls under way fail, from the loop; the connection is given up. */
static void
ttrpc_client_break(struct ttrpc_client *c, int rc)
{
	struct call *call;

	if (c->bev != NULL)
		bufferevent_free(c->bev); /* closes the socket */
	c->bev = NULL;
	(void)event_del(c->timer);
	while ((call = TAILQ_FIRST(&c->calls)) != NULL) {
		TAILQ_REMOVE(&c->calls, call, entry);
		call->rc = rc;
		TAILQ_INSERT_TAIL(&c->failed, call, entry);
	}
	if (!TAILQ_EMPTY(&c->failed))
		event_active(c->fail_ev, 0, 0);
}

static void
ttrpc_client_on_fail(evutil_socket_t fd, short what, void *arg)
{
	struct ttrpc_client *c = arg;
	struct calls now;
	struct call *call;

	(void)fd;
	(void)what;
	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &c->failed, entry);
	while ((call = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, call, entry);
		if (!c->dead)
			call->cb(call->rc, NULL, call->arg);
		free(call);
	}
}

static void
ttrpc_client_arm(struct ttrpc_client *c)
{
	struct call *first = TAILQ_FIRST(&c->calls);
	boot_us_t now = clock_boot_us();
	uint64_t left;
	struct timeval tv;

	(void)event_del(c->timer);
	if (first == NULL)
		return;
	left = first->deadline > now ? first->deadline - now : 0;
	tv.tv_sec = (time_t)(left / US_PER_S);
	tv.tv_usec = (suseconds_t)(left % US_PER_S);
	(void)evtimer_add(c->timer, &tv);
}

static void
ttrpc_client_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ttrpc_client *c = arg;
	struct call *first = TAILQ_FIRST(&c->calls);

	(void)fd;
	(void)what;
	if (first != NULL && first->deadline <= clock_boot_us())
		ttrpc_client_break(c, -ETIMEDOUT);
	else
		ttrpc_client_arm(c);
}

/* --- connecting ------------------------------------------------------------------ */

/*
 * A path longer than sun_path is reached through its directory. dirfd is to be
 * closed behind the connect.
 */
static int
ttrpc_client_address(const char *path, struct sockaddr_un *sa, int *dirfd)
{
	AUTO_FREE char *dir = NULL;
	const char *slash = strrchr(path, '/');

	sa->sun_family = AF_UNIX;
	if (strlen(path) < sizeof sa->sun_path) {
		memcpy(sa->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (slash == NULL || strlen(slash) > 64)
		return -ENAMETOOLONG;
	dir = mem_printf("%.*s", (int)(slash - path), path);
	*dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd == -1)
		return -errno;
	(void)snprintf(
	    sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d%s", *dirfd, slash);
	return 0;
}

static int
ttrpc_client_connect(struct ttrpc_client *c)
{
	struct sockaddr_un sa = {0};
	AUTO_CLOSE int dirfd = -1;
	AUTO_CLOSE int fd = -1;
	int rc = ttrpc_client_address(c->path, &sa, &dirfd);

	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* of a unix socket this ends at once; EAGAIN: too many are waiting there */
	if (fd == -1 || connect(fd, (const struct sockaddr *)&sa, sizeof sa) == -1)
		return -errno;
	c->bev = bufferevent_socket_new(loop_base(c->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		return -ENOMEM;
	(void)steal_fd(&fd);
	c->next_stream = 1;
	bufferevent_setcb(c->bev, ttrpc_client_on_read, NULL, ttrpc_client_on_event, c);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return 0;
}

static void
ttrpc_client_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct ttrpc_client *c = arg;
	int code = EVUTIL_SOCKET_ERROR();

	(void)bev;
	if ((what & BEV_EVENT_ERROR) != 0 && code != 0)
		ttrpc_client_break(c, -code);
	else if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
		ttrpc_client_break(c, -ECONNRESET);
}

/* --- answers ---------------------------------------------------------------------- */

static void
ttrpc_client_answered(
    struct ttrpc_client *c, struct call *call, const void *frame, size_t len)
{
	Ttrpc__Response *r = ttrpc__response__unpack(NULL, len, frame);
	struct ttrpc_answer answer = {.message = ""};

	if (r == NULL) {
		call->cb(-EBADMSG, NULL, call->arg);
		return;
	}
	if (r->status != NULL) {
		answer.status = r->status->code;
		answer.message = r->status->message;
	}
	answer.payload = r->payload.data;
	answer.len = r->payload.len;
	call->cb(0, &answer, call->arg);
	ttrpc__response__free_unpacked(r, NULL);
	(void)c;
}

/* A whole frame stands at the head of in. False: the client is gone. */
static bool
ttrpc_client_frame(
    struct ttrpc_client *c, struct evbuffer *in, const struct frame_head *h)
{
	AUTO_FREE void *payload = NULL;
	struct call *call;

	(void)evbuffer_drain(in, FRAME_HEAD_LEN);
	if (h->len > 0) {
		payload = mem_zalloc(h->len);
		(void)evbuffer_remove(in, payload, h->len);
	}
	TAILQ_FOREACH (call, &c->calls, entry) {
		if (h->type == FRAME_RESPONSE && call->stream == h->stream)
			break;
	}
	if (call == NULL)
		return true; /* of a kind we did not ask for */
	TAILQ_REMOVE(&c->calls, call, entry);
	ttrpc_client_arm(c);
	ttrpc_client_answered(c, call, payload, h->len);
	free(call);
	return !c->dead;
}

static void
ttrpc_client_on_read(struct bufferevent *bev, void *arg)
{
	struct ttrpc_client *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	uint8_t bytes[FRAME_HEAD_LEN];
	struct frame_head h;

	while (evbuffer_copyout(in, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
		frame_head_decode(&h, bytes);
		if (h.len > FRAME_PAYLOAD_MAX) {
			ttrpc_client_break(c, -EPROTO);
			return;
		}
		if (evbuffer_get_length(in) < sizeof bytes + h.len)
			return;
		/* a callback may have broken the connection, too */
		if (!ttrpc_client_frame(c, in, &h) || c->bev != bev)
			return;
	}
}

/* --- calls ------------------------------------------------------------------------- */

static void
ttrpc_client_send(struct ttrpc_client *c, struct call *call, const char *service,
    const char *method, const void *payload, size_t len, uint64_t timeout_us)
{
	Ttrpc__Request r = TTRPC__REQUEST__INIT;
	AUTO_FREE char *s = mem_strdup(service), *m = mem_strdup(method);
	AUTO_FREE uint8_t *body = mem_dup(payload, len);
	AUTO_FREE void *bytes = NULL;
	struct frame_head h = {.type = FRAME_REQUEST};
	uint8_t head[FRAME_HEAD_LEN];
	size_t n;

	r.service = s;
	r.method = m;
	r.payload.data = body;
	r.payload.len = len;
	r.timeout_nano = (int64_t)(timeout_us * 1000);
	wire_pack(&r.base, &bytes, &n);
	call->stream = c->next_stream;
	c->next_stream += 2;
	h.len = (uint32_t)n;
	h.stream = call->stream;
	frame_head_encode(head, &h);
	(void)bufferevent_write(c->bev, head, sizeof head);
	(void)bufferevent_write(c->bev, bytes, n);
}

void
ttrpc_client_call(struct ttrpc_client *c, const char *service, const char *method,
    const void *payload, size_t len, uint64_t timeout_us, ttrpc_cb cb, void *arg)
{
	struct call *call = mem_zalloc(sizeof *call);
	int rc = 0;

	call->cb = cb;
	call->arg = arg;
	call->deadline = clock_boot_us() + timeout_us;
	if (len > FRAME_PAYLOAD_MAX - 1024)
		rc = -EMSGSIZE;
	else if (c->bev != NULL && c->next_stream >= UINT32_MAX - 2)
		ttrpc_client_break(c, -ECONNRESET); /* stream numbers are used up */
	if (rc == 0 && c->bev == NULL)
		rc = ttrpc_client_connect(c);
	if (rc < 0) {
		call->rc = rc;
		TAILQ_INSERT_TAIL(&c->failed, call, entry);
		event_active(c->fail_ev, 0, 0);
		return;
	}
	ttrpc_client_send(c, call, service, method, payload, len, timeout_us);
	TAILQ_INSERT_TAIL(&c->calls, call, entry);
	if (TAILQ_FIRST(&c->calls) == call)
		ttrpc_client_arm(c);
}

struct ttrpc_client *
ttrpc_client_new(struct loop *loop, const char *path)
{
	struct ttrpc_client *c = mem_zalloc(sizeof *c);

	c->loop = loop;
	c->path = mem_strdup(path);
	TAILQ_INIT(&c->calls);
	TAILQ_INIT(&c->failed);
	c->timer = evtimer_new(loop_base(loop), ttrpc_client_on_timer, c);
	c->fail_ev = event_new(loop_base(loop), -1, 0, ttrpc_client_on_fail, c);
	if (c->timer == NULL || c->fail_ev == NULL)
		abort();
	return c;
}

static void
ttrpc_client_bury(void *obj)
{
	struct ttrpc_client *c = obj;

	free(c->path);
	free(c);
}

static void
ttrpc_client_forget(struct calls *calls)
{
	struct call *call;

	while ((call = TAILQ_FIRST(calls)) != NULL) {
		TAILQ_REMOVE(calls, call, entry);
		free(call);
	}
}

void
ttrpc_client_free(struct ttrpc_client *c)
{
	if (c == NULL)
		return;
	c->dead = true;
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	c->bev = NULL;
	event_free(c->timer);
	event_free(c->fail_ev);
	ttrpc_client_forget(&c->calls);
	ttrpc_client_forget(&c->failed);
	loop_bury(c->loop, &c->grave, ttrpc_client_bury, c);
}

/*
 * Two listeners: ttrpc Forward as containerd serves it, and a packet socket
 * for our publish binary. Events are at least once: a repetition of the
 * container's latest event is counted, anything else out of order is a fault.
 */
#include "events.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "proto/frame.h"
#include "tests/lib/pb.h"

static struct evlog *logs;
static bool away;
static struct event *listeners[2];
static struct peer *peers;
static uint64_t n_peers;

static const char *const kind_names[] = {"create", "start", "exec-added", "exec-started",
    "exit", "delete", "paused", "resumed", "checkpointed", "oom", "unknown"};

const char *
ev_kind_name(enum ev_kind kind)
{
	return kind_names[kind];
}

struct evlog *
evlog_new(const char *id)
{
	struct evlog *log = mem_zalloc(sizeof *log);

	(void)snprintf(log->id, sizeof log->id, "%s", id);
	HASH_ADD_STR(logs, id, log);
	return log;
}

void
evlog_free(struct evlog *log)
{
	if (log == NULL)
		return;
	HASH_DEL(logs, log);
	free(log->evs);
	free(log);
}

const struct ev *
evlog_find(const struct evlog *log, enum ev_kind kind, const char *exec_id)
{
	size_t i;

	for (i = 0; i < log->n; i++)
		if (log->evs[i].kind == kind && strcmp(log->evs[i].exec_id, exec_id) == 0)
			return &log->evs[i];
	return NULL;
}

const struct ev *
evlog_expect(struct evlog *log, enum ev_kind kind, const char *exec_id)
{
	uint64_t limit = now_us() + EVENT_PATIENCE_MS * 1000ull;
	const struct ev *ev;

	while ((ev = evlog_find(log, kind, exec_id)) == NULL) {
		if (now_us() >= limit) {
			fault(FAULT_EVENT_LOST, "%s/%s: no %s event", log->id, exec_id,
			    ev_kind_name(kind));
			return NULL;
		}
		(void)co_wait(&log->changed, 1000);
	}
	return ev;
}

/* What must have come before; NULL if all is well. */
static const char *
check_order(const struct evlog *log, const struct ev *ev)
{
	const char *x = ev->exec_id;
	size_t i;

	if (log->given_up && x[0] == '\0' &&
	    (ev->kind == EV_EXIT || ev->kind == EV_DELETE))
		return "containerd tells that itself";
	switch (ev->kind) {
	case EV_CREATE: return log->n == 0 ? NULL : "create is not the first";
	case EV_START:
		if (evlog_find(log, EV_EXIT, ""))
			return "start after init's exit";
		return evlog_find(log, EV_CREATE, "") ? NULL : "start without create";
	case EV_EXEC_ADDED:
		return evlog_find(log, EV_CREATE, "") ? NULL
						      : "exec-added without create";
	case EV_EXEC_STARTED:
		return evlog_find(log, EV_EXEC_ADDED, x)
		    ? NULL
		    : "exec-started without exec-added";
	case EV_EXIT:
		if (x[0] != '\0')
			return evlog_find(log, EV_EXEC_STARTED, x)
			    ? NULL
			    : "exit without exec-started";
		if (!evlog_find(log, EV_CREATE, ""))
			return "exit without create";
		for (i = 0; i < log->n; i++)
			if (log->evs[i].kind == EV_EXEC_STARTED &&
			    !evlog_find(log, EV_EXIT, log->evs[i].exec_id))
				return "init's exit before that of an exec";
		return NULL;
	case EV_DELETE:
		if (x[0] != '\0')
			return NULL;
		if (evlog_find(log, EV_START, "") && !evlog_find(log, EV_EXIT, ""))
			return "delete before exit";
		return evlog_find(log, EV_CREATE, "") ? NULL : "delete without create";
	case EV_PAUSED:
	case EV_RESUMED: return evlog_find(log, EV_START, "") ? NULL : "before start";
	case EV_CHECKPOINTED:
	case EV_OOM:
		if (evlog_find(log, EV_EXIT, ""))
			return "after init's exit";
		return evlog_find(log, EV_START, "") ? NULL : "before start";
	case EV_UNKNOWN: return "unknown topic";
	}
	return NULL;
}

static struct ev *
find_event(struct evlog *log, enum ev_kind kind, const char *exec_id)
{
	return (struct ev *)(uintptr_t)evlog_find(log, kind, exec_id);
}

/*
 * The same event once more. By ttrpc that may be: the answer to the first was
 * lost with its worker. Then nothing came between the two, unless the first
 * to be sent lay unread in the dead worker's connection.
 */
static void
repeated(struct evlog *log, struct ev *old, const struct ev *ev)
{
	bool last = old == &log->evs[log->n - 1];

	old->repeats++;
	tally.repeated_events++;
	if (old->pid != ev->pid || old->status != ev->status ||
	    old->exited_at != ev->exited_at)
		fault(FAULT_EVENT_ORDER, "%s/%s: %s repeated with another content",
		    log->id, ev->exec_id, ev_kind_name(ev->kind));
	else if (ev->peer == 0 && old->peer == 0)
		fault(FAULT_EVENT_ORDER, "%s/%s: %s published twice", log->id,
		    ev->exec_id, ev_kind_name(ev->kind));
	else if (!last && ev->peer > old->peer)
		fault(FAULT_EVENT_ORDER,
		    "%s/%s: %s again (connection %llu, was %llu), behind %s/%s", log->id,
		    ev->exec_id, ev_kind_name(ev->kind), (unsigned long long)ev->peer,
		    (unsigned long long)old->peer, log->evs[log->n - 1].exec_id,
		    ev_kind_name(log->evs[log->n - 1].kind));
}

static void
add_event(const char *id, const struct ev *ev)
{
	struct evlog *log;
	struct ev *old;
	const char *why;

	tally.events++;
	HASH_FIND_STR(logs, id, log);
	if (log == NULL) {
		/* its life is over and was found complete: a repetition */
		tally.repeated_events++;
		trace("%s/%s: %s again, after its end", id, ev->exec_id,
		    ev_kind_name(ev->kind));
		return;
	}
	trace("%s/%s: event %s", id, ev->exec_id, ev_kind_name(ev->kind));
	old = find_event(log, ev->kind, ev->exec_id);
	if (old != NULL && ev->kind != EV_PAUSED && ev->kind != EV_RESUMED) {
		repeated(log, old, ev);
		return;
	}
	why = check_order(log, ev);
	if (why != NULL)
		fault(FAULT_EVENT_ORDER, "%s/%s: %s", id, ev->exec_id, why);
	if (log->n == log->cap) {
		log->cap = log->cap * 2 + 8;
		log->evs = mem_realloc(log->evs, log->cap * sizeof log->evs[0]);
	}
	log->evs[log->n++] = *ev;
	co_wake(&log->changed);
}

static void
take_event(const char *topic, const char *ns, struct pb_view any, uint64_t peer)
{
	static const struct {
		const char *topic, *type;
		enum ev_kind kind;
		unsigned exec, pid, status, time;
	} table[] = {
	    {"/tasks/create", "containerd.events.TaskCreate", EV_CREATE, 0, 6, 0, 0},
	    {"/tasks/start", "containerd.events.TaskStart", EV_START, 0, 2, 0, 0},
	    {"/tasks/exec-added", "containerd.events.TaskExecAdded", EV_EXEC_ADDED, 2, 0,
		0, 0},
	    {"/tasks/exec-started", "containerd.events.TaskExecStarted", EV_EXEC_STARTED,
		2, 3, 0, 0},
	    {"/tasks/exit", "containerd.events.TaskExit", EV_EXIT, 2, 3, 4, 5},
	    {"/tasks/delete", "containerd.events.TaskDelete", EV_DELETE, 5, 2, 3, 4},
	    {"/tasks/paused", "containerd.events.TaskPaused", EV_PAUSED, 0, 0, 0, 0},
	    {"/tasks/resumed", "containerd.events.TaskResumed", EV_RESUMED, 0, 0, 0, 0},
	    {"/tasks/checkpointed", "containerd.events.TaskCheckpointed", EV_CHECKPOINTED,
		0, 0, 0, 0},
	    {"/tasks/oom", "containerd.events.TaskOOM", EV_OOM, 0, 0, 0, 0},
	};
	AUTO_FREE char *type = pb_get_str(any, 1);
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *exec_id = NULL;
	struct ev ev = {.kind = EV_UNKNOWN, .peer = peer};
	struct pb_view body = {NULL, 0};
	size_t i;

	(void)pb_get_bytes(any, 2, 0, &body);
	id = pb_get_str(body, 1);
	if (strcmp(ns, namespace) != 0)
		fault(FAULT_EVENT_LOST, "%s: event in namespace '%s'", id, ns);
	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].topic, topic) != 0)
			continue;
		if (strcmp(table[i].type, type) != 0)
			fault(FAULT_EVENT_LOST, "%s: %s carries a %s", id, topic, type);
		ev.kind = table[i].kind;
		exec_id =
		    table[i].exec ? pb_get_str(body, table[i].exec) : mem_strdup("");
		ev.pid = table[i].pid ? (uint32_t)pb_get_u64(body, table[i].pid) : 0;
		ev.status =
		    table[i].status ? (uint32_t)pb_get_u64(body, table[i].status) : 0;
		if (table[i].time)
			(void)pb_get_time(body, table[i].time, &ev.exited_at);
	}
	if (exec_id != NULL && strcmp(exec_id, id) != 0)
		(void)snprintf(ev.exec_id, sizeof ev.exec_id, "%s", exec_id);
	add_event(id, &ev);
}

/* --- sockets --------------------------------------------------------------------- */

struct peer {
	int fd;
	uint64_t seq;
	bool packets;
	struct event *ev;
	uint8_t *in;
	size_t len, cap;
	struct peer *next;
};

static void
peer_free(struct peer *p)
{
	struct peer **pp;

	for (pp = &peers; *pp != NULL; pp = &(*pp)->next)
		if (*pp == p) {
			*pp = p->next;
			break;
		}
	event_free(p->ev);
	fd_close(&p->fd);
	free(p->in);
	free(p);
}

static void
answer(int fd, uint32_t stream)
{
	struct frame_head h = {.len = 0, .stream = stream, .type = FRAME_RESPONSE};
	uint8_t head[FRAME_HEAD_LEN];

	frame_head_encode(head, &h);
	(void)send(fd, head, sizeof head, MSG_NOSIGNAL);
}

static void
take_frame(struct peer *p, const struct frame_head *h, const uint8_t *payload)
{
	struct pb_view req = {payload, h->len}, fwd, env = {NULL, 0}, any;
	AUTO_FREE char *service = pb_get_str(req, 1);
	AUTO_FREE char *method = pb_get_str(req, 2);
	AUTO_FREE char *topic = NULL;
	AUTO_FREE char *ns = NULL;

	if (strcmp(service, "containerd.services.events.ttrpc.v1.Events") != 0 ||
	    strcmp(method, "Forward") != 0 || !pb_get_bytes(req, 3, 0, &fwd) ||
	    !pb_get_bytes(fwd, 1, 0, &env) || !pb_get_bytes(env, 4, 0, &any)) {
		fault(FAULT_EVENT_LOST, "not a Forward: %s.%s", service, method);
		return;
	}
	ns = pb_get_str(env, 2);
	topic = pb_get_str(env, 3);
	take_event(topic, ns, any, p->seq);
	answer(p->fd, h->stream);
}

static void
peer_on_frames(struct peer *p)
{
	struct frame_head h;
	size_t at = 0;

	while (p->len - at >= FRAME_HEAD_LEN) {
		frame_head_decode(&h, p->in + at);
		if (p->len - at < FRAME_HEAD_LEN + (size_t)h.len)
			break;
		take_frame(p, &h, p->in + at + FRAME_HEAD_LEN);
		at += FRAME_HEAD_LEN + h.len;
	}
	memmove(p->in, p->in + at, p->len - at);
	p->len -= at;
}

/* topic NUL namespace NUL Any */
static void
peer_on_packet(struct peer *p)
{
	const char *topic = (const char *)p->in, *ns;
	struct pb_view any;
	size_t skip;

	ns = memchr(topic, '\0', p->len);
	if (ns == NULL ||
	    memchr(ns + 1, '\0', p->len - (size_t)(ns + 1 - topic)) == NULL) {
		fault(FAULT_EVENT_LOST, "publish sent garbage");
		return;
	}
	ns++;
	skip = (size_t)(ns - topic) + strlen(ns) + 1;
	any.data = p->in + skip;
	any.len = p->len - skip;
	take_event(topic, ns, any, 0);
	(void)send(p->fd, "y", 1, MSG_NOSIGNAL);
	p->len = 0;
}

static void
peer_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	ssize_t n;

	(void)what;
	if (p->cap - p->len < 65536) {
		p->cap = p->cap * 2 + 65536;
		p->in = mem_realloc(p->in, p->cap);
	}
	n = read(fd, p->in + p->len, p->cap - p->len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		peer_free(p);
		return;
	}
	p->len += (size_t)n;
	if (p->packets)
		peer_on_packet(p);
	else
		peer_on_frames(p);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (s == -1)
		return;
	if (away) {
		fd_close(&s);
		return;
	}
	p = mem_zalloc(sizeof *p);
	p->fd = s;
	p->seq = ++n_peers;
	p->packets = arg != NULL;
	p->next = peers;
	peers = p;
	p->ev = event_new(base, s, EV_READ | EV_PERSIST, peer_on_read, p);
	(void)event_add(p->ev, NULL);
}

static void
listen_at(unsigned i, const char *suffix, int type)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(
	    sun.sun_path, sizeof sun.sun_path, "%s/c.sock.%s", tmp_dir, suffix);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, sizeof sun) == -1 ||
	    listen(fd, 512) == -1) {
		say("listen at '%s': %s", sun.sun_path, strerror(errno));
		exit(2);
	}
	listeners[i] =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_accept, i ? &away : NULL);
	(void)event_add(listeners[i], NULL);
}

void
events_open(void)
{
	listen_at(0, "ttrpc", SOCK_STREAM);
	listen_at(1, "pub", SOCK_SEQPACKET);
}

void
events_set_away(bool is_away)
{
	away = is_away;
	while (away && peers != NULL)
		peer_free(peers);
}

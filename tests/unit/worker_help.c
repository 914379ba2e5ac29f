/*
 * See worker_help.h. Stands in for link.c, outbox.c and io.c: a test that links
 * this does not pull those from libworker.a.
 */
#include "worker_help.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"
#include "worker/container.h"
#include "worker/exits.h"
#include "worker/io.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/process.h"
#include "worker/recover.h"
#include "worker/rpc.h"

struct fk fk;

const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0"; /* dead workers leave their memory */
}

/* what a worker asked for: forgotten when it dies */
static struct {
	uint64_t key;
	link_step_cb cb;
	void *arg;
	bool fresh; /* the result has not been given yet */
} watch[FK_MAX];
static size_t n_watch;
static struct {
	link_fd_cb cb;
	void *arg;
	bool known;
} gets[FK_MAX];
static size_t n_gets;
static unsigned n_internal;
static char events_text[16384];

/* --- dying ------------------------------------------------------------------------ */

static void
tick(void)
{
	if (!fk.in_run)
		return;
	fk.ticks++;
	if (fk.ticks == fk.die_at || fk.ticks == fk.die_again_at)
		longjmp(fk.env, 1);
}

int __real_store_commit(struct store *st, enum store_commit_mode mode, struct err *err);
int __wrap_store_commit(struct store *st, enum store_commit_mode mode, struct err *err);
int
__wrap_store_commit(struct store *st, enum store_commit_mode mode, struct err *err)
{
	int rc;

	tick();
	rc = __real_store_commit(st, mode, err);
	tick();
	return rc;
}

/* --- the keeper's side of the link --------------------------------------------------- */

static struct fk_step *
find_step(uint64_t key)
{
	size_t i;

	for (i = 0; i < fk.n_steps; i++) {
		if (fk.steps[i].s.key == key && !fk.steps[i].acked)
			return &fk.steps[i];
	}
	return NULL;
}

static struct fk_step *
new_step(uint64_t key, enum step_kind kind, const char *verb)
{
	struct fk_step *st = &fk.steps[fk.n_steps++];

	assert_true(fk.n_steps < FK_MAX);
	*st = (struct fk_step){.s = {.key = key, .kind = kind, .state = STEP_RUNNING, .text = ""}};
	(void)snprintf(st->verb, sizeof st->verb, "%s", verb);
	return st;
}

static const char *
verb_of(const struct msg_spawn *spawn)
{
	static const char *const verbs[] = {"create", "start", "exec", "delete", "kill", "pause",
	    "resume", "update", "checkpoint", "restore"};
	size_t i, j;

	for (i = 0; spawn->argv[i] != NULL; i++) {
		if (strcmp(spawn->argv[i], "--mount") == 0)
			return ((const char *)spawn->tag.p)[0] == 'u' ? "unmount" : "mount";
		for (j = 0; j < ARRAY_LEN(verbs); j++) {
			if (strcmp(spawn->argv[i], verbs[j]) == 0)
				return verbs[j];
		}
	}
	return "?";
}

void
fk_end(struct fk_step *st, int wait_status)
{
	st->s.state = STEP_DONE;
	st->s.wait_status = wait_status;
	if (wait_status == 0 && st->bound) {
		st->s.child_pid = fk.next_pid++;
		st->s.child_start = 7;
		st->alive = true;
		if (fk.dies_at_once)
			fk_exit(st, 9 << 8);
	}
}

void
fk_exit(struct fk_step *st, int wait_status)
{
	struct fk_exit *ex = &fk.exits[fk.n_exits++];

	assert_true(st->alive);
	st->alive = false;
	*ex = (struct fk_exit){.key = st->s.key, .wait_status = wait_status};
}

static void
watch_step(uint64_t key, link_step_cb cb, void *arg)
{
	size_t i;

	for (i = 0; i < n_watch; i++) {
		if (watch[i].key == key)
			break;
	}
	if (i == n_watch)
		n_watch++;
	assert_true(n_watch < FK_MAX);
	watch[i].key = key;
	watch[i].cb = cb;
	watch[i].arg = arg;
	watch[i].fresh = true;
}

void
link_spawn(struct link *lk, const struct msg_spawn *spawn, link_step_cb cb, void *arg)
{
	struct fk_step *st = find_step(spawn->key);

	(void)lk;
	if (st == NULL) {
		tick();
		/* or it would mount behind the other's back */
		if (strcmp(verb_of(spawn), "unmount") == 0 && fk_command("mount", 0) != NULL)
			assert_int_not_equal(fk_command("mount", 0)->s.state, STEP_RUNNING);
		st = new_step(spawn->key, STEP_SPAWN, verb_of(spawn));
		memcpy(st->tag, spawn->tag.p, spawn->tag.len);
		st->s.tag = (struct msg_bytes){st->tag, spawn->tag.len};
		st->bound = (spawn->flags & SPAWN_ADOPT) != 0;
		if (fk.hold == NULL || strcmp(fk.hold, st->verb) != 0)
			fk_end(st, fk.fail != NULL && strcmp(fk.fail, st->verb) == 0 ? 1 << 8 : 0);
	}
	watch_step(spawn->key, cb, arg);
	tick();
}

static void
signal_ignored(const struct msg_step *step, void *arg)
{
	(void)arg;
	if (key_is_internal(step->key))
		link_ack(NULL, step->key);
}

void
link_signal(struct link *lk, uint64_t key, uint64_t target, int signo, link_step_cb cb, void *arg)
{
	struct fk_step *st = find_step(key), *to = find_step(target);

	(void)lk;
	if (st == NULL) {
		tick();
		st = new_step(key, STEP_SIGNAL, "signal");
		st->signo = signo;
		st->s.state = STEP_DONE;
		if (to != NULL && to->alive) {
			if (signo == SIGKILL && !fk.survives)
				fk_exit(to, SIGKILL);
		} else if (to != NULL && to->s.state == STEP_RUNNING) {
			if (signo == SIGKILL)
				fk_end(to, SIGKILL);
		} else {
			st->s.state = STEP_FAILED;
			st->s.error = ESRCH;
		}
	}
	watch_step(key, cb != NULL ? cb : signal_ignored, arg);
	tick();
}

const struct msg_step *
link_step_known(struct link *lk, uint64_t key)
{
	struct fk_step *st = find_step(key);

	(void)lk;
	return st == NULL ? NULL : &st->s;
}

void
link_step_watch(struct link *lk, uint64_t key, link_step_cb cb, void *arg)
{
	(void)lk;
	if (find_step(key) != NULL)
		watch_step(key, cb, arg);
}

void
link_each_step(struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg)
{
	size_t i, j;

	(void)lk;
	for (i = 0; i < fk.n_steps; i++) {
		bool claimed = false;

		for (j = 0; j < n_watch; j++)
			claimed |= watch[j].key == fk.steps[i].s.key && watch[j].fresh;
		if (!fk.steps[i].acked && !claimed)
			cb(&fk.steps[i].s, arg);
	}
}

uint64_t
link_internal_key(struct link *lk)
{
	(void)lk;
	return KEY_INTERNAL | (uint64_t)fk.gen << 32 | ++n_internal;
}

void
link_ack(struct link *lk, uint64_t key)
{
	struct fk_step *st = find_step(key);

	(void)lk;
	tick();
	/* the step of an adopted process stays until its exit is acknowledged */
	if (st != NULL && st->s.state != STEP_RUNNING && (!st->bound || st->s.child_pid == 0))
		st->acked = true;
	tick();
}

void
link_ack_exit(struct link *lk, uint64_t key)
{
	struct fk_step *st = find_step(key);
	size_t i;

	(void)lk;
	tick();
	for (i = 0; i < fk.n_exits; i++) {
		if (fk.exits[i].key == key && fk.exits[i].delivered) {
			fk.exits[i].acked = true;
			fk.exits[i].n_acks++;
			if (st != NULL)
				st->acked = true;
		}
	}
	tick();
}

static struct {
	uint64_t n;
	void *p;
	size_t len;
} held_answers[FK_MAX];
static size_t n_held;

static void
take_answer(struct fk_request *r, const void *response, size_t len)
{
	Ttrpc__Response *m;

	r->answered = true;
	r->n_answers++;
	r->nobody = response == NULL;
	if (response == NULL)
		return;
	m = (Ttrpc__Response *)protobuf_c_message_unpack(&ttrpc__response__descriptor, NULL, len,
	    response);
	assert_non_null(m);
	r->code = m->status == NULL ? 0 : m->status->code;
	(void)snprintf(r->text, sizeof r->text, "%s", m->status == NULL ? "" : m->status->message);
	r->payload_len = m->payload.len;
	r->payload = mem_dup(m->payload.data, m->payload.len);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

void
link_answer(struct link *lk, uint64_t n, const void *response, size_t len)
{
	struct fk_request *r;
	size_t i;

	(void)lk;
	tick();
	r = fk_request(n);
	assert_non_null(r);
	if (fk.hold_answers) {
		held_answers[n_held].n = n;
		held_answers[n_held].p = response == NULL ? NULL : mem_dup(response, len);
		held_answers[n_held++].len = len;
		return;
	}
	if (!r->answered)
		take_answer(r, response, len);
	else if ((r->flags & REQ_CONDEMNED) != 0)
		r->n_answers++;
	for (i = 0; i < fk.n_steps; i++) {
		struct fk_step *st = &fk.steps[i];

		if (!key_is_internal(st->s.key) && key_request(st->s.key) == n &&
		    st->s.state != STEP_RUNNING && !(st->bound && st->s.child_pid != 0))
			st->acked = true;
	}
	tick();
}

size_t
link_queued(struct link *lk)
{
	(void)lk;
	return n_held;
}

void
link_idle(struct link *lk, uint64_t highest_n)
{
	(void)lk;
	fk.idle_n = highest_n;
}

void
link_mark(struct link *lk, const char *text)
{
	(void)lk;
	(void)text;
}

void
link_unpin(struct link *lk, const char *id)
{
	(void)lk;
	(void)id;
	fk.n_unpins++;
}

uint64_t
link_in_hand(struct link *lk, uint64_t n, const char *what)
{
	(void)lk;
	(void)n;
	(void)what;
	return 0;
}

/* --- the fd store: names only ---------------------------------------------------------- */

static int
find_name(const char *name)
{
	size_t i;

	for (i = 0; i < fk.n_names; i++) {
		if (strcmp(fk.names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

void
link_fd_put(struct link *lk, const char *name, int fd)
{
	(void)lk;
	(void)fd;
	tick();
	if (find_name(name) == -1)
		(void)snprintf(fk.names[fk.n_names++], MSG_NAME_MAX, "%s", name);
	tick();
}

void
link_fd_get(struct link *lk, const char *name, link_fd_cb cb, void *arg)
{
	(void)lk;
	gets[n_gets].cb = cb;
	gets[n_gets].arg = arg;
	gets[n_gets++].known = find_name(name) != -1;
}

void
link_fd_drop(struct link *lk, const char *name, bool prefix)
{
	size_t i = 0, len = strlen(name);

	(void)lk;
	tick();
	while (i < fk.n_names) {
		if (prefix ? strncmp(fk.names[i], name, len) == 0
			   : strcmp(fk.names[i], name) == 0)
			memmove(fk.names[i], fk.names[--fk.n_names], MSG_NAME_MAX);
		else
			i++;
	}
	tick();
}

bool
link_fd_known(struct link *lk, const char *name)
{
	(void)lk;
	return find_name(name) != -1;
}

void
link_each_fd(struct link *lk, void (*cb)(const char *name, void *arg), void *arg)
{
	char copy[FK_MAX][MSG_NAME_MAX];
	size_t i, n = fk.n_names;

	(void)lk;
	memcpy(copy, fk.names, sizeof copy);
	for (i = 0; i < n; i++)
		cb(copy[i], arg);
}

/* --- stdio ------------------------------------------------------------------------------- */

struct io {
	struct loop *loop;
	char prefix[MSG_NAME_MAX];
	void (*drain_cb)(void *arg);
	void *drain_arg;
	struct event *ev;
};

static struct io *
io_make(struct loop *loop, const struct io_spec *spec)
{
	struct io *io = mem_zalloc(sizeof *io);

	io->loop = loop;
	(void)snprintf(io->prefix, sizeof io->prefix, "io/%s/%s/", spec->container,
	    spec->exec_id[0] == '\0' ? "-" : spec->exec_id);
	return io;
}

int
io_open(struct loop *loop, struct link *lk, const struct io_spec *spec, struct io **out,
    int child_fds[3], struct err *err)
{
	char name[MSG_NAME_MAX];

	(void)err;
	child_fds[0] = child_fds[1] = child_fds[2] = -1;
	*out = io_make(loop, spec);
	(void)snprintf(name, sizeof name, "%.180sout", (*out)->prefix);
	link_fd_put(lk, name, -1);
	return 0;
}

struct io *
io_resume(struct loop *loop, struct link *lk, const struct io_spec *spec, const char *tty_name)
{
	(void)lk;
	(void)tty_name;
	return io_make(loop, spec);
}

void
io_start(struct io *io, const char *tty_name)
{
	(void)tty_name;
	assert_non_null(io);
}

void
io_close_stdin(struct io *io)
{
	assert_non_null(io);
}

int
io_resize(struct io *io, uint16_t width, uint16_t height, struct err *err)
{
	(void)io;
	(void)width;
	(void)height;
	(void)err;
	return 0;
}

void
io_process_exited(struct io *io)
{
	assert_non_null(io);
}

static void
on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd;
	(void)what;
	io->drain_cb(io->drain_arg);
}

void
io_drain(struct io *io, uint64_t timeout_us, void (*cb)(void *arg), void *arg)
{
	(void)timeout_us;
	assert_null(io->drain_cb);
	io->drain_cb = cb;
	io->drain_arg = arg;
	io->ev = event_new(loop_base(io->loop), -1, 0, on_drained, io);
	event_active(io->ev, 0, 0);
}

void
io_free(struct io *io)
{
	link_fd_drop(NULL, io->prefix, true);
	if (io->ev != NULL)
		event_free(io->ev);
	free(io);
}

void
io_sweep(struct loop *loop, struct link *lk)
{
	(void)loop;
	(void)lk;
}

/* --- the outbox: rows only ------------------------------------------------------------------ */

void
outbox_add(struct outbox *ob, const char *container, const char *exec_id, const char *topic,
    const char *type, const void *body, size_t len)
{
	const struct row_event row = {.container = container, .exec_id = exec_id,
	    .topic = topic, .type = type, .body = body, .body_len = len, .class = EVENT_KEEP};

	(void)ob;
	(void)store_add_event(fk.pod.store, &row);
}

void
outbox_kick(struct outbox *ob)
{
	(void)ob;
}

void
outbox_retry_now(struct outbox *ob)
{
	(void)ob;
}

void
outbox_resume(struct outbox *ob)
{
	(void)ob;
}

void
outbox_drain(struct outbox *ob, uint64_t timeout_us, void (*cb)(void *arg), void *arg)
{
	(void)ob;
	(void)timeout_us;
	cb(arg);
}

static bool
add_event_text(const struct row_event *row, void *arg)
{
	size_t len = strlen(events_text);

	(void)arg;
	(void)snprintf(events_text + len, sizeof events_text - len, "%s%s %s%s%s",
	    len > 0 ? "|" : "", row->topic + strlen("/tasks/"), row->container,
	    row->exec_id[0] != '\0' ? "/" : "", row->exec_id);
	return true;
}

const char *
fk_events(void)
{
	events_text[0] = '\0';
	assert_int_equal(store_each_event(fk.pod.store, 0, add_event_text, NULL, NULL), 0);
	return events_text;
}

/* --- a worker's life -------------------------------------------------------------------------- */

static bool deliver_exits(void);

static void
deliver_request(struct fk_request *r)
{
	const struct msg_request m = {.n = r->n, .conn = 1, .flags = r->flags,
	    .t_recv = r->t_recv, .frame = {r->frame, r->len}};

	r->delivered = true;
	r->flags |= REQ_REDELIVERED;
	if ((m.flags & REQ_CONDEMNED) != 0)
		recover_condemned(&fk.pod, r->n);
	else
		rpc_request(&fk.pod, &m);
}

void
fk_up(void)
{
	struct store_identity id = {.boot_id = "b", .ns = "ns", .group = "g", .build = "t"};
	struct err err = ERR_INIT;
	int rc, opened;
	size_t i;

	if (fk.up)
		return;
	fk.gen++;
	n_watch = n_gets = n_internal = 0;
	pod_init(&fk.pod, loop_new());
	fk.up = true;
	fk.pod.ns = "ns";
	fk.pod.group = "g";
	fk.pod.dir = fk.dir;
	fk.pod.dirfd = open(fk.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fk.pod.conf.runtime_timeout_us = 120 * US_PER_S;
	fk.pod.conf.end_delay_us = 3600 * US_PER_S;
	memcpy(id.inst, fk.inst, sizeof id.inst);
	opened = store_open(fk.dir, &id, false, &fk.pod.store, NULL, &err);
	assert_true(opened >= 0);
	rc = recover_load(&fk.pod, &err);
	assert_int_equal(rc, 0);
	for (i = 0; i < fk.n_exits; i++)
		fk.exits[i].delivered = false;
	(void)deliver_exits();
	for (i = 0; i < fk.n_requests; i++) {
		if (fk.requests[i].delivered && !fk.requests[i].answered)
			deliver_request(&fk.requests[i]);
		else if ((fk.requests[i].flags & REQ_CONDEMNED) != 0 &&
		    fk.requests[i].n_answers < 2)
			deliver_request(&fk.requests[i]);
	}
	recover_sync(&fk.pod, opened != STORE_OPENED && fk.gen > 1);
	rc = store_commit_migration(fk.pod.store, &err);
	assert_int_equal(rc, 0);
	fk.pod.live = true;
	assert_true(pod_flush(&fk.pod));
	recover_go(&fk.pod);
}

void
fk_die(void)
{
	fk.deaths++;
	fk.up = false;
	fk.hold_answers = false;
	n_held = 0;
	if (fk.pod.store != NULL)
		store_close(fk.pod.store);
	if (fk.pod.dirfd >= 0)
		(void)close(fk.pod.dirfd);
	event_base_free(loop_base(fk.pod.loop)); /* its epoll; the rest leaks, as in death */
	fk.pod = (struct pod){.dirfd = -1};
}

static bool
deliver_exits(void)
{
	size_t i;
	bool any = false;

	for (i = 0; i < fk.n_exits; i++) {
		struct fk_exit *ex = &fk.exits[i];
		const struct msg_exit m = {.key = ex->key, .seq = i + 1,
		    .wait_status = ex->wait_status,
		    .t_real_ns = (int64_t)(i + 1) * NS_PER_S};

		if (ex->delivered || ex->acked)
			continue;
		ex->delivered = true;
		exits_on_exit(&fk.pod, &m);
		any = true;
	}
	return any;
}

static bool
deliver_steps(void)
{
	size_t i;
	bool any = false;

	for (i = 0; i < n_watch; i++) {
		struct fk_step *st = find_step(watch[i].key);
		struct msg_step copy;

		if (!watch[i].fresh || st == NULL || st->s.state == STEP_RUNNING)
			continue;
		watch[i].fresh = false;
		copy = st->s;
		watch[i].cb(&copy, watch[i].arg);
		any = true;
	}
	return any;
}

static bool
deliver(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < fk.n_requests; i++) {
		if (!fk.requests[i].delivered) {
			deliver_request(&fk.requests[i]);
			any = true;
		}
	}
	any |= deliver_steps();
	any |= deliver_exits();
	for (i = 0; i < n_gets; i++) {
		link_fd_cb cb = gets[i].cb;

		gets[i].cb = NULL;
		if (cb != NULL) {
			cb(-ENOENT, gets[i].arg);
			any = true;
		}
	}
	n_gets = 0;
	return any;
}

void
fk_run(void)
{
	volatile int quiet = 0;

	if (setjmp(fk.env) != 0) {
		fk.in_run = false;
		fk_die();
	}
	fk.in_run = true;
	while (quiet < 3) {
		fk_up();
		quiet = deliver() ? 0 : quiet + 1;
		loop_once(fk.pod.loop, 1);
	}
	fk.in_run = false;
}

/* --- requests ------------------------------------------------------------------------------------ */

uint64_t
fk_send_late(const char *method, const ProtobufCMessage *msg, int64_t timeout_ns,
    boot_us_t t_recv)
{
	struct fk_request *r = &fk.requests[fk.n_requests++];
	Ttrpc__Request env = TTRPC__REQUEST__INIT;
	char service[64] = "containerd.task.v2.Task";
	const char *slash = strchr(method, '/');
	AUTO_FREE void *body = NULL;
	void *frame;

	assert_true(fk.n_requests < FK_MAX);
	if (slash != NULL)
		(void)snprintf(service, sizeof service, "%.*s", (int)(slash - method), method);
	wire_pack(msg, &body, &env.payload.len);
	env.payload.data = body;
	env.service = service;
	env.method = (char *)(uintptr_t)(slash != NULL ? slash + 1 : method);
	env.timeout_nano = timeout_ns;
	*r = (struct fk_request){.n = fk.n_requests, .t_recv = t_recv, .code = -1};
	wire_pack(&env.base, &frame, &r->len);
	r->frame = frame;
	return r->n;
}

uint64_t
fk_send(const char *method, const ProtobufCMessage *msg)
{
	return fk_send_late(method, msg, 0, clock_boot_us());
}

struct fk_request *
fk_request(uint64_t n)
{
	return n >= 1 && n <= fk.n_requests ? &fk.requests[n - 1] : NULL;
}

void
fk_condemn(uint64_t n)
{
	struct fk_request *r = fk_request(n);

	r->answered = true;
	r->code = STATUS_INTERNAL;
	r->n_answers = 1;
	r->flags |= REQ_CONDEMNED;
}

void
fk_cancel(uint64_t n)
{
	struct fk_request *r = fk_request(n);

	r->flags |= REQ_ORPHAN;
	if (fk.up && r->delivered)
		op_cancel(&fk.pod, n);
}

void
fk_expect(uint64_t n, int code)
{
	struct fk_request *r;

	fk_run();
	r = fk_request(n);
	if (!r->answered)
		fail_msg("request %" PRIu64 " is not answered", n);
	if (r->code != code)
		fail_msg("request %" PRIu64 ": code %d instead of %d: %s", n, r->code, code,
		    r->text);
}

uint64_t
fk_create(const char *id, bool mounts)
{
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT, *list[] = {&mount};
	char name[16] = "bind";

	mount.type = name;
	m.id = (char *)(uintptr_t)id;
	m.bundle = fk.bundle;
	if (mounts) {
		m.n_rootfs = 1;
		m.rootfs = list;
	}
	return fk_send("Create", &m.base);
}

/* All of these begin with id and exec_id. */
uint64_t
fk_simple(const char *method, const char *id, const char *exec_id)
{
	Containerd__Task__V2__StateRequest m = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;

	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	return fk_send(method, &m.base);
}

uint64_t
fk_kill(const char *id, const char *exec_id, uint32_t signo, bool all)
{
	Containerd__Task__V2__KillRequest m = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;

	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	m.signal = signo;
	m.all = all;
	return fk_send("Kill", &m.base);
}

uint64_t
fk_exec(const char *id, const char *exec_id)
{
	static const char json[] = "{\"args\":[\"true\"],\"cwd\":\"/\"}";
	Containerd__Task__V2__ExecProcessRequest m =
	    CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;

	spec.value.data = (uint8_t *)(uintptr_t)json;
	spec.value.len = sizeof json - 1;
	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	m.spec = &spec;
	return fk_send("Exec", &m.base);
}

/* --- looking ----------------------------------------------------------------------------------------- */

struct fk_step *
fk_command(const char *verb, unsigned nth)
{
	size_t i;

	for (i = 0; i < fk.n_steps; i++) {
		if (strcmp(fk.steps[i].verb, verb) == 0 && nth-- == 0)
			return &fk.steps[i];
	}
	return NULL;
}

unsigned
fk_count(const char *verb)
{
	unsigned n = 0;

	while (fk_command(verb, n) != NULL)
		n++;
	return n;
}

static void
expect_no_files(void)
{
	DIR *d = opendir(fk.dir);
	struct dirent *de;

	while ((de = readdir(d)) != NULL) {
		if (de->d_name[0] != '.' && strncmp(de->d_name, "state.", 6) != 0 &&
		    strcmp(de->d_name, "bundle") != 0)
			fail_msg("file '%s' is left", de->d_name);
	}
	(void)closedir(d);
}

void
fk_expect_clean(void)
{
	struct store_counts counts;
	size_t i;

	fk_run();
	assert_null(fk.pod.containers);
	assert_null(fk.pod.ops);
	assert_null(fk.pod.processes);
	assert_int_equal(store_count(fk.pod.store, &counts, NULL), 0);
	assert_int_equal(counts.containers, 0);
	for (i = 0; i < fk.n_requests; i++) {
		if (!fk.requests[i].answered)
			fail_msg("request %zu is not answered", i + 1);
	}
	for (i = 0; i < fk.n_exits; i++) {
		if (!fk.exits[i].acked)
			fail_msg("exit %zu is not acknowledged", i);
	}
	for (i = 0; i < fk.n_steps; i++) {
		if (!fk.steps[i].acked)
			fail_msg("step %s, key %" PRIx64 ", is left", fk.steps[i].verb,
			    fk.steps[i].s.key);
	}
	if (fk.n_names > 0)
		fail_msg("descriptor '%s' is left", fk.names[0]);
	expect_no_files();
}

/* --- fixtures -------------------------------------------------------------------------------------------- */

static const char config_json[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
    "\"root\":{\"path\":\"rootfs\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]}}";

static void
write_config(const char *json)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/config.json", fk.bundle);
	assert_int_equal(file_write(AT_FDCWD, path, json, strlen(json), 0600, NULL), 0);
}

void
fk_shared_pidns(void)
{
	write_config("{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
		     "\"root\":{\"path\":\"rootfs\"},\"linux\":{\"namespaces\":[]}}");
}

int
fk_setup(void **state)
{

	(void)state;
	memset(&fk, 0, sizeof fk);
	fk.pod.dirfd = -1;
	fk.next_pid = 4000000; /* nobody's */
	fk.idle_n = UINT64_MAX;
	/* a tmpfs, as in life: here thousands of commits wait for no disk */
	(void)snprintf(fk.dir, sizeof fk.dir, "%s/podshim-worker-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fk.dir));
	(void)snprintf(fk.bundle, sizeof fk.bundle, "%s/bundle", fk.dir);
	assert_int_equal(mkdir(fk.bundle, 0700), 0);
	write_config(config_json);
	return 0;
}

static void
remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL) {
		AUTO_FREE char *sub = mem_printf("%s/%s", path, de->d_name);

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlink(sub) == -1)
			remove_all(sub);
	}
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(path);
}

int
fk_teardown(void **state)
{
	(void)state;
	if (fk.up)
		fk_die();
	remove_all(fk.dir);
	return 0;
}

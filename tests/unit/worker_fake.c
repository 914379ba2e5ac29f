/*
 * The stand-ins of worker_help.h: link.c and outbox.c as plain functions; io.c's
 * are in worker_fake_io.c.
 * A test that links this does not pull those from libworker.a.
 */
#include "worker_fake.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "proto/ttrpc.pb-c.h"
#include "worker/link.h"
#include "worker/outbox.h"
#include "worker_help.h"

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

static void
poison(const char *verb)
{
	if (!fk.in_run || fk.poison == NULL || strcmp(verb, fk.poison) != 0 ||
	    fk.n_poison == 0)
		return;
	fk.n_poison--;
	fk.suspect = fk.poison_outside ? 0 : fk.in_hand;
	longjmp(fk.env, 1);
}

int __real_store_commit(struct store *st, enum store_commit_mode mode, struct err *err);
int __wrap_store_commit(struct store *st, enum store_commit_mode mode, struct err *err);
int
__wrap_store_commit(struct store *st, enum store_commit_mode mode, struct err *err)
{
	int rc;

	tick();
	poison("commit");
	rc = __real_store_commit(st, mode, err);
	tick();
	return rc;
}

/* --- the freezer --------------------------------------------------------------------- */

void __wrap_cgroup_thaw(const char *path);
void
__wrap_cgroup_thaw(const char *path)
{
	(void)path;
	fk.frozen = false;
}

bool __wrap_cgroup_is_frozen(const char *path);
bool
__wrap_cgroup_is_frozen(const char *path)
{
	(void)path;
	return fk.frozen;
}

/* --- cgroups --------------------------------------------------------------------------- */

int __wrap_cgroup_of_pid(pid_t pid, char **path, struct err *err);
int
__wrap_cgroup_of_pid(pid_t pid, char **path, struct err *err)
{
	(void)pid;
	if (fk.cgroup == NULL)
		return err_setx(err, ESRCH, "no such process");
	*path = mem_strdup(fk.cgroup);
	return 0;
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
	*st = (struct fk_step){
	    .s = {.key = key, .kind = kind, .state = STEP_RUNNING, .text = ""}};
	(void)snprintf(st->verb, sizeof st->verb, "%s", verb);
	return st;
}

static int
find_name(const char *name)
{
	size_t i;

	for (i = 0; i < fk.n_names; i++) {
		if (strcmp(fk.names[i].text, name) == 0)
			return (int)i;
	}
	return -1;
}

static void
add_name(const char *name, bool untold)
{
	struct fk_name *e = &fk.names[fk.n_names++];

	assert_true(fk.n_names < FK_MAX);
	(void)snprintf(e->text, sizeof e->text, "%s", name);
	e->untold = untold;
}

static const char *
verb_of(const struct msg_spawn *spawn)
{
	static const char *const verbs[] = {"create", "start", "exec", "delete", "kill",
	    "pause", "resume", "update", "checkpoint", "restore"};
	size_t i, j;

	for (i = 0; spawn->argv[i] != NULL; i++) {
		if (strcmp(spawn->argv[i], "--mount") == 0)
			return ((const char *)spawn->tag.p)[0] == 'u' ? "unmount"
								      : "mount";
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
	if (strcmp(st->verb, "pause") == 0)
		fk.frozen = true; /* some of it, if it was killed */
	else if (strcmp(st->verb, "resume") == 0 && wait_status == 0)
		fk.frozen = false;
	if (wait_status == 0 && st->bound) {
		st->s.child_pid = fk.next_pid++;
		st->s.child_start = fk.child_start;
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
		poison(verb_of(spawn));
		/* or it would mount behind the other's back */
		if (strcmp(verb_of(spawn), "unmount") == 0 &&
		    fk_command("mount", 0) != NULL)
			assert_int_not_equal(
			    fk_command("mount", 0)->s.state, STEP_RUNNING);
		st = new_step(spawn->key, STEP_SPAWN, verb_of(spawn));
		memcpy(st->tag, spawn->tag.p, spawn->tag.len);
		st->s.tag = (struct msg_bytes){st->tag, spawn->tag.len};
		st->bound = (spawn->flags & SPAWN_ADOPT) != 0;
		if ((spawn->flags & SPAWN_CONSOLE) != 0) {
			char tty[32];

			(void)snprintf(tty, sizeof tty, "tty/%" PRIx64, spawn->key);
			add_name(tty, true);
		}
		if (fk.no_room > 0) {
			fk.no_room--;
			st->s.state = STEP_FAILED;
			st->s.error = EAGAIN;
		} else if (fk.hold == NULL || strcmp(fk.hold, st->verb) != 0)
			fk_end(st,
			    fk.fail != NULL && strcmp(fk.fail, st->verb) == 0 ? 1 << 8
									      : 0);
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
link_signal(
    struct link *lk, uint64_t key, uint64_t target, int signo, link_step_cb cb, void *arg)
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
			if (signo == SIGKILL && !fk.survives)
				fk_end(to, SIGKILL);
		} else {
			st->s.state = STEP_FAILED;
			st->s.error = ESRCH;
		}
	}
	watch_step(key, cb != NULL ? cb : signal_ignored, arg);
	tick();
}

uint64_t
link_memo(struct link *lk, const struct msg_bytes *tag)
{
	uint64_t key = link_internal_key(lk);
	struct fk_step *st;

	tick();
	st = new_step(key, STEP_SIGNAL, "memo");
	memcpy(st->tag, tag->p, tag->len);
	st->s.tag = (struct msg_bytes){st->tag, tag->len};
	st->s.state = STEP_FAILED;
	st->s.error = ESRCH;
	return key;
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
link_each_step(
    struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg)
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
	if (st != NULL && st->s.state != STEP_RUNNING &&
	    (!st->bound || st->s.child_pid == 0))
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
	m = (Ttrpc__Response *)protobuf_c_message_unpack(
	    &ttrpc__response__descriptor, NULL, len, response);
	assert_non_null(m);
	r->code = m->status == NULL ? 0 : m->status->code;
	(void)snprintf(
	    r->text, sizeof r->text, "%s", m->status == NULL ? "" : m->status->message);
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
		assert_true(n_held < FK_MAX);
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
link_log(struct link *lk, const char *path)
{
	(void)lk;
	(void)path;
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
	uint64_t was = fk.in_hand;

	(void)lk;
	(void)what;
	fk.in_hand = n;
	return was;
}

void
link_loop_pass(struct link *lk)
{
	(void)lk;
	fk.n_passes++;
}

/* --- the fd store: names only ---------------------------------------------------------- */

void
link_fd_put(struct link *lk, const char *name, int fd)
{
	(void)lk;
	(void)fd;
	tick();
	if (find_name(name) == -1)
		add_name(name, false);
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
		if (prefix ? strncmp(fk.names[i].text, name, len) == 0
			   : strcmp(fk.names[i].text, name) == 0)
			fk.names[i] = fk.names[--fk.n_names];
		else
			i++;
	}
	tick();
}

bool
link_fd_known(struct link *lk, const char *name)
{
	int i = find_name(name);

	(void)lk;
	return i != -1 && !fk.names[i].untold;
}

void
link_each_fd(struct link *lk, void (*cb)(const char *name, void *arg), void *arg)
{
	struct fk_name copy[FK_MAX];
	size_t i, n = fk.n_names;

	(void)lk;
	memcpy(copy, fk.names, sizeof copy);
	for (i = 0; i < n; i++) {
		if (!copy[i].untold)
			cb(copy[i].text, arg);
	}
}

/* --- the outbox: rows only ------------------------------------------------------------------ */

void
outbox_add(struct outbox *ob, const char *container, const char *exec_id,
    const char *topic, const char *type, const void *body, size_t len)
{
	const struct row_event row = {.container = container,
	    .exec_id = exec_id,
	    .topic = topic,
	    .type = type,
	    .body = body,
	    .body_len = len,
	    .class = EVENT_KEEP};

	(void)ob;
	(void)store_add_event(fk.pod.store, &row);
}

void
outbox_at_end(struct outbox *ob, bool at_end)
{
	(void)ob;
	(void)at_end;
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
outbox_drain(struct outbox *ob, uint64_t timeout_us, bool (*still_cb)(void *arg),
    void (*cb)(void *arg), void *arg)
{
	(void)ob;
	(void)timeout_us;
	(void)still_cb;
	cb(arg);
}

void
outbox_drain_stop(struct outbox *ob)
{
	(void)ob;
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
	assert_int_equal(
	    store_each_event(fk.pod.store, 0, add_event_text, NULL, NULL), 0);
	return events_text;
}
/* --- what the helper calls ------------------------------------------------------- */

void
fake_forget(void)
{
	size_t i;

	n_watch = n_gets = n_internal = 0;
	n_held = 0;
	for (i = 0; i < fk.n_names; i++)
		fk.names[i].untold = false; /* the snapshot tells */
}

bool
fake_deliver_steps(void)
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
		fk.in_hand = key_is_internal(copy.key) ? 0 : key_request(copy.key);
		watch[i].cb(&copy, watch[i].arg);
		fk.in_hand = 0;
		any = true;
	}
	return any;
}

bool
fake_deliver_fds(void)
{
	bool any = false;
	size_t i;

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

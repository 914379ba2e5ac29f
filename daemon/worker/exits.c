/*
 * Exits. A row is committed and acknowledged at once; its event may have to
 * wait: an exec's for TaskExecStarted, init's for the exits of all execs. An
 * exit that comes before its process has a row (its Create or Start is under
 * way) is held, unacknowledged, until that request has ended; so is, for a moment, one
 * whose last output is still being read: clients stop reading when they hear of it.
 */
#include "worker/exits.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/io.h"
#include "worker/oom.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"

#define EXITS_SETTLE_US	 (10 * US_PER_S)
/* How much later an exit is told while a client is still reading the last output. */
#define EXITS_READERS_US (2 * US_PER_S)
#define EXITS_UNKNOWN	 255 /* the status of an exit that nobody saw */
#define EXITS_KILLED	 (128u + SIGKILL)

struct held_exit {
	struct held_exit *next, *prev;
	uint64_t key;
	int wait_status;
	int64_t t_real_ns;
};

/* --- one exit -------------------------------------------------------------------- */

void
exits_answer_waits(struct process *p)
{
	Containerd__Task__V2__WaitResponse r = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;
	struct op *op;

	wire_timestamp(&ts, p->exited_at);
	r.exit_status = p->exit_status;
	r.exited_at = &ts;
	DL_FOREACH2(p->waiters, op, w_next)
	{
		op_set_ok(op, &r.base);
		op_store_answer(op);
	}
}

void
exits_end_waits(struct process *p)
{
	while (p->waiters != NULL)
		op_end(p->waiters);
}

/* Has it ended, and only its readers are being waited for? */
static bool
exits_is_unread(const struct process *p)
{
	return p->awaited && p->state == TASK_RUNNING;
}

void
exits_answer_untold(struct process *p)
{
	struct container *c = p->c;

	if (exits_is_unread(p)) {
		p->exit_status = process_status_of(p->wait_status);
		p->exited_at = p->ended_at;
	} else if (p->state == TASK_RUNNING) {
		/* it may be younger than init's end, or another worker's kill was lost */
		link_kill(c->pod->link, p->key);
		p->exit_status = EXITS_KILLED;
		p->exited_at = clock_real_ns();
	}
	exits_answer_waits(p);
}

void
exits_end_untold(struct process *p, int commit_rc)
{
	exits_end_waits(p);
	if (exits_is_unread(p))
		pod_ack_exit(p->c->pod, p->key, commit_rc);
}

/*
 * Init died in a paused container: what it leaves must be able to die, too. Before
 * the commit, after which nobody would know that it was paused.
 */
static void
exits_thaw(const struct process *p)
{
	const struct container *c = p->c;

	if (process_is_init(p) && (c->state == TASK_PAUSED || c->state == TASK_PAUSING) &&
	    c->cgroup[0] != '\0')
		cgroup_thaw(c->cgroup);
}

static void exits_apply(struct process *p, int wait_status, int64_t t_real_ns);

static void
exits_on_read(void *arg)
{
	struct process *p = arg;
	struct pod *pod = p->c->pod;
	AUTO_FREE char *id = mem_strdup(p->c->id);

	exits_apply(p, p->wait_status, p->ended_at);
	purge_honour(pod, id);
}

/* Is the client still reading what it wrote last (doc/OUTPUT.md)? Then later. */
static bool
exits_postpone(struct process *p, int wait_status, int64_t t_real_ns)
{
	if (p->io == NULL || p->awaited || p->c->purging || !p->c->pod->live)
		return false;
	p->awaited = true;
	p->wait_status = wait_status;
	p->ended_at = t_real_ns;
	io_process_exited(p->io);
	return io_await_readers(p->io, EXITS_READERS_US, exits_on_read, p);
}

/* Into the history. */
static void
exits_audit(const struct process *p, int wait_status)
{
	AUTO_FREE char *how = mem_printf("exit status %u%s", p->exit_status,
	    WIFSIGNALED(wait_status) ? ", by a signal" : "");

	store_audit(p->c->pod->store, p->c->id, p->exec_id, "exit", how);
}

static void
exits_apply(struct process *p, int wait_status, int64_t t_real_ns)
{
	struct container *c = p->c;
	struct pod *pod = c->pod;
	int rc;

	if (p->state == TASK_STOPPED) { /* a worker died between commit and ACK */
		link_ack_exit(pod->link, p->key);
		return;
	}
	if (exits_postpone(p, wait_status, t_real_ns))
		return;
	CRASH_POINT("exit.unread");
	exits_thaw(p);
	p->exit_status = process_status_of(wait_status);
	p->exited_at = t_real_ns;
	process_move(p, TASK_STOPPED);
	pod_begin(pod);
	if (!process_is_init(p) && !p->starting) {
		oom_note(c);
		if (!c->purging)
			events_exit(p);
		p->exit_sent = true;
	}
	process_put(p);
	if (process_is_init(p))
		container_put(c);
	exits_audit(p, wait_status);
	exits_answer_waits(p);
	rc = pod_commit(pod, STORE_KEEP, NULL);
	log_debug("process %s/%s pid %d: exit status %u", c->id, p->exec_id, p->pid,
	    p->exit_status);
	CRASH_POINT("exit.committed");
	exits_end_waits(p);
	CRASH_POINT("exit.answered");
	pod_ack_exit(pod, p->key, rc);
	CRASH_POINT("exit.acked");
	if (p->io != NULL)
		io_process_exited(p->io);
	if (process_is_init(p))
		pod_mark(pod);
	exits_settle(c);
}

static struct held_exit *
exits_hold(struct pod *pod, const struct msg_exit *ex)
{
	struct held_exit *h = mem_zalloc(sizeof *h);

	h->key = ex->key;
	h->wait_status = ex->wait_status;
	h->t_real_ns = ex->t_real_ns;
	DL_APPEND(pod->held, h);
	return h;
}

void
exits_on_exit(struct pod *pod, const struct msg_exit *ex)
{
	struct process *p = pod->live ? process_by_key(pod, ex->key) : NULL;

	if (p != NULL) {
		struct container *c = p->c;
		AUTO_FREE char *id = mem_strdup(c->id);

		exits_apply(p, ex->wait_status, ex->t_real_ns);
		purge_honour(pod, id);
		return;
	}
	(void)exits_hold(pod, ex);
	if (pod->live && op_find(pod, key_request(ex->key)) == NULL)
		exits_release(pod, key_request(ex->key));
}

bool
exits_holds(const struct pod *pod, uint64_t key)
{
	const struct held_exit *h;

	DL_FOREACH(pod->held, h)
	{
		if (h->key == key)
			return true;
	}
	return false;
}

void
exits_apply_held(struct pod *pod)
{
	struct held_exit *h, *next;

	DL_FOREACH_SAFE(pod->held, h, next)
	{
		struct process *p = process_by_key(pod, h->key);

		if (p == NULL)
			continue;
		DL_DELETE(pod->held, h);
		exits_apply(p, h->wait_status, h->t_real_ns);
		free(h);
	}
}

void
exits_apply_all(struct pod *pod)
{
	struct process *p, *next;

	exits_apply_held(pod);
	HASH_ITER (hh_key, pod->processes, p, next) {
		if (exits_is_unread(p))
			exits_apply(p, p->wait_status, p->ended_at);
	}
}

/*
 * The keeper keeps the step of each process until its exit is acknowledged. One
 * that lives by our rows but has no such step is dead, and nobody knows how.
 */
void
exits_find_lost(struct pod *pod)
{
	struct process *p, *next;

	HASH_ITER (hh_key, pod->processes, p, next) {
		if (p->state == TASK_STOPPED ||
		    link_step_known(pod->link, p->key) != NULL)
			continue;
		log_errx("process '%s/%s', pid %d: its exit is lost", p->c->id,
		    p->exec_id, p->pid);
		exits_apply(p, EXITS_UNKNOWN << 8, clock_real_ns());
	}
}

void
exits_release(struct pod *pod, uint64_t n)
{
	struct held_exit *h, *next;

	DL_FOREACH_SAFE(pod->held, h, next)
	{
		struct process *p;

		if (n != 0 ? key_request(h->key) != n
			   : op_find(pod, key_request(h->key)) != NULL)
			continue;
		DL_DELETE(pod->held, h);
		p = process_by_key(pod, h->key);
		if (p != NULL) {
			exits_apply(p, h->wait_status, h->t_real_ns);
		} else {
			log_debug("exit of key %" PRIx64 ", which nobody knows", h->key);
			link_ack_exit(pod->link, h->key);
		}
		free(h);
	}
}

/* --- init last --------------------------------------------------------------------- */

bool
exits_settled(const struct container *c)
{
	return container_stopped(c) && c->init->exit_sent;
}

void
exits_never_ran(struct container *c)
{
	if (c->init->state == TASK_CREATED)
		process_move(c->init, TASK_STOPPED);
	c->init->exit_sent = true;
}

/* What init leaves behind dies too; in a pid namespace of its own it has already. */
static void
exits_kill_rest(struct container *c)
{
	struct err err = ERR_INIT;
	struct process *p, *next;

	if (!c->own_pidns && c->cgroup[0] != '\0') {
		if (cgroup_kill(c->cgroup, &err) < 0)
			log_warnx(
			    "container '%s': kill what init left: %s", c->id, err.text);
		cgroup_thaw(c->cgroup);
	}
	HASH_ITER (hh, c->execs, p, next) {
		if (p->state == TASK_RUNNING)
			link_kill(c->pod->link, p->key);
	}
}

static void
exits_publish_init(struct container *c)
{
	struct pod *pod = c->pod;
	struct process *init = c->init;

	pod_begin(pod);
	oom_note(c);
	if (!c->purging)
		events_exit(init);
	init->exit_sent = true;
	process_put(init);
	(void)pod_commit(pod, STORE_KEEP, NULL);
	oom_unwatch(c);
	c->settling = false;
	if (c->settle_ev != NULL)
		(void)event_del(c->settle_ev);
}

static void
exits_on_settle_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	log_warnx("container '%s': %u execs outlive its init, not waiting for them",
	    c->id, container_busy_execs(c));
	c->settle_late = true;
	exits_settle(c);
}

void
exits_settle(struct container *c)
{
	void (*cb)(struct op * op);
	struct op *op;

	if (!container_stopped(c) || c->gone)
		return;
	if (!c->init->exit_sent) {
		if (!c->settling) {
			c->settling = true;
			exits_kill_rest(c);
		}
		if (c->init->starting)
			return; /* TaskStart comes first; its Start calls again */
		if (container_busy_execs(c) > 0 && !c->settle_late) {
			if (c->settle_ev == NULL)
				c->settle_ev =
				    pod_timer_new(c->pod, exits_on_settle_timeout, c);
			if (!event_pending(c->settle_ev, EV_TIMEOUT, NULL))
				pod_timer_set(c->settle_ev, EXITS_SETTLE_US);
			return;
		}
		exits_publish_init(c);
	}
	op = c->settle_waiter;
	cb = c->settle_cb;
	c->settle_waiter = NULL;
	if (op != NULL) {
		uint64_t was = link_in_hand(c->pod->link, op_hand(op), op->method->name);

		cb(op);
		(void)link_in_hand(c->pod->link, was, NULL);
	}
}

void
exits_wait_settled(struct op *op, void (*cb)(struct op *op))
{
	op->c->settle_waiter = op;
	op->c->settle_cb = cb;
}

/*
 * Delete: of an exec, and of a container; and what Purge shares with it.
 *
 *	container: [kill a created init] → init's exit recorded and told →
 *	stdio drained → `runtime delete` → unmount → rows, TaskDelete, answer
 *
 * What can surprise: the Waits of a process have been answered when it exited, but an
 * answer may still be in our own queue. It has a row of its own then, and
 * pod_begin() drops that only once the keeper has the answer (R3 of recovery.md).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/exits.h"
#include "worker/io.h"
#include "oci/mount.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"
#include "worker/steps.h"
#include "worker/tasks.h"

/* How a Delete under way ends; in op->priv. */
struct deletion {
	bool force;
	void (*answer)(struct op *op); /* sets the answer */
};

static void
delete_set_ok(struct op *op)
{
	Containerd__Task__V2__DeleteResponse r =
	    CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, op->p->exited_at);
	r.pid = (uint32_t)op->p->pid;
	r.exit_status = op->p->exit_status;
	r.exited_at = &ts;
	op_set_ok(op, &r.base);
}

/* Everything a process has outside of rows. */
static void
delete_leavings(struct process *p)
{
	struct pod *pod = p->c->pod;

	exits_end_waits(p);
	if (p->terminal)
		process_drop_tty(pod, p->key);
	if (p->key != 0)
		pod_unlink_key(pod, "pid", p->key);
}

/* From a callback of stdio, which knows of no request: what follows is in its hand. */
static void
delete_go_on(struct op *op, void (*next)(struct op *op))
{
	struct link *lk = op->pod->link;
	uint64_t was = link_in_hand(lk, op_hand(op), op->method->name);

	next(op);
	(void)link_in_hand(lk, was, NULL);
}

/* --- an exec ------------------------------------------------------------------------ */

static void
delete_exec_final(struct op *op)
{
	struct process *p = op->p;
	struct container *c = op->c;
	AUTO_FREE char *prefix = mem_printf("io/%s/%s/", c->id, p->exec_id);
	int rc;

	delete_set_ok(op);
	pod_begin(op->pod);
	store_delete_process(op->pod->store, c->id, p->exec_id);
	exits_answer_waits(p);
	op_store_answer(op);
	CRASH_POINT("delete.final");
	rc = pod_commit(op->pod, STORE_KEEP, NULL);
	pod_note_gone(op->pod, TAG_DELETED, c->id, p->exec_id, rc);
	CRASH_POINT("delete.committed");
	delete_leavings(p);
	/* a worker died in its Start, which was then not begun again */
	if (p->io == NULL)
		link_fd_drop(op->pod->link, prefix, true);
	op->p = NULL;
	process_free(p);
	op_end(op);
}

static void
delete_exec_on_drained(void *arg)
{
	delete_go_on(arg, delete_exec_final);
}

static void
delete_exec(struct op *op)
{
	struct process *p = op->p;

	if (p->state == TASK_RUNNING || p->starting) {
		op_fail(op, STATUS_UNKNOWN, "cannot delete a running process");
		return;
	}
	if (p->io == NULL || p->drained) {
		delete_exec_final(op);
		return;
	}
	p->drained = true;
	io_drain(p->io, op->pod->conf.drain_timeout_us, delete_exec_on_drained, op);
}

/* --- a container ---------------------------------------------------------------------- */

static void
delete_final(struct op *op)
{
	const struct deletion *d = op->priv;
	struct container *c = op->c;
	struct pod *pod = op->pod;
	AUTO_FREE char *prefix = mem_printf("io/%s/", c->id);
	struct process *p, *next;
	int rc;

	d->answer(op);
	pod_begin(pod);
	if (!c->purging)
		events_delete(c->init);
	HASH_ITER (hh, c->execs, p, next)
		exits_answer_untold(p);
	exits_answer_waits(c->init);
	store_delete_container(pod->store, c->id);
	store_audit(pod->store, c->id, "", c->purging ? "purge" : "delete", "");
	op_store_answer(op);
	CRASH_POINT("delete.final");
	rc = pod_commit(pod, STORE_KEEP, NULL);
	pod_note_gone(pod, c->purging ? TAG_PURGED : TAG_DELETED, c->id, "", rc);
	CRASH_POINT("delete.committed");
	HASH_ITER (hh, c->execs, p, next) {
		exits_end_untold(p, rc);
		delete_leavings(p);
		process_free(p);
	}
	delete_leavings(c->init);
	op->p = NULL;
	process_free(c->init);
	link_fd_drop(pod->link, prefix, true);
	if (c->cgroup[0] != '\0')
		(void)cgroup_remove(c->cgroup);
	container_forget(c);
	pod_mark(pod);
	op_end(op);
	CRASH_POINT("delete.answered");
}

/*
 * Not even run, as there was no room for a process? Whoever asks for a Purge is a process
 * outside of the pod's limits, and can do it.
 */
static bool
delete_found_no_room(const struct msg_step *step)
{
	return step->state == STEP_FAILED &&
	    (step->error == EAGAIN || step->error == ENOMEM || step->error == EMFILE ||
		step->error == ENFILE);
}

static void
delete_on_unmounted(struct op *op, const struct command_result *res)
{
	CRASH_POINT("delete.unmounted");
	if (!res->ok)
		log_warnx("container '%s': %s, ignoring", op->id, res->error);
	op->c->unswept |= delete_found_no_room(res->step);
	delete_final(op);
}

static void
delete_unmount(struct op *op)
{
	if (op->c->rootfs_mounted)
		command_run_mounts(op, STEP_UMOUNT, TAG_UMOUNT,
		    mount_orders(op->c->bundle, NULL, 0), delete_on_unmounted);
	else
		delete_final(op);
}

static void
delete_on_deleted(struct op *op, const struct command_result *res)
{
	CRASH_POINT("delete.done");
	if (!res->ok && !runtime_error_is_gone(res->error)) {
		/* nobody can be told any more of one that is purged, or was told gone */
		if (!op->c->purging && !op->c->deleted) {
			op_fail(op, res->code, "%s", res->error);
			return;
		}
		log_warnx("container '%s': %s, ignoring", op->id, res->error);
		op->c->unswept |= delete_found_no_room(res->step);
	}
	delete_unmount(op);
}

static void
delete_run(struct op *op)
{
	const struct deletion *d = op->priv;
	struct command *cmd =
	    command_new(op, STEP_DELETE, TAG_DELETE, "OCI runtime delete failed");

	runtime_delete(&cmd->argv, &cmd->target, d->force);
	command_run(cmd, delete_on_deleted);
}

static void
delete_on_drained(void *arg)
{
	delete_go_on(arg, delete_run);
}

void
delete_stopped(struct op *op, bool force, void (*answer)(struct op *op))
{
	struct deletion *d = mem_zalloc(sizeof *d);
	struct process *init = op->c->init;

	d->force = force;
	d->answer = answer;
	free(op->priv);
	op->priv = d;
	op->priv_free = free;
	if (init->io == NULL || init->drained) {
		delete_run(op);
		return;
	}
	init->drained = true;
	io_drain(init->io, op->c->purging ? 0 : op->pod->conf.drain_timeout_us,
	    delete_on_drained, op);
}

static void
delete_on_settled(struct op *op)
{
	/* a created container's state is the runtime's to forget by force */
	delete_stopped(op, op->keys[STEP_DELETE_KILL] != 0, delete_set_ok);
}

static void
delete_when_settled(struct op *op)
{
	if (exits_settled(op->c))
		delete_on_settled(op);
	else
		exits_wait_settled(op, delete_on_settled);
}

static void
delete_on_killed(const struct msg_step *step, void *arg)
{
	struct op *op = arg;

	(void)step; /* ESRCH: its exit is on its way all the same */
	delete_when_settled(op);
}

void
task_delete(struct op *op)
{
	struct container *c;

	if (!op_find_process(op))
		return;
	if (!process_is_init(op->p)) {
		delete_exec(op);
		return;
	}
	c = op->c;
	if (container_stopped(c)) {
		delete_when_settled(op);
	} else if (c->state == TASK_CREATED && c->init->key == 0) {
		exits_never_ran(c);
		delete_stopped(op, true, delete_set_ok);
	} else if (c->state == TASK_CREATED) {
		op_signal(op, STEP_DELETE_KILL, c->init->key, SIGKILL, delete_on_killed);
	} else {
		op_fail(op, STATUS_UNKNOWN, "cannot delete a %s process",
		    c->state == TASK_RUNNING ? "running" : task_state_name(c->state));
	}
}

/* --- one that was answered, but not written ----------------------------------------------- */

static void
delete_rest_begin(struct op *op)
{
	op->p = op->c->init;
	if (op->p->key == 0)
		exits_never_ran(op->c);
	delete_when_settled(op);
}

static const struct op_method delete_rest_method = {
    .name = "rest of a Delete",
    .begin = delete_rest_begin,
    .class = OP_QUEUE,
};

/* Its request is still open: then that is run again, and writes what is to be written. */
static bool
delete_is_open(const struct pod *pod, const struct tag *tag)
{
	const struct op *op;

	for (op = pod->ops; op != NULL; op = op->hh.next)
		if ((op->method->begin == task_delete ||
			op->method->begin == purge_begin) &&
		    strcmp(op->id, tag->container) == 0 &&
		    strcmp(op->exec_id, tag->exec_id) == 0)
			return true;
	return false;
}

static void
delete_rest_of_exec(struct process *p, uint64_t memo)
{
	struct pod *pod = p->c->pod;
	int rc;

	pod_begin(pod);
	store_delete_process(pod->store, p->c->id, p->exec_id);
	rc = pod_commit(pod, STORE_KEEP, NULL);
	pod_note_gone(pod, TAG_DELETED, p->c->id, p->exec_id, rc);
	delete_leavings(p);
	process_free(p);
	link_ack(pod->link, memo);
}

static void
delete_on_memo(const struct msg_step *step, void *arg)
{
	struct pod *pod = arg;
	AUTO_FREE char *copy = NULL;
	struct container *c;
	struct process *p;
	struct tag tag;
	struct op *op;

	if (!key_is_internal(step->key) || step->kind != STEP_SIGNAL ||
	    !tag_read(&step->tag, &tag, &copy) ||
	    (tag.kind != TAG_DELETED && tag.kind != TAG_PURGED))
		return;
	c = container_get(pod, tag.container);
	p = c == NULL ? NULL : process_find(c, tag.exec_id);
	if (p == NULL || p->state == TASK_RUNNING || c->deleted ||
	    delete_is_open(pod, &tag)) {
		link_ack(pod->link, step->key);
		return;
	}
	log_info("container '%s': %s%s was deleted when the disk was full", c->id,
	    p->exec_id[0] != '\0' ? "exec " : "it", p->exec_id);
	if (!process_is_init(p)) {
		delete_rest_of_exec(p, step->key);
		return;
	}
	c->deleted = true;
	c->purging |= tag.kind == TAG_PURGED;
	op = op_new_internal(c, &delete_rest_method);
	op->keys[STEP_DELETE_MEMO] = step->key; /* acknowledged with the others */
}

void
delete_noted(struct pod *pod)
{
	struct container *c, *next;

	link_each_step(pod->link, delete_on_memo, pod);
	HASH_ITER (hh, pod->containers, c, next) {
		if (c->deleted)
			op_pump(c);
	}
}

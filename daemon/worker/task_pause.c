/*
 * Pause and Resume: one runtime command each.
 *
 * What can surprise: a container whose init dies meanwhile is STOPPED, whatever
 * the command says; then all that matters is that nothing stays frozen, for on
 * cgroup v1 a frozen process does not die. PAUSING is in memory only: it
 * lasts as long as its command, which a next worker takes up again.
 */
#include "base/err.h"
#include "base/log.h"
#include "oci/cgroup.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/steps.h"
#include "worker/tasks.h"

static void
pause_thaw(struct container *c)
{
	if (c->cgroup[0] != '\0')
		cgroup_thaw(c->cgroup);
}

/* Its rows and event, into the current transaction. */
static void
pause_put(struct container *c, enum task_state state)
{
	c->state = state;
	container_put(c);
	if (state == TASK_PAUSED)
		events_paused(c);
	else
		events_resumed(c);
	store_audit(
	    c->pod->store, c->id, "", state == TASK_PAUSED ? "pause" : "resume", "");
}

static void
pause_final(struct op *op, enum task_state state)
{
	struct pod *pod = op->pod;

	op_set_empty(op);
	pod_begin(pod);
	pause_put(op->c, state);
	op_store_answer(op);
	CRASH_POINT("pause.final");
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("pause.committed");
	pod_mark(pod);
	op_end(op);
}

/* --- Pause ------------------------------------------------------------------------ */

static void
pause_on_undone(struct op *op, const struct command_result *res)
{
	struct container *c = op->c;

	if (!res->ok) {
		log_warnx("container '%s': undo pause: %s", c->id, res->error);
		pause_thaw(c);
	}
	if (!container_stopped(c))
		c->state = TASK_RUNNING;
	op_end(op);
}

/* Its caller was told that it did not happen. */
static void
pause_undo(struct op *op)
{
	struct command *cmd = command_new(op, STEP_FREEZE_UNDO, TAG_OTHER, "undo pause");

	runtime_resume(&cmd->argv, &cmd->target);
	command_run(cmd, pause_on_undone);
}

static void
pause_done(struct op *op, const struct command_result *res)
{
	struct container *c = op->c;

	CRASH_POINT("pause.done");
	if (container_stopped(c)) {
		pause_thaw(c);
		op_fail(op, STATUS_UNKNOWN, "cannot pause a stopped container");
	} else if (!res->ok) {
		/* one that was killed in its midst may have frozen some of it */
		pause_thaw(c);
		c->state = TASK_RUNNING;
		op_fail(op, res->code, "%s", res->error);
	} else if (op->told) {
		pause_undo(op);
	} else {
		pause_final(op, TASK_PAUSED);
	}
}

void
task_pause(struct op *op)
{
	struct command *cmd;

	if (!op_find_container(op))
		return;
	if (!op_has_steps(op) && op->c->state != TASK_RUNNING) {
		op_fail(op, STATUS_UNKNOWN, "cannot pause a %s container",
		    task_state_name(op->c->state));
		return;
	}
	if (!container_stopped(op->c))
		op->c->state = TASK_PAUSING;
	cmd = command_new(op, STEP_FREEZE, TAG_OTHER, "OCI runtime pause failed");
	runtime_pause(&cmd->argv, &cmd->target);
	command_run(cmd, pause_done);
}

/* --- Resume ----------------------------------------------------------------------- */

static void
resume_done(struct op *op, const struct command_result *res)
{
	CRASH_POINT("resume.done");
	if (container_stopped(op->c)) {
		pause_thaw(op->c);
		op_fail(op, STATUS_UNKNOWN, "cannot resume a stopped container");
	} else if (!res->ok) {
		op_fail(op, res->code, "%s", res->error);
	} else {
		/* also when it came too late: what runs again cannot be called back */
		pause_final(op, TASK_RUNNING);
	}
}

void
task_resume(struct op *op)
{
	struct command *cmd;

	if (!op_find_container(op))
		return;
	if (!op_has_steps(op) && op->c->state != TASK_PAUSED) {
		op_fail(op, STATUS_UNKNOWN, "cannot resume a %s container",
		    task_state_name(op->c->state));
		return;
	}
	cmd = command_new(op, STEP_FREEZE, TAG_OTHER, "OCI runtime resume failed");
	runtime_resume(&cmd->argv, &cmd->target);
	command_run(cmd, resume_done);
}

/* --- without a request -------------------------------------------------------------- */

void
pause_settle(struct container *c)
{
	struct pod *pod = c->pod;

	/* PAUSING: there is a new Pause, which says how it is */
	if (c->state == TASK_RUNNING) {
		pause_thaw(c);
	} else if (c->state == TASK_PAUSED && c->cgroup[0] != '\0' &&
	    !cgroup_is_frozen(c->cgroup)) {
		log_info("container '%s' runs again: its Resume came too late", c->id);
		pod_begin(pod);
		pause_put(c, TASK_RUNNING);
		(void)pod_commit(pod, STORE_KEEP, NULL);
		pod_mark(pod);
	}
}

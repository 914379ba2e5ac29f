/*
 * Start, of a container's init (`runtime start`) and of an exec (`runtime exec`).
 *
 * TaskStart and TaskExecStarted stand in the outbox before the process's
 * TaskExit, also if it is dead by the time the runtime returns: init's exit
 * waits in exits_settle() while `starting` is set, an exec's is held until its key
 * is bound here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "worker/birth.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/exits.h"
#include "worker/halt.h"
#include "worker/io.h"
#include "worker/oom.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"

static void
start_set_ok(struct op *op)
{
	Containerd__Task__V2__StartResponse r =
	    CONTAINERD__TASK__V2__START_RESPONSE__INIT;

	r.pid = (uint32_t)op->p->pid;
	op_set_ok(op, &r.base);
}

/* --- init ------------------------------------------------------------------------ */

bool
start_may_have_run(const struct msg_step *step)
{
	/* one that is killed may have come to the last thing it does */
	return step->state == STEP_DONE &&
	    (!WIFEXITED(step->wait_status) || WEXITSTATUS(step->wait_status) == 0);
}

/* Into the history; nothing depends on it. */
static void
start_audit_failure(struct op *op, const char *why)
{
	pod_begin(op->pod);
	store_audit(op->pod->store, op->id, op->exec_id, "start failed", why);
	(void)pod_commit(op->pod, STORE_KEEP, NULL);
}

/* Its caller takes it for failed, so the program must not run; or no longer. */
static void
start_undo_init(const struct container *c)
{
	if (!container_stopped(c))
		link_kill(c->pod->link, c->init->key);
}

static void
start_init_done(struct op *op, const struct command_result *res)
{
	struct process *p = op->p;
	struct container *c = op->c;

	CRASH_POINT("start.done");
	if (!res->ok) {
		if ((op->told || res->step->timed_out) && start_may_have_run(res->step))
			start_undo_init(c);
		p->starting = false;
		start_audit_failure(op, res->error);
		op_set_fail(op, res->code, "%s", res->error);
		exits_settle(c);
		op_end(op);
		return;
	}
	if (op->told) /* before the commit: a worker that comes then sees no reason */
		start_undo_init(c);
	if (p->state == TASK_CREATED)
		process_move(p, TASK_RUNNING);
	p->started_at = clock_real_ns();
	start_set_ok(op);
	pod_begin(op->pod);
	process_put(p);
	container_put(c);
	events_start(p);
	oom_note(c);
	store_audit(op->pod->store, c->id, "", "start", "");
	op_store_answer(op);
	CRASH_POINT("start.final");
	(void)pod_commit(op->pod, STORE_KEEP, NULL);
	CRASH_POINT("start.committed");
	p->starting = false;
	pod_mark(op->pod);
	op_end(op);
	exits_settle(c);
}

static void
start_init(struct op *op)
{
	struct command *cmd;

	if (!op_has_steps(op) && op->c->state != TASK_CREATED) {
		op_fail(op, STATUS_UNKNOWN, "cannot start a %s process",
		    task_state_name(op->c->state));
		return;
	}
	op->p->starting = true;
	cmd = command_new(op, STEP_START, TAG_START, "OCI runtime start failed");
	runtime_start(&cmd->argv, &cmd->target);
	command_run(cmd, start_init_done);
}

/* --- an exec ----------------------------------------------------------------------- */

static void
start_exec_failed(struct op *op, enum status_code code, const char *text)
{
	struct process *p = op->p;
	struct container *c = op->c;

	op_set_fail(op, code, "%s", text);
	p->starting = false;
	process_set_spec(p, NULL, 0);
	pod_begin(op->pod);
	store_audit(op->pod->store, c->id, p->exec_id, "start failed", text);
	process_put(p);
	exits_answer_waits(p);
	op_store_answer(op);
	(void)pod_commit(op->pod, STORE_KEEP, NULL);
	CRASH_POINT("exec.failed");
	exits_end_waits(p);
	if (p->io != NULL) {
		io_free(p->io);
		p->io = NULL;
	}
	if (p->terminal)
		process_drop_tty(op->pod, op_key(op, STEP_START));
	pod_unlink_key(op->pod, "process", op_key(op, STEP_START));
	op_end(op);
	exits_settle(c);
}

static void
start_exec_done(struct op *op, const struct command_result *res)
{
	const struct command_result born = birth_result(op, res);
	struct process *p = op->p;
	struct container *c = op->c;
	struct pod *pod = op->pod;
	AUTO_FREE char *tty = NULL;

	CRASH_POINT("exec.done");
	if (!born.ok) {
		start_exec_failed(op, born.code, born.error);
		return;
	}
	process_bind(p, res->step->key, res->step->child_pid, res->step->child_start);
	/*
	 * Its caller takes it for failed; or init has gone, and what it left was killed before
	 * this was there. Not after the commit: a worker that comes then sees no reason.
	 */
	if (op->told || container_stopped(c))
		link_kill(pod->link, p->key);
	tty = process_tty_name(p, p->key);
	process_move(p, TASK_RUNNING);
	p->started_at = clock_real_ns();
	process_set_spec(p, NULL, 0);
	start_set_ok(op);
	pod_begin(pod);
	process_put(p);
	events_start(p);
	op_store_answer(op);
	CRASH_POINT("exec.final");
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("exec.committed");
	io_start(p->io, tty);
	pod_unlink_key(pod, "process", p->key);
	p->starting = false;
	op_end(op);
	exits_settle(c);
}

static void
start_exec_run(struct op *op)
{
	struct process *p = op->p;
	struct command *cmd =
	    command_new(op, STEP_START, TAG_EXEC, "OCI runtime exec failed");
	AUTO_FREE char *spec_path = pod_key_path(op->pod, "process", cmd->key);
	struct err err = ERR_INIT;

	if (!command_known(cmd) &&
	    file_write(AT_FDCWD, spec_path, p->spec, p->spec_len, 0600, &err) < 0) {
		command_free(cmd);
		start_exec_failed(op, STATUS_UNKNOWN, err.text);
		return;
	}
	runtime_exec(&cmd->argv, &cmd->target, spec_path, cmd->pid_path, p->terminal);
	birth_run(cmd, start_exec_done, start_exec_failed);
}

static void
start_exec(struct op *op)
{
	struct process *p = op->p;
	struct err err = ERR_INIT;

	if (!op_has_steps(op)) {
		if (p->state != TASK_CREATED || p->spec == NULL) {
			op_fail(op, STATUS_UNKNOWN, "cannot start a %s process",
			    p->state == TASK_CREATED ? "failed"
						     : task_state_name(p->state));
			return;
		}
		if (container_stopped(op->c)) {
			op_fail(op, STATUS_FAILED_PRECONDITION,
			    "container '%s': its init has exited", op->id);
			return;
		}
		if (pod_writable(op->pod, &err) < 0) {
			op_fail(op, STATUS_RESOURCE_EXHAUSTED, "%s", err.text);
			return;
		}
	}
	p->starting = true;
	start_exec_run(op);
}

void
task_start(struct op *op)
{
	struct err err = ERR_INIT;

	if (!op_find_process(op))
		return;
	op->t_recv +=
	    halt_at(process_is_init(op->p) ? HALT_START : HALT_EXEC, op->id, op->exec_id);
	if (!process_is_init(op->p))
		start_exec(op);
	else if (op->p->key == 0)
		restore_start(op);
	else if (!op_has_steps(op) && pod_writable(op->pod, &err) < 0)
		op_fail(op, STATUS_RESOURCE_EXHAUSTED, "%s", err.text);
	else
		start_init(op);
}

/*
 * Kill. One process: a signal by the keeper, once per request, its result kept
 * there until this is answered; so nothing of it needs a row.
 * All of a container: its cgroup for SIGKILL, which may be done twice, else one
 * `runtime kill --all`.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "oci/cgroup.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"

typedef Containerd__Task__V2__KillRequest kill_request;

static const kill_request *
kill_req(const struct op *op)
{
	return (const kill_request *)op->req;
}

static void
kill_finished(struct op *op)
{
	op_fail(op, STATUS_NOT_FOUND, "process already finished");
}

/* Into the history; it is not done by this, so nothing depends on the row. */
static void
kill_audit(struct op *op, bool all)
{
	unsigned signo = kill_req(op)->signal;
	AUTO_FREE char *what = mem_printf("signal %u (%s)%s", signo,
	    signo == 0 ? "none" : strsignal((int)signo), all ? " to all" : "");

	pod_begin(op->pod);
	store_audit(op->pod->store, op->id, op->exec_id, "kill", what);
	(void)pod_commit(op->pod, STORE_KEEP, NULL);
}

static void
kill_on_signalled(const struct msg_step *step, void *arg)
{
	struct op *op = arg;
	const kill_request *req = kill_req(op);
	struct container *c = op->c;
	struct err err = ERR_INIT;

	CRASH_POINT("kill.step");
	if (step->state == STEP_FAILED && step->error == ESRCH) {
		kill_finished(op);
		return;
	}
	if (step->state == STEP_FAILED) {
		op_fail(op, STATUS_UNKNOWN, "kill: %s", strerror(step->error));
		return;
	}
	if (req->signal == SIGKILL && c != NULL && !c->gone && c->cgroup[0] != '\0' &&
	    op->exec_id[0] == '\0') {
		if (req->all && cgroup_kill(c->cgroup, &err) < 0)
			log_warnx("container '%s': kill all: %s", c->id, err.text);
		cgroup_thaw(c->cgroup);
	}
	kill_audit(op, req->all);
	op_set_empty(op);
	op_end(op);
}

static void
kill_on_all(struct op *op, const struct command_result *res)
{
	CRASH_POINT("kill.step");
	if (res->ok) {
		kill_audit(op, true);
		op_set_empty(op);
		op_end(op);
	} else if (runtime_error_is_gone(res->error)) {
		kill_finished(op);
	} else {
		op_fail(op, res->code, "%s", res->error);
	}
}

static void
kill_all(struct op *op, int signo)
{
	struct command *cmd =
	    command_new(op, STEP_KILL, TAG_KILL, "OCI runtime kill failed");

	runtime_kill(&cmd->argv, &cmd->target, signo, true);
	command_run(cmd, kill_on_all);
}

/* There is no such container, or a younger one: but the deed may be done. */
void
task_kill_absent(struct op *op)
{
	if (op_has_steps(op)) {
		op_leave(op);
		link_step_watch(
		    op->pod->link, op_key(op, STEP_KILL), kill_on_signalled, op);
		return;
	}
	op_fail(op, STATUS_NOT_FOUND, "container not created: %s", op->id);
}

void
task_kill(struct op *op)
{
	const kill_request *req = kill_req(op);
	const struct process *init = op->c->init;

	if (init != NULL && key_request(init->key) > op->n) {
		task_kill_absent(op); /* asked for before this one was made */
		return;
	}
	if (!op_find_process(op))
		return;
	if (req->signal > 64) {
		op_fail(op, STATUS_INVALID_ARGUMENT, "signal %u", req->signal);
		return;
	}
	if (!op_has_steps(op) && op->p->state == TASK_STOPPED) {
		kill_finished(op);
		return;
	}
	if (op->p->key == 0) {
		op_fail(op, STATUS_FAILED_PRECONDITION, "process not created");
		return;
	}
	CRASH_POINT("kill.before");
	if (req->all && req->signal != SIGKILL && process_is_init(op->p))
		kill_all(op, (int)req->signal);
	else
		op_signal(op, STEP_KILL, op->p->key, (int)req->signal, kill_on_signalled);
	CRASH_POINT("kill.after");
}

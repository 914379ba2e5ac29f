/*
 * Start of a container that was created from a checkpoint: `runtime restore`
 * makes its processes and lets them run in one. Create has mounted its rootfs and
 * has run nothing (contract.md 7.2), so until here there is no process, no
 * cgroup, no stdio; a Start that fails may be tried again.
 */
#include <errno.h>

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
#include "worker/criu.h"
#include "worker/events.h"
#include "worker/io.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"
#include "worker/undo_cgroup.h"

/* --- it failed ------------------------------------------------------------------- */

static void
restore_undone(struct op *op)
{
	struct process *p = op->p;

	if (p->io != NULL) {
		io_free(p->io);
		p->io = NULL;
	}
	if (p->terminal)
		process_drop_tty(op->pod, op_key(op, STEP_START));
	criu_end(op->pod, op_key(op, STEP_START));
	p->starting = false;
	op_end(op);
}

static void
restore_on_deleted(struct op *op, const struct command_result *res)
{
	if (!res->ok && !runtime_error_is_gone(res->error))
		log_warnx("container '%s': undo restore: %s", op->id, res->error);
	undo_cgroup(op, STEP_START, restore_undone);
}

static const char *
restore_own_work(const struct op *op)
{
	const char *path = op->c->opts.criu_work_path;

	return path != NULL && path[0] != '\0' ? path : NULL;
}

static void
restore_failed(struct op *op, const struct command_result *res)
{
	AUTO_FREE char *own =
	    pod_key_path(op->pod, CRIU_DIR_KIND, op_key(op, STEP_START));
	const char *work = restore_own_work(op) != NULL ? restore_own_work(op) : own;
	AUTO_FREE char *text = criu_error(op->c, work, "restore.log", res->error);
	struct command *cmd;

	op_set_fail(op, res->code, "%s", text);
	cmd = command_new(op, STEP_RESTORE_UNDO, TAG_DELETE, "undo restore");
	runtime_delete(&cmd->argv, &cmd->target, true);
	command_run(cmd, restore_on_deleted);
}

/* --- it runs ----------------------------------------------------------------------- */

static void
restore_done(struct op *op, const struct command_result *res)
{
	Containerd__Task__V2__StartResponse r =
	    CONTAINERD__TASK__V2__START_RESPONSE__INIT;
	const struct command_result born = birth_result(op, res);
	struct process *p = op->p;
	struct container *c = op->c;
	struct pod *pod = op->pod;
	AUTO_FREE char *tty = NULL;

	CRASH_POINT("restore.done");
	if (!born.ok) {
		restore_failed(op, &born);
		return;
	}
	process_bind(p, res->step->key, res->step->child_pid, res->step->child_start);
	if (op->told) /* its caller takes it for failed; a worker after the commit does not know */
		link_kill(pod->link, p->key);
	tty = process_tty_name(p, p->key);
	create_adopted(c);
	process_move(p, TASK_RUNNING);
	p->started_at = clock_real_ns();
	process_set_spec(p, NULL, 0);
	r.pid = (uint32_t)p->pid;
	op_set_ok(op, &r.base);
	pod_begin(pod);
	process_put(p);
	container_put(c);
	events_start(p);
	store_audit(pod->store, c->id, "", "restore", "");
	op_store_answer(op);
	CRASH_POINT("restore.final");
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("restore.committed");
	io_start(p->io, tty);
	criu_end(pod, p->key);
	p->starting = false;
	pod_mark(pod);
	op_end(op); /* takes up an exit that came before */
}

/* --- the way there ------------------------------------------------------------------ */

static void
restore_on_failed(struct op *op, enum status_code code, const char *error)
{
	op_set_fail(op, code, "%s", error);
	restore_undone(op);
}

static void
restore_run(struct op *op)
{
	struct command *cmd =
	    command_new(op, STEP_START, TAG_CREATE, "OCI runtime restore failed");
	struct process *p = op->p;
	/* as it comes from its row, the spec has no end mark */
	AUTO_FREE char *own = NULL,
		       *image = mem_printf("%.*s", (int)p->spec_len, p->spec);
	struct runtime_checkpoint_opts opts = {
	    .image_path = image,
	    .work_path = restore_own_work(op),
	};

	if (opts.work_path == NULL)
		opts.work_path = own = criu_work_dir(op->pod, cmd->key);
	runtime_restore(&cmd->argv, &cmd->target, cmd->pid_path, p->terminal, &opts);
	birth_run(cmd, restore_done, restore_on_failed);
}

void
restore_start(struct op *op)
{
	struct process *p = op->p;
	struct err err = ERR_INIT;

	if (p->spec == NULL || op->c->state != TASK_CREATED) {
		op_fail(op, STATUS_UNKNOWN, "cannot start a %s process",
		    task_state_name(op->c->state));
		return;
	}
	if (!op_has_steps(op) && pod_writable(op->pod, &err) < 0) {
		op_fail(op, STATUS_RESOURCE_EXHAUSTED, "%s", err.text);
		return;
	}
	p->starting = true;
	restore_run(op);
}

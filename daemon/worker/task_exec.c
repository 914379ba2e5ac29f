/*
 * Exec: registers a process; nothing is run before its Start.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "oci/oci.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/tasks.h"

typedef Containerd__Task__V2__ExecProcessRequest exec_request;

static enum status_code
exec_check_room(const struct pod *pod, size_t spec_len, struct err *err)
{
	if (pod->specs_len + spec_len <= POD_SPECS_MAX)
		return STATUS_OK;
	(void)err_setx(err, ENOSPC,
	    "specs of execs that are not started take more than %u MiB in this pod",
	    POD_SPECS_MAX >> 20);
	return STATUS_RESOURCE_EXHAUSTED;
}

static enum status_code
exec_check(struct op *op, const exec_request *req, struct err *err)
{
	struct container *c = op->c;
	int rc = pod_check_id("exec id", req->exec_id, err);

	if (rc < 0)
		return STATUS_INVALID_ARGUMENT;
	if (process_find(c, req->exec_id) != NULL) {
		(void)err_setx(err, EEXIST, "exec '%s' already exists", req->exec_id);
		return STATUS_ALREADY_EXISTS;
	}
	if (c->state != TASK_CREATED && c->state != TASK_RUNNING) {
		(void)err_setx(err, EBUSY, "cannot exec in a %s container",
		    task_state_name(c->state));
		return STATUS_UNKNOWN;
	}
	if (HASH_COUNT(c->execs) >= POD_EXECS_MAX) {
		(void)err_setx(
		    err, ENOSPC, "more than %u execs in one container", POD_EXECS_MAX);
		return STATUS_RESOURCE_EXHAUSTED;
	}
	if (req->spec == NULL) {
		(void)err_setx(err, EINVAL, "exec '%s' has no spec", req->exec_id);
		return STATUS_INVALID_ARGUMENT;
	}
	return STATUS_OK;
}

void
task_exec(struct op *op)
{
	const exec_request *req = (const exec_request *)op->req;
	struct err err = ERR_INIT;
	AUTO_FREE char *command = NULL;
	enum status_code code;
	struct process *p;
	size_t spec_len;
	AUTO_FREE char *spec = NULL;

	if (!op_find_container(op))
		return;
	code = exec_check(op, req, &err);
	if (code == STATUS_OK &&
	    oci_exec_process(req->spec->value.data, req->spec->value.len, req->terminal,
		&spec, &spec_len, &command, &err) < 0)
		code = STATUS_INVALID_ARGUMENT;
	if (code == STATUS_OK)
		code = exec_check_room(op->pod, spec_len, &err);
	if (code != STATUS_OK) {
		op_fail(op, code, "%s", err.text);
		return;
	}
	p = process_new(op->c, req->exec_id);
	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	p->stdin_path = mem_strdup(req->stdin);
	p->stdout_path = mem_strdup(req->stdout);
	p->stderr_path = mem_strdup(req->stderr);
	p->terminal = req->terminal;
	process_set_spec(p, steal_ptr(&spec), spec_len);
	op_set_empty(op);
	pod_begin(op->pod);
	process_put(p);
	events_exec_added(p);
	store_audit(op->pod->store, op->c->id, p->exec_id, "exec", command);
	op_store_answer(op);
	CRASH_POINT("execadd.final");
	if (pod_commit(op->pod, STORE_MUST, &err) < 0) {
		process_free(p);
		op->stored = false;
		op_fail(op, STATUS_RESOURCE_EXHAUSTED, "%s", err.text);
		return;
	}
	CRASH_POINT("execadd.committed");
	op_end(op);
}

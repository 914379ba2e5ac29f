/*
 * Update: the runtime gets the resources as they came, on its stdin, and writes
 * cgroup files; writing them twice is the same as once, but the step's key keeps
 * it at once all the same. Nothing of it is in our rows.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/steps.h"
#include "worker/tasks.h"

#define UPDATE_TYPE "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

/* Is it what the runtime will understand? Its own message for this would name no field. */
static int
update_check(const Google__Protobuf__Any *any, struct err *err)
{
	json_error_t why;
	json_t *obj;
	bool ok;

	if (any == NULL)
		return err_setx(err, EINVAL, "no resources");
	if (strcmp(wire_type_name(any->type_url), UPDATE_TYPE) != 0)
		return err_setx(err, EINVAL, "resources of type '%s'", any->type_url);
	/* for 64-bit numbers without a sign, which "no limit" often is */
	obj = json_loadb(
	    (const char *)any->value.data, any->value.len, JSON_DECODE_INT_AS_REAL, &why);
	ok = json_is_object(obj);
	json_decref(obj);
	if (obj == NULL)
		return err_setx(err, EINVAL, "resources: %s", why.text);
	return ok ? 0 : err_setx(err, EINVAL, "resources: not a JSON object");
}

static void
update_done(struct op *op, const struct command_result *res)
{
	struct pod *pod = op->pod;

	CRASH_POINT("update.done");
	if (!res->ok) {
		op_fail(op, res->code, "%s", res->error);
		return;
	}
	op_set_empty(op);
	pod_begin(pod);
	store_audit(pod->store, op->c->id, "", "update", "");
	op_store_answer(op);
	CRASH_POINT("update.final");
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("update.committed");
	op_end(op);
}

void
task_update(struct op *op)
{
	const Containerd__Task__V2__UpdateTaskRequest *req =
	    (const Containerd__Task__V2__UpdateTaskRequest *)op->req;
	AUTO_CLOSE int fd = -1;
	struct err err = ERR_INIT;
	struct command *cmd;

	if (!op_find_container(op))
		return;
	if (!op_has_steps(op)) {
		if (update_check(req->resources, &err) < 0) {
			op_fail(op, STATUS_INVALID_ARGUMENT, "%s", err.text);
			return;
		}
		if (container_stopped(op->c)) {
			op_fail(op, STATUS_UNKNOWN, "cannot update a stopped container");
			return;
		}
		fd = memfd_sealed(
		    "resources", req->resources->value.data, req->resources->value.len);
		if (fd < 0) {
			op_fail(op, STATUS_RESOURCE_EXHAUSTED, "resources: %s",
			    strerror(-fd));
			return;
		}
	}
	cmd = command_new(op, STEP_UPDATE, TAG_OTHER, "OCI runtime update failed");
	if (fd >= 0)
		command_add_fd(cmd, fd, 0);
	runtime_update(&cmd->argv, &cmd->target);
	command_run(cmd, update_done);
}

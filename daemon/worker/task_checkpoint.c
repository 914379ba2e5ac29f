/*
 * Checkpoint: one runtime command, which runs criu. The container runs on, or
 * with `exit` it ends, and its exit is told like any other.
 *
 * A checkpoint that was killed in its midst may leave the cgroup frozen.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/options.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/criu.h"
#include "worker/events.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/steps.h"
#include "worker/tasks.h"

#define CHECKPOINT_TYPE "containerd.runc.v1.CheckpointOptions"

typedef Containerd__Task__V2__CheckpointTaskRequest checkpoint_request;
typedef Containerd__Runc__V1__CheckpointOptions checkpoint_options;

static const checkpoint_request *
checkpoint_req(const struct op *op)
{
	return (const checkpoint_request *)op->req;
}

/* *out NULL: there are none; free with protobuf_c_message_free_unpacked(). */
static int
checkpoint_decode(
    const Google__Protobuf__Any *any, checkpoint_options **out, struct err *err)
{
	*out = NULL;
	if (any == NULL || (any->type_url[0] == '\0' && any->value.len == 0))
		return 0;
	if (strcmp(wire_type_name(any->type_url), CHECKPOINT_TYPE) != 0)
		return err_setx(
		    err, EINVAL, "checkpoint options of type '%s'", any->type_url);
	*out = (checkpoint_options *)protobuf_c_message_unpack(
	    &containerd__runc__v1__checkpoint_options__descriptor, NULL, any->value.len,
	    any->value.data);
	return *out != NULL
	    ? 0
	    : err_setx(err, EINVAL, "checkpoint options cannot be decoded");
}

static void
checkpoint_failed(struct op *op, const struct command_result *res)
{
	struct container *c = op->c;
	uint64_t key = op_key(op, STEP_CHECKPOINT);
	AUTO_FREE char *work = NULL, *text = NULL;
	checkpoint_options *o = NULL;

	(void)checkpoint_decode(checkpoint_req(op)->options, &o, NULL);
	work = o != NULL && o->work_path[0] != '\0'
	    ? mem_strdup(o->work_path)
	    : pod_key_path(op->pod, CRIU_DIR_KIND, key);
	text = criu_error(c, work, "dump.log", res->error);
	if (o != NULL)
		protobuf_c_message_free_unpacked(&o->base, NULL);

	if (c->state == TASK_RUNNING && c->cgroup[0] != '\0')
		cgroup_thaw(c->cgroup);
	criu_end(op->pod, key);
	op_fail(op, res->code, "%s", text);
}

static void
checkpoint_done(struct op *op, const struct command_result *res)
{
	struct container *c = op->c;
	struct pod *pod = op->pod;

	CRASH_POINT("checkpoint.done");
	if (!res->ok) {
		checkpoint_failed(op, res);
		return;
	}
	op_set_empty(op);
	pod_begin(pod);
	events_checkpointed(c, checkpoint_req(op)->path);
	store_audit(pod->store, c->id, "", "checkpoint", checkpoint_req(op)->path);
	op_store_answer(op);
	CRASH_POINT("checkpoint.final");
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("checkpoint.committed");
	criu_end(pod, op_key(op, STEP_CHECKPOINT));
	op_end(op);
}

static void
checkpoint_run(struct op *op, const checkpoint_options *o)
{
	struct command *cmd =
	    command_new(op, STEP_CHECKPOINT, TAG_OTHER, "OCI runtime checkpoint failed");
	AUTO_FREE char *own_work = NULL;
	struct runtime_checkpoint_opts opts = {
	    .image_path = checkpoint_req(op)->path,
	};

	if (o != NULL) {
		opts.work_path = o->work_path;
		opts.parent_path = o->parent_path;
		opts.cgroups_mode = o->cgroups_mode;
		opts.empty_namespaces = (const char *const *)o->empty_namespaces;
		opts.n_empty_namespaces = o->n_empty_namespaces;
		opts.exit = o->exit;
		opts.open_tcp = o->open_tcp;
		opts.external_unix_sockets = o->external_unix_sockets;
		opts.terminal = o->terminal;
		opts.file_locks = o->file_locks;
	}
	if (!command_known(cmd))
		own_work = criu_work_dir(op->pod, cmd->key);
	if (opts.work_path == NULL || opts.work_path[0] == '\0')
		opts.work_path = own_work;
	runtime_checkpoint(&cmd->argv, &cmd->target, &opts);
	command_run(cmd, checkpoint_done);
}

void
task_checkpoint(struct op *op)
{
	checkpoint_options *o = NULL;
	struct err err = ERR_INIT;
	struct container *c;

	if (!op_find_container(op))
		return;
	c = op->c;
	if (!op_has_steps(op)) {
		if (c->state != TASK_RUNNING && c->state != TASK_PAUSED) {
			op_fail(op, STATUS_UNKNOWN, "cannot checkpoint a %s container",
			    task_state_name(c->state));
			return;
		}
		if (checkpoint_req(op)->path[0] != '/') {
			op_fail(op, STATUS_INVALID_ARGUMENT,
			    "checkpoint path '%s' is not absolute",
			    checkpoint_req(op)->path);
			return;
		}
		if (checkpoint_decode(checkpoint_req(op)->options, &o, &err) < 0) {
			op_fail(op, STATUS_INVALID_ARGUMENT, "%s", err.text);
			return;
		}
	}
	checkpoint_run(op, o);
	if (o != NULL)
		protobuf_c_message_free_unpacked(&o->base, NULL);
}

/*
 * Requests come in here: envelope, method table, payload. Nothing in a request
 * is trusted beyond what protobuf-c has checked; what cannot be read is
 * answered, never dropped, and the connection does not notice.
 */
#include "worker/rpc.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "worker/crashpoint.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/purge.h"
#include "worker/tasks.h"

#define TASK(m) &containerd__task__v2__##m##_request__descriptor

static const struct op_method task_methods[] = {
    {.name = "State", .desc = TASK(state), .begin = task_state, .of_exec = true},
    {.name = "Create",
	.desc = TASK(create_task),
	.begin = task_create,
	.class = OP_QUEUE,
	.births = true,
	.makes = true},
    {.name = "Start",
	.desc = TASK(start),
	.begin = task_start,
	.class = OP_QUEUE,
	.of_exec = true,
	.births = true},
    {.name = "Delete",
	.desc = TASK(delete),
	.begin = task_delete,
	.class = OP_QUEUE,
	.of_exec = true},
    {.name = "Pids", .desc = TASK(pids), .begin = task_pids},
    {.name = "Kill",
	.desc = TASK(kill),
	.begin = task_kill,
	.class = OP_KILL,
	.of_exec = true,
	.absent = task_kill_absent},
    {.name = "Exec",
	.desc = TASK(exec_process),
	.begin = task_exec,
	.class = OP_QUEUE,
	.of_exec = true},
    {.name = "ResizePty",
	.desc = TASK(resize_pty),
	.begin = task_resize_pty,
	.of_exec = true},
    {.name = "CloseIO",
	.desc = &containerd__task__v2__close_iorequest__descriptor,
	.begin = task_close_io,
	.of_exec = true},
    {.name = "Wait",
	.desc = TASK(wait),
	.begin = task_wait,
	.of_exec = true,
	.waits = true},
    {.name = "Connect", .desc = TASK(connect), .begin = task_connect},
    {.name = "Shutdown", .desc = TASK(shutdown), .begin = task_shutdown},
    {.name = "Stats", .desc = TASK(stats), .begin = task_stats},
    {.name = "Pause", .desc = TASK(pause), .begin = task_pause, .class = OP_QUEUE},
    {.name = "Resume", .desc = TASK(resume), .begin = task_resume, .class = OP_QUEUE},
    {.name = "Update",
	.desc = TASK(update_task),
	.begin = task_update,
	.class = OP_QUEUE},
    {.name = "Checkpoint",
	.desc = TASK(checkpoint_task),
	.begin = task_checkpoint,
	.class = OP_QUEUE},
};

static const struct op_method admin_methods[] = {
    {.name = "Purge",
	.desc = &podshim__v1__purge_request__descriptor,
	.begin = purge_begin,
	.class = OP_QUEUE,
	.queued = purge_queued,
	.absent = purge_absent},
    {.name = "Note", .desc = &podshim__v1__note_request__descriptor, .begin = note_begin},
    {.name = "Metrics",
	.desc = &podshim__v1__metrics_request__descriptor,
	.begin = task_metrics},
};

static const struct rpc_service {
	const char *name;
	const struct op_method *methods;
	size_t n;
} rpc_services[] = {
    {"containerd.task.v2.Task", task_methods, ARRAY_LEN(task_methods)},
    {"containerd.task.v3.Task", task_methods, ARRAY_LEN(task_methods)},
    {"podshim.v1.Admin", admin_methods, ARRAY_LEN(admin_methods)},
};

static void
rpc_fail(struct pod *pod, uint64_t n, enum status_code code, const char *text)
{
	AUTO_FREE uint8_t *buf = mem_zalloc(STATUS_RESPONSE_MAX);
	size_t len = status_encode_response(buf, STATUS_RESPONSE_MAX, code, text);

	log_debug("request %" PRIu64 ": %s: %s", n, status_name(code), text);
	link_answer(pod->link, n, buf, len);
}

/* NULL, with the sentence in err: no such service, no such method. */
static const struct op_method *
rpc_find(const char *service, const char *method, struct err *err)
{
	size_t i, j;

	for (i = 0; i < ARRAY_LEN(rpc_services); i++) {
		if (strcmp(rpc_services[i].name, service) != 0)
			continue;
		for (j = 0; j < rpc_services[i].n; j++) {
			if (strcmp(rpc_services[i].methods[j].name, method) == 0)
				return &rpc_services[i].methods[j];
		}
		(void)err_setx(err, ENOSYS, "method %s of %s", method, service);
		return NULL;
	}
	(void)err_setx(err, ENOSYS, "service %s", service);
	return NULL;
}

/*
 * Strings come back in answers and events, and a Go peer refuses a whole
 * message for one byte that is not UTF-8.
 */
static bool
rpc_strings_valid(const ProtobufCMessage *msg)
{
	unsigned i;

	for (i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &msg->descriptor->fields[i];
		AUTO_FREE char *copy = NULL;
		const char *value;

		if (f->type != PROTOBUF_C_TYPE_STRING ||
		    f->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		memcpy(&value, (const char *)msg + f->offset, sizeof value);
		if (value == NULL)
			continue;
		copy = mem_strdup(value);
		utf8_sanitize(copy);
		if (strcmp(copy, value) != 0)
			return false;
	}
	return true;
}

static void
rpc_decoded(struct pod *pod, const struct msg_request *r, const Ttrpc__Request *env)
{
	const struct op_method *method;
	struct err err = ERR_INIT;
	ProtobufCMessage *req;
	struct op *op;

	method = rpc_find(env->service, env->method, &err);
	if (method == NULL) {
		rpc_fail(pod, r->n, STATUS_UNIMPLEMENTED, err.text);
		return;
	}
	(void)link_in_hand(pod->link, r->n, method->name);
	CRASH_POINT("request.decode");
	req = protobuf_c_message_unpack(
	    method->desc, NULL, env->payload.len, env->payload.data);
	if (req == NULL || !rpc_strings_valid(req)) {
		AUTO_FREE char *text =
		    mem_printf("%s: the request cannot be decoded", method->name);

		if (req != NULL)
			protobuf_c_message_free_unpacked(req, NULL);
		rpc_fail(pod, r->n, STATUS_INVALID_ARGUMENT, text);
		return;
	}
	op = op_new(pod, r, method, req, env->timeout_nano);
	log_debug("request %" PRIu64 ": %s '%s' '%s'%s", r->n, method->name, op->id,
	    op->exec_id, (r->flags & REQ_REDELIVERED) != 0 ? " (again)" : "");
	if (pod->live)
		purge_honour(pod, op->id);
	op_submit(op);
}

void
rpc_request(struct pod *pod, const struct msg_request *r)
{
	AUTO_FREE void *answer = NULL;
	Ttrpc__Request *env;
	size_t len;

	CRASH_POINT("request.read");
	if (r->n > pod->highest_n)
		pod->highest_n = r->n;
	if ((r->flags & REQ_REDELIVERED) != 0 &&
	    store_get_answer(pod->store, r->n, &answer, &len) == 0) {
		log_debug("request %" PRIu64 ": finished by an earlier worker", r->n);
		link_answer(pod->link, r->n, answer, len);
		pod_spent(pod, r->n);
		return;
	}
	env = (Ttrpc__Request *)protobuf_c_message_unpack(
	    &ttrpc__request__descriptor, NULL, r->frame.len, r->frame.p);
	if (env == NULL) {
		rpc_fail(pod, r->n, STATUS_INVALID_ARGUMENT,
		    "the ttrpc request cannot be decoded");
		return;
	}
	rpc_decoded(pod, r, env);
	protobuf_c_message_free_unpacked(&env->base, NULL);
}

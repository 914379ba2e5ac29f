/*
 * Stats: read from cgroup files at once, whatever the runtime is doing; nothing
 * is forked and nothing is stored (design P5).
 */
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup_dirs.h"
#include "worker/container.h"
#include "worker/metrics.h"
#include "worker/op.h"
#include "worker/process.h"
#include "worker/tasks.h"

static void
stats_answer(struct op *op, const struct cgroup_fds *fds)
{
	Containerd__Task__V2__StatsResponse r =
	    CONTAINERD__TASK__V2__STATS_RESPONSE__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	AUTO_FREE void *body = NULL;
	ProtobufCMessage *m;

	m = fds->v2 ? metrics_v2_read(fds, metrics_host())
		    : metrics_v1_read(fds, metrics_host());
	wire_pack(m, &body, &any.value.len);
	protobuf_c_message_free_unpacked(m, NULL);
	any.value.data = body;
	any.type_url = (char *)(uintptr_t)(fds->v2 ? METRICS_TYPE_V2 : METRICS_TYPE_V1);
	r.stats = &any;
	op_ok(op, &r.base);
}

void
task_stats(struct op *op)
{
	struct cgroup_fds fds;
	struct container *c;

	if (!op_find_container(op))
		return;
	c = op->c;
	if (c->dirs == NULL) /* after a worker's restart */
		c->dirs =
		    cgroup_dirs_find(container_stopped(c) ? 0 : c->init->pid, c->cgroup);
	if (c->dirs == NULL || cgroup_fds_open(&fds, c->dirs) == 0) {
		op_fail(op, STATUS_NOT_FOUND, "cgroup does not exist");
		return;
	}
	stats_answer(op, &fds);
	cgroup_fds_close(&fds);
}

/*
 * Event bodies. Field order and contents are containerd's (contract.md 6.2):
 * TaskExit names the exec in id, TaskDelete leaves id empty.
 */
#include "worker/events.h"

#include "base/mem.h"
#include "proto/events.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "worker/container.h"
#include "worker/outbox.h"
#include "worker/pod.h"
#include "worker/process.h"

/* The generated code knows no names (CODE_SIZE): type is spelled out. */
static void
events_add(struct container *c, const char *exec_id, const char *topic, const char *type,
    const ProtobufCMessage *msg)
{
	AUTO_FREE void *body = NULL;
	size_t len;

	wire_pack(msg, &body, &len);
	outbox_add(c->pod->outbox, c->id, exec_id, topic, type, body, len);
}

void
events_create(struct container *c, const Containerd__Task__V2__CreateTaskRequest *req)
{
	Containerd__Events__TaskCreate ev = CONTAINERD__EVENTS__TASK_CREATE__INIT;
	Containerd__Events__TaskIO tio = CONTAINERD__EVENTS__TASK_IO__INIT;

	tio.stdin = c->init->stdin_path;
	tio.stdout = c->init->stdout_path;
	tio.stderr = c->init->stderr_path;
	tio.terminal = c->init->terminal;
	ev.container_id = c->id;
	ev.bundle = c->bundle;
	ev.n_rootfs = req->n_rootfs;
	ev.rootfs = req->rootfs;
	ev.io = &tio;
	ev.checkpoint = req->checkpoint;
	ev.pid = (uint32_t)c->init->pid;
	events_add(c, "", "/tasks/create", "containerd.events.TaskCreate", &ev.base);
}

void
events_start(struct process *p)
{
	if (process_is_init(p)) {
		Containerd__Events__TaskStart ev = CONTAINERD__EVENTS__TASK_START__INIT;

		ev.container_id = p->c->id;
		ev.pid = (uint32_t)p->pid;
		events_add(
		    p->c, "", "/tasks/start", "containerd.events.TaskStart", &ev.base);
	} else {
		Containerd__Events__TaskExecStarted ev =
		    CONTAINERD__EVENTS__TASK_EXEC_STARTED__INIT;

		ev.container_id = p->c->id;
		ev.exec_id = p->exec_id;
		ev.pid = (uint32_t)p->pid;
		events_add(p->c, p->exec_id, "/tasks/exec-started",
		    "containerd.events.TaskExecStarted", &ev.base);
	}
}

void
events_exec_added(struct process *p)
{
	Containerd__Events__TaskExecAdded ev = CONTAINERD__EVENTS__TASK_EXEC_ADDED__INIT;

	ev.container_id = p->c->id;
	ev.exec_id = p->exec_id;
	events_add(p->c, p->exec_id, "/tasks/exec-added",
	    "containerd.events.TaskExecAdded", &ev.base);
}

void
events_exit(struct process *p)
{
	Containerd__Events__TaskExit ev = CONTAINERD__EVENTS__TASK_EXIT__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, p->exited_at);
	ev.container_id = p->c->id;
	ev.id = process_is_init(p) ? p->c->id : p->exec_id;
	ev.pid = (uint32_t)p->pid;
	ev.exit_status = p->exit_status;
	ev.exited_at = &ts;
	events_add(
	    p->c, p->exec_id, "/tasks/exit", "containerd.events.TaskExit", &ev.base);
}

void
events_delete(struct process *init)
{
	Containerd__Events__TaskDelete ev = CONTAINERD__EVENTS__TASK_DELETE__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, init->exited_at);
	ev.container_id = init->c->id;
	ev.pid = (uint32_t)init->pid;
	ev.exit_status = init->exit_status;
	ev.exited_at = &ts;
	events_add(
	    init->c, "", "/tasks/delete", "containerd.events.TaskDelete", &ev.base);
}

void
events_paused(struct container *c)
{
	Containerd__Events__TaskPaused ev = CONTAINERD__EVENTS__TASK_PAUSED__INIT;

	ev.container_id = c->id;
	events_add(c, "", "/tasks/paused", "containerd.events.TaskPaused", &ev.base);
}

void
events_resumed(struct container *c)
{
	Containerd__Events__TaskResumed ev = CONTAINERD__EVENTS__TASK_RESUMED__INIT;

	ev.container_id = c->id;
	events_add(c, "", "/tasks/resumed", "containerd.events.TaskResumed", &ev.base);
}

void
events_checkpointed(struct container *c, const char *path)
{
	Containerd__Events__TaskCheckpointed ev =
	    CONTAINERD__EVENTS__TASK_CHECKPOINTED__INIT;

	ev.container_id = c->id;
	ev.checkpoint = (char *)(uintptr_t)path;
	events_add(
	    c, "", "/tasks/checkpointed", "containerd.events.TaskCheckpointed", &ev.base);
}

void
events_oom(struct container *c)
{
	Containerd__Events__TaskOOM ev = CONTAINERD__EVENTS__TASK_OOM__INIT;

	ev.container_id = c->id;
	events_add(c, "", "/tasks/oom", "containerd.events.TaskOOM", &ev.base);
}

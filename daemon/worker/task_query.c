/*
 * State, Pids, Connect, Wait: answered from memory and cgroup files, at once,
 * whatever the runtime is doing (design P5).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/options.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup.h"
#include "worker/container.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/tasks.h"

/* --- State ------------------------------------------------------------------------ */

static Containerd__Types__Status
query_status(const struct process *p)
{
	enum task_state s = p->state;

	/* what freezes the container freezes its execs */
	if (s != TASK_STOPPED &&
	    (p->c->state == TASK_PAUSED || p->c->state == TASK_PAUSING))
		s = p->c->state;
	switch (s) {
	case TASK_CREATED: return CONTAINERD__TYPES__STATUS__CREATED;
	case TASK_RUNNING: return CONTAINERD__TYPES__STATUS__RUNNING;
	case TASK_STOPPED: return CONTAINERD__TYPES__STATUS__STOPPED;
	case TASK_PAUSED: return CONTAINERD__TYPES__STATUS__PAUSED;
	case TASK_PAUSING: return CONTAINERD__TYPES__STATUS__PAUSING;
	case TASK_CREATING:
	case TASK_DELETING: break;
	}
	return CONTAINERD__TYPES__STATUS__UNKNOWN;
}

void
task_state(struct op *op)
{
	Containerd__Task__V2__StateResponse r =
	    CONTAINERD__TASK__V2__STATE_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;
	struct process *p;

	if (!op_find_process(op))
		return;
	p = op->p;
	wire_timestamp(&ts, p->exited_at);
	r.id = process_is_init(p) ? p->c->id : p->exec_id;
	r.bundle = p->c->bundle;
	r.pid = (uint32_t)p->pid;
	r.status = query_status(p);
	r.stdin = p->stdin_path;
	r.stdout = p->stdout_path;
	r.stderr = p->stderr_path;
	r.terminal = p->terminal;
	r.exit_status = p->exit_status;
	r.exited_at = &ts;
	op_ok(op, &r.base);
}

/* --- Pids -------------------------------------------------------------------------- */

#define QUERY_DETAILS_TYPE "containerd.runc.v1.ProcessDetails"

struct query_pid {
	Containerd__Types__ProcessInfo info;
	Google__Protobuf__Any any;
	void *details;
};

static void
query_name_exec(struct query_pid *q, const struct process *p)
{
	Containerd__Runc__V1__ProcessDetails details =
	    CONTAINERD__RUNC__V1__PROCESS_DETAILS__INIT;
	size_t len;

	details.exec_id = p->exec_id;
	wire_pack(&details.base, &q->details, &len);
	q->any = (Google__Protobuf__Any)GOOGLE__PROTOBUF__ANY__INIT;
	q->any.type_url = (char *)(uintptr_t)QUERY_DETAILS_TYPE;
	q->any.value.data = q->details;
	q->any.value.len = len;
	q->info.info = &q->any;
}

static int
query_by_pid(const void *pid, const void *member)
{
	const struct query_pid *q = member;
	uint32_t want = (uint32_t) * (const int *)pid;

	return want < q->info.pid ? -1 : want > q->info.pid;
}

/* Both may be many: by the order of the pids. */
static void
query_name_execs(struct query_pid *q, size_t n, const struct container *c)
{
	struct process *p, *next;

	HASH_ITER (hh, c->execs, p, next) {
		struct query_pid *found = p->state != TASK_RUNNING
		    ? NULL
		    : bsearch(&p->pid, q, n, sizeof *q, query_by_pid);

		if (found != NULL && found->details == NULL)
			query_name_exec(found, p);
	}
}

void
task_pids(struct op *op)
{
	Containerd__Task__V2__PidsResponse r = CONTAINERD__TASK__V2__PIDS_RESPONSE__INIT;
	AUTO_FREE Containerd__Types__ProcessInfo **list = NULL;
	AUTO_FREE struct query_pid *q = NULL;
	AUTO_FREE pid_t *pids = NULL;
	struct err err = ERR_INIT;
	struct container *c;
	size_t n = 0, i;

	if (!op_find_container(op))
		return;
	c = op->c;
	if (!container_stopped(c) && c->cgroup[0] != '\0' &&
	    cgroup_pids(c->cgroup, &pids, &n, &err) < 0)
		log_warnx("container '%s': %s, ignoring", c->id, err.text);
	if (n == 0 && c->init->pid > 0) {
		/*
		 * Never none while the task is there, also after its end: containerd
		 * 1.7 and later asks when it comes back, takes a task without processes for a
		 * leak and deletes it, and with it the exit status nobody has read yet.
		 */
		free(pids);
		pids = mem_dup(&c->init->pid, sizeof c->init->pid);
		n = 1;
	}
	q = mem_zalloc(n * sizeof *q);
	list = mem_zalloc(n * sizeof *list);
	for (i = 0; i < n; i++) {
		q[i].info =
		    (Containerd__Types__ProcessInfo)CONTAINERD__TYPES__PROCESS_INFO__INIT;
		q[i].info.pid = (uint32_t)pids[i];
		list[i] = &q[i].info;
	}
	query_name_execs(q, n, c);
	r.n_processes = n;
	r.processes = list;
	op_set_ok(op, &r.base);
	for (i = 0; i < n; i++)
		free(q[i].details);
	op_end(op);
}

/* --- Connect ------------------------------------------------------------------------- */

void
task_connect(struct op *op)
{
	Containerd__Task__V2__ConnectResponse r =
	    CONTAINERD__TASK__V2__CONNECT_RESPONSE__INIT;
	struct container *c = container_visible(op->pod, op->id);

	/* the keeper is the process that containerd knows as the shim */
	r.shim_pid = (uint32_t)getppid();
	if (c != NULL)
		r.task_pid = (uint32_t)c->init->pid;
	op_ok(op, &r.base);
}

/* --- Wait ------------------------------------------------------------------------------ */

void
task_wait(struct op *op)
{
	Containerd__Task__V2__WaitResponse r = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;
	struct process *p;

	if (!op_find_process(op))
		return;
	p = op->p;
	if (p->state != TASK_STOPPED && !process_failed_start(p)) {
		op->waiting = true;
		DL_APPEND2(p->waiters, op, w_prev, w_next);
		return;
	}
	wire_timestamp(&ts, p->exited_at);
	r.exit_status = p->exit_status;
	r.exited_at = &ts;
	op_ok(op, &r.base);
}

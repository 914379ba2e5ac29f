/*
 * Purge and its marks. Purge kills at once, without waiting for the queue: what
 * hangs in front of it (a Create, a Start) ends by that; then it deletes as
 * Delete does, without events, for containerd publishes its own by now.
 */
#include "worker/purge.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "oci/cgroup.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/exits.h"
#include "worker/leftover.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"

#define PURGE_DIR "purged"

/* --- the request -------------------------------------------------------------------- */

static void
purge_set_ok(struct op *op, int pid, uint32_t exit_status, int64_t exited_at)
{
	Podshim__V1__PurgeResponse r = PODSHIM__V1__PURGE_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, exited_at);
	r.known = true;
	r.pid = (uint32_t)pid;
	r.exit_status = exit_status;
	r.exited_at = &ts;
	op_set_ok(op, &r.base);
}

static void
purge_set_from_init(struct op *op)
{
	const struct process *init = op->c->init;

	purge_set_ok(op, init->pid, init->exit_status, init->exited_at);
}

void
purge_absent(struct op *op)
{
	Podshim__V1__PurgeResponse r = PODSHIM__V1__PURGE_RESPONSE__INIT;
	uint32_t exit_status;
	int64_t exited_at;
	int pid;

	if (store_last_exit(op->pod->store, op->id, &pid, &exit_status, &exited_at) == 0)
		purge_set_ok(op, pid, exit_status, exited_at);
	else
		op_set_ok(op, &r.base);
	leftover_taken(op->pod, op->id);   /* the one who asks cleans by itself then */
	link_unpin(op->pod->link, op->id); /* containerd gave up before its Create */
	op_end(op);
}

/* End what runs: the container's processes, and a command that makes one. */
static void
purge_kill(struct container *c, const struct op *self)
{
	struct link *lk = c->pod->link;
	struct op *op;

	if (c->init != NULL && c->init->key != 0 && !container_stopped(c))
		link_signal(lk, link_internal_key(lk), c->init->key, SIGKILL, NULL, NULL);
	if (c->cgroup[0] != '\0') {
		(void)cgroup_kill(c->cgroup, NULL);
		cgroup_thaw(c->cgroup);
	}
	DL_FOREACH2(c->ops, op, q_next)
	{
		unsigned i;

		for (i = 1; op != self && op->begun && i < OP_STEPS; i++) {
			const struct msg_step *step = link_step_known(lk, op->keys[i]);

			if (op->keys[i] != 0 && step != NULL &&
			    step->state == STEP_RUNNING && step->kind == STEP_SPAWN)
				link_signal(lk, link_internal_key(lk), op->keys[i],
				    SIGKILL, NULL, NULL);
		}
	}
}

void
purge_queued(struct op *op)
{
	op->c->purging = true;
	purge_kill(op->c, op);
}

static void
purge_on_settled(struct op *op)
{
	delete_stopped(op, true, purge_set_from_init);
}

void
purge_begin(struct op *op)
{
	struct container *c = op->c;

	CRASH_POINT("purge.begin");
	if (c->state == TASK_CREATING) { /* its Create was undone just now */
		purge_absent(op);
		return;
	}
	c->purging = true;
	op->p = c->init;
	purge_kill(c, op);
	if (c->init->key == 0)
		exits_never_ran(c);
	if (exits_settled(c))
		purge_on_settled(op);
	else
		exits_wait_settled(op, purge_on_settled);
}

/* --- marks ----------------------------------------------------------------------------- */

static char *
purge_mark_name(const char *id)
{
	return mem_printf(PURGE_DIR "/%s", id);
}

/* Forget it: rows, descriptors, waiters. Its processes and mounts are gone. */
static void
purge_forget(struct container *c)
{
	struct pod *pod = c->pod;
	AUTO_FREE char *prefix = mem_printf("io/%s/", c->id);
	struct process *p, *next, *init = c->init;
	Containerd__Task__V2__WaitResponse r = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;
	struct op *op;
	int rc;

	wire_timestamp(&ts, init->exited_at);
	r.exit_status = init->exit_status;
	r.exited_at = &ts;
	pod_begin(pod);
	HASH_ITER (hh, c->execs, p, next) {
		DL_FOREACH2(p->waiters, op, w_next)
		{
			op_set_ok(op, &r.base);
			op_store_answer(op);
		}
	}
	store_delete_container(pod->store, c->id);
	store_audit(pod->store, c->id, "", "purge", "by its mark");
	rc = pod_commit(pod, STORE_KEEP, NULL);
	pod_note_gone(pod, TAG_PURGED, c->id, "", rc);
	HASH_ITER (hh, c->execs, p, next) {
		exits_end_waits(p);
		process_free(p);
	}
	exits_end_waits(init);
	process_free(init);
	link_fd_drop(pod->link, prefix, true);
	container_forget(c);
	op_refuse(c);
	pod_mark(pod);
	pod_check_idle(pod);
}

void
purge_honour(struct pod *pod, const char *id)
{
	AUTO_FREE char *mark = NULL;
	struct err err = ERR_INIT;
	struct container *c;

	/* ids come from requests: a mark's name has no slash */
	if (pod_check_id("container id", id, &err) < 0)
		return;
	mark = purge_mark_name(id);
	if (faccessat(pod->dirfd, mark, F_OK, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	c = container_get(pod, id);
	if (c != NULL) {
		c->purging = true;
		/* an operation under way ends first; an exit not seen yet comes first */
		if (!container_stopped(c) || c->ops != NULL)
			return;
		log_info("container '%s': purged by the delete action", id);
		purge_forget(c);
	}
	leftover_taken(pod, id);
	(void)unlinkat(pod->dirfd, mark, 0);
}

void
purge_honour_all(struct pod *pod)
{
	int fd = openat(
	    pod->dirfd, PURGE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct dirent *de;
	DIR *d;

	if (fd == -1)
		return;
	d = fdopendir(fd);
	if (d == NULL) {
		(void)close(fd);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		AUTO_FREE char *id = mem_strdup(de->d_name);

		if (id[0] != '.')
			purge_honour(pod, id);
	}
	(void)closedir(d);
}

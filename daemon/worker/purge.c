/*
 * Purge and its marks. Purge kills at once, without waiting for the queue: what
 * hangs in front of it (a Create, a Start) ends by that; then it deletes as
 * Delete does, without events, for containerd publishes its own by now.
 */
#include "worker/purge.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "proto/admin.pb-c.h"
#include "proto/wire.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/exits.h"
#include "worker/leftover.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tag.h"
#include "worker/tasks.h"

#define PURGE_DIR "purged"

/* --- the request -------------------------------------------------------------------- */

static void
purge_set_ok(struct op *op, bool known, int pid, uint32_t exit_status, int64_t exited_at)
{
	Podshim__V1__PurgeResponse r = PODSHIM__V1__PURGE_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, exited_at);
	r.known = known;
	r.pid = (uint32_t)pid;
	r.exit_status = exit_status;
	r.exited_at = &ts;
	op_set_ok(op, &r.base);
}

static void
purge_set_from_init(struct op *op)
{
	const struct process *init = op->c->init;

	purge_set_ok(op, !op->c->unswept, init->pid, init->exit_status, init->exited_at);
}

void
purge_absent(struct op *op)
{
	Podshim__V1__PurgeResponse r = PODSHIM__V1__PURGE_RESPONSE__INIT;
	uint32_t exit_status;
	int64_t exited_at;
	int pid;

	if (store_last_exit(op->pod->store, op->id, &pid, &exit_status, &exited_at) == 0)
		purge_set_ok(op, true, pid, exit_status, exited_at);
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
		link_kill(lk, c->init->key);
	if (c->cgroup[0] != '\0') {
		/* what is in init's own pid namespace dies with it; others may share the cgroup */
		if (!c->own_pidns)
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
				link_kill(lk, op->keys[i]);
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
	int rc;

	pod_begin(pod);
	HASH_ITER (hh, c->execs, p, next)
		exits_answer_untold(p);
	store_delete_container(pod->store, c->id);
	store_audit(pod->store, c->id, "", "purge", "by its mark");
	rc = pod_commit(pod, STORE_KEEP, NULL);
	pod_note_gone(pod, TAG_PURGED, c->id, "", rc);
	HASH_ITER (hh, c->execs, p, next) {
		exits_end_untold(p, rc);
		process_free(p);
	}
	exits_end_waits(init);
	process_free(init);
	link_fd_drop(pod->link, prefix, true);
	container_forget(c);
	op_pump(c);
	pod_mark(pod);
	pod_check_idle(pod);
}

static bool
purge_is_marked(const struct pod *pod, const char *id)
{
	AUTO_FREE char *mark = NULL;
	struct err err = ERR_INIT;

	/* ids come from requests: a mark's name has no slash */
	if (pod_check_id("container id", id, &err) < 0)
		return false;
	mark = purge_mark_name(id);
	return faccessat(pod->dirfd, mark, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
purge_unmark(const struct pod *pod, const char *id)
{
	AUTO_FREE char *mark = purge_mark_name(id);

	(void)unlinkat(pod->dirfd, mark, 0);
}

bool
purge_is_due(struct container *c)
{
	c->purging |= purge_is_marked(c->pod, c->id);
	return c->purging;
}

static const struct op_method purge_method = {
    .name = "Purge by a mark",
    .begin = purge_begin,
    .class = OP_QUEUE,
};

void
purge_honour(struct pod *pod, const char *id)
{
	struct container *c;

	if (!purge_is_marked(pod, id))
		return;
	c = container_get(pod, id);
	if (c != NULL) {
		c->purging = true;
		if (c->ops != NULL)
			return; /* the last of them, at its end, comes here again */
		if (c->state != TASK_CREATING && !container_stopped(c)) {
			(void)op_new_internal(c, &purge_method);
			op_pump(c);
			return;
		}
	}
	if (c != NULL && c->state != TASK_CREATING) {
		log_info("container '%s': purged by the delete action", id);
		purge_forget(c);
	}
	leftover_taken(pod, id);
	purge_unmark(pod, id);
}

static bool
purge_is_queued(const struct container *c)
{
	const struct op *op;

	DL_FOREACH2(c->ops, op, q_next)
	{
		if (op->method->begin == purge_begin)
			return true;
	}
	return false;
}

void
purge_begin_anew(struct container *c)
{
	c->purging = purge_is_queued(c);
	if (!c->purging)
		purge_unmark(c->pod, c->id);
}

static void
purge_each_mark(struct pod *pod, void (*cb)(struct pod *pod, const char *id))
{
	AUTO_CLOSEDIR DIR *d = dir_open(pod->dirfd, PURGE_DIR);
	struct dirent *de;

	while ((de = dir_next(d)) != NULL) {
		AUTO_FREE char *id = mem_strdup(de->d_name);

		if (id[0] != '.')
			cb(pod, id);
	}
}

void
purge_honour_all(struct pod *pod)
{
	purge_each_mark(pod, purge_honour);
}

static void
purge_expect(struct pod *pod, const char *id)
{
	struct container *c = container_get(pod, id);

	if (c != NULL)
		c->purging = true;
}

static void
purge_expect_memo(const struct msg_step *step, void *arg)
{
	AUTO_FREE char *copy = NULL;
	struct tag tag;

	if (tag_read(&step->tag, &tag, &copy) && tag.kind == TAG_PURGED)
		purge_expect(arg, tag.container);
}

void
purge_expect_all(struct pod *pod)
{
	struct op *op, *next;

	HASH_ITER (hh, pod->ops, op, next) {
		if (op->method->begin == purge_begin)
			purge_expect(pod, op->id);
	}
	link_each_step(pod->link, purge_expect_memo, pod);
	purge_each_mark(pod, purge_expect);
}

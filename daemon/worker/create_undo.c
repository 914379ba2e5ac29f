/*
 * Undoing a Create that failed, came too late, was condemned, or whose request
 * is gone: end its commands, `runtime delete --force`, cgroup, mounts, rows.
 * Every part may have been done before, or never; none of its failures stops
 * the rest.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/io.h"
#include "worker/leftover.h"
#include "oci/mount.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"
#include "worker/undo_cgroup.h"

/* --- the undo ---------------------------------------------------------------------- */

static void
undo_final(struct op *op)
{
	struct container *c = op->c;
	struct pod *pod = op->pod;
	AUTO_FREE char *prefix = mem_printf("io/%s/", c->id);

	/* first: once the answer stands, a worker that comes after us has no reason to */
	link_unpin(pod->link, c->id);
	pod_begin(pod);
	store_delete_container(pod->store, c->id);
	leftover_undone(c);
	store_audit(pod->store, c->id, "", "create failed", "");
	op_store_answer(op);
	(void)pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("undo.committed");
	process_drop_tty(pod, op->keys[STEP_CREATE]);
	link_fd_drop(pod->link, prefix, true); /* an earlier worker's, too */
	if (c->init != NULL) {
		process_free(c->init);
		op->p = NULL;
	}
	c->from_row = false;
	/* the entry itself stays while others queue for it, as a place */
	op_end(op);
}

static void
undo_on_unmounted(struct op *op, const struct command_result *res)
{
	if (!res->ok)
		log_warnx("container '%s': undo create: %s", op->id, res->error);
	undo_final(op);
}

static void
undo_on_no_cgroup(struct op *op)
{
	struct container *c = op->c;

	if (c->rootfs_mounted)
		command_run_mounts(op, STEP_UNDO_UMOUNT, TAG_UMOUNT,
		    mount_orders(c->bundle, NULL, 0), undo_on_unmounted);
	else
		undo_final(op);
}

static void
undo_rest(struct op *op)
{
	CRASH_POINT("undo.rest");
	undo_cgroup(op, STEP_CREATE, undo_on_no_cgroup);
}

static void
undo_on_deleted(struct op *op, const struct command_result *res)
{
	CRASH_POINT("undo.deleted");
	if (!res->ok)
		log_warnx("container '%s': undo create: %s", op->id, res->error);
	undo_rest(op);
}

static void
undo_delete(struct op *op)
{
	struct command *cmd;

	/*
	 * A create that failed because the runtime has one of that name already:
	 * that one is not ours to delete.
	 */
	if (!op->c->has_opts || op->c->foreign) {
		undo_rest(op);
		return;
	}
	cmd = command_new(op, STEP_UNDO_DELETE, TAG_DELETE, "undo create");
	runtime_delete(&cmd->argv, &cmd->target, true);
	command_run(cmd, undo_on_deleted);
}

/* Kill a command that still runs, and wait for its end. */
static void
undo_end_step(struct op *op, const struct msg_step *step, link_step_cb cb)
{
	struct link *lk = op->pod->link;

	link_kill(lk, step->key);
	link_step_watch(lk, step->key, cb, op);
}

/* The create command has ended, killed by us or on its own. */
static void
undo_on_create_ended(const struct msg_step *step, void *arg)
{
	struct op *op = arg;

	(void)link_in_hand(op->pod->link, op_hand(op), op->method->name);
	/* its container process, if it made one: delete --force may not find it */
	if (step->state == STEP_DONE && step->child_pid > 0)
		link_kill(op->pod->link, step->key);
	undo_delete(op);
}

static void
undo_create_step(struct op *op)
{
	const struct msg_step *create = op_step_known(op, STEP_CREATE);

	if (create == NULL)
		undo_rest(op); /* the runtime has never heard of it */
	else if (create->state != STEP_RUNNING)
		undo_on_create_ended(create, op);
	else
		undo_end_step(op, create, undo_on_create_ended);
}

static void
undo_on_mount_ended(const struct msg_step *step, void *arg)
{
	struct op *op = arg;

	(void)step;
	(void)link_in_hand(op->pod->link, op_hand(op), op->method->name);
	undo_create_step(op);
}

void
create_undo(struct op *op)
{
	const struct msg_step *mount = op_step_known(op, STEP_MOUNT);

	/* its own end comes first, or it would mount behind our back */
	if (mount != NULL && mount->state == STEP_RUNNING)
		undo_end_step(op, mount, undo_on_mount_ended);
	else
		undo_create_step(op);
}

static const struct op_method undo_method = {
    .name = "undo of a Create",
    .begin = create_undo,
    .class = OP_QUEUE,
    .births = true,
};

void
create_undo_leftover(struct container *c, uint64_t mount_key, uint64_t create_key)
{
	struct op *op = op_new_internal(c, &undo_method);

	op->keys[STEP_MOUNT] = mount_key;
	op->keys[STEP_CREATE] = create_key;
	op_pump(c);
}

void
create_undo_condemned(struct container *c, uint64_t n)
{
	struct op *op = op_new_internal(c, &undo_method);

	op->n = n;
	op_submit_own(op);
	op_pump(c);
}

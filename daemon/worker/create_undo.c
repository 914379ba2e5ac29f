/*
 * Undoing a Create that failed, came too late, was condemned, or whose request
 * is gone: end its commands, `runtime delete --force`, cgroup, mounts, rows.
 * Every part may have been done before, or never; none of its failures stops
 * the rest.
 *
 * A runtime killed in the middle of create leaves its cgroup, which no runtime
 * command finds any more (prototypes.md 1); its path comes from the spec then.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/io.h"
#include "worker/leftover.h"
#include "oci/mount.h"
#include "oci/oci.h"
#include "oci/record.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/steps.h"
#include "worker/tasks.h"

#define UNDO_TEXT_MAX (1024u * 1024u)

/* --- the cgroup that nobody else knows ------------------------------------------------ */

/* /proc/PID/cgroup as a process of that cgroup would show it. */
static char *
undo_membership(const char *self, const char *cgroups_path)
{
	AUTO_FREE char *copy = mem_strdup(self);
	char *line, *save = NULL, *out = mem_strdup("");

	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ':'), *more;

		path = path == NULL ? NULL : strchr(path + 1, ':');
		if (path == NULL)
			continue;
		path[1] = '\0';
		more = mem_printf("%s%s%s\n", out, line, cgroups_path);
		free(out);
		out = more;
	}
	return out;
}

/* The cgroup that the spec asks for; NULL if it cannot be told. */
static char *
undo_cgroup_of_spec(const struct container *c)
{
	AUTO_FREE char *self = NULL, *theirs = NULL, *mountinfo = NULL;
	struct oci_spec spec = {0};
	char *path = NULL;
	size_t len;

	if (oci_spec_load(c->bundle, &spec, NULL) < 0)
		return NULL;
	/*
	 * With systemd the unit goes when it is empty. Where a relative path is, each
	 * runtime decides for itself.
	 */
	if (spec.cgroups_path != NULL && spec.cgroups_path[0] == '/' &&
	    !c->opts.systemd_cgroup &&
	    file_read(AT_FDCWD, "/proc/self/cgroup", UNDO_TEXT_MAX, &self, &len, NULL) ==
		0 &&
	    file_read(AT_FDCWD, "/proc/self/mountinfo", UNDO_TEXT_MAX, &mountinfo, &len,
		NULL) == 0) {
		theirs = undo_membership(self, spec.cgroups_path);
		if (cgroup_resolve(theirs, self, mountinfo, NULL, &path, NULL) < 0)
			path = NULL;
	}
	oci_spec_fini(&spec);
	return path;
}

/* Only a runtime that was killed leaves one: else it tidies up, or never made any. */
static bool
undo_was_killed(struct op *op)
{
	const struct msg_step *create = op->keys[STEP_CREATE] == 0
	    ? NULL
	    : link_step_known(op->pod->link, op->keys[STEP_CREATE]);

	return create != NULL && create->state == STEP_DONE &&
	    (create->timed_out || WIFSIGNALED(create->wait_status));
}

/* When this Create began, in ticks since boot; 0 unknown. */
static uint64_t
undo_since(const struct op *op)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	int64_t age_ns = clock_real_ns() - op->c->created_at;

	if (op->req != NULL)
		return op->t_recv / (US_PER_S / hz);
	if (op->c->created_at == 0 || age_ns < 0)
		return 0;
	return clock_boot_ticks() - (uint64_t)age_ns / ((uint64_t)NS_PER_S / hz) - 1;
}

/* Is somebody in it who was there before? Two specs may name one cgroup. */
static bool
undo_has_others(const char *path, uint64_t since)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t i, n = 0;

	if (cgroup_pids(path, &pids, &n, NULL) < 0 || (n > 0 && since == 0))
		return true;
	for (i = 0; i < n; i++) {
		uint64_t start = record_start_ticks(pids[i]);

		if (start != 0 && start + 1 < since)
			return true;
	}
	return false;
}

static void
undo_cgroup(struct op *op)
{
	AUTO_FREE char *path =
	    op->c->foreign || !undo_was_killed(op) ? NULL : undo_cgroup_of_spec(op->c);

	if (path == NULL)
		return;
	if (undo_has_others(path, undo_since(op))) {
		log_warnx("container '%s': cgroup '%s' is not its alone, left as it is",
		    op->id, path);
		return;
	}
	(void)cgroup_kill(path, NULL);
	cgroup_remove(path);
}

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
undo_rest(struct op *op)
{
	struct container *c = op->c;

	CRASH_POINT("undo.rest");
	undo_cgroup(op);
	if (c->rootfs_mounted)
		command_run_mounts(op, STEP_UNDO_UMOUNT, TAG_UMOUNT,
		    mount_orders(c->bundle, NULL, 0), undo_on_unmounted);
	else
		undo_final(op);
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

/*
 * Create: mounts, stdio, `runtime create`, then container, process, event and
 * answer in one transaction.
 *
 * A row in state CREATING is written first. It says that the disk takes our
 * rows before anything is done, and leads a next worker to what must be undone
 * if the request itself is gone by then (told DeadlineExceeded, condemned).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "oci/cgroup.h"
#include "oci/cgroup_dirs.h"
#include "worker/birth.h"
#include "worker/command.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/exits.h"
#include "worker/halt.h"
#include "worker/io.h"
#include "worker/leftover.h"
#include "oci/mount.h"
#include "oci/oci.h"
#include "worker/oom.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"
#include "worker/steps.h"
#include "worker/tasks.h"

typedef Containerd__Task__V2__CreateTaskRequest create_request;

static const create_request *
create_req(const struct op *op)
{
	return (const create_request *)op->req;
}

/* --- before the runtime ---------------------------------------------------------- */

static struct mount_spec
create_mount_spec(const Containerd__Types__Mount *m)
{
	return (struct mount_spec){
	    .type = m->type,
	    .source = m->source,
	    .target = m->target,
	    .options = (const char *const *)m->options,
	    .n_options = m->n_options,
	};
}

/* What cannot be right is told before anything is done. */
static int
create_check_mounts(const create_request *req, struct err *err)
{
	size_t i;

	if (req->n_rootfs > MOUNT_COUNT_MAX)
		return err_setx(err, EINVAL, "%zu mounts, more than %u", req->n_rootfs,
		    MOUNT_COUNT_MAX);
	for (i = 0; i < req->n_rootfs; i++) {
		const struct mount_spec m = create_mount_spec(req->rootfs[i]);
		struct mount_flags f;
		int rc = mount_parse_options(&m, &f, err);

		if (rc < 0)
			return err_wrap(err, rc, "mount '%s' (%s)", m.source, m.type);
		mount_flags_fini(&f);
	}
	return 0;
}

static int
create_check(struct op *op, struct err *err)
{
	const create_request *req = create_req(op);
	struct stat st;
	int rc = pod_check_id("container id", req->id, err);

	if (rc < 0)
		return rc;
	if (req->bundle[0] != '/' || strlen(req->bundle) >= POD_PATH_MAX)
		return err_setx(
		    err, EINVAL, "bundle '%s' is not an absolute path", req->bundle);
	if (stat(req->bundle, &st) == -1 || !S_ISDIR(st.st_mode))
		return err_setx(
		    err, EINVAL, "bundle '%s' is not a directory", req->bundle);
	if (req->checkpoint[0] != '\0' &&
	    (req->checkpoint[0] != '/' || stat(req->checkpoint, &st) == -1 ||
		!S_ISDIR(st.st_mode)))
		return err_setx(
		    err, EINVAL, "checkpoint '%s' is not a directory", req->checkpoint);
	if (container_count(op->pod) > POD_CONTAINERS_MAX)
		return err_setx(err, ENOSPC, "more than %u containers in one pod",
		    POD_CONTAINERS_MAX);
	rc = create_check_mounts(req, err);
	if (rc < 0)
		return rc;
	return pod_writable(op->pod, err);
}

static int
create_read(struct op *op, struct err *err)
{
	const create_request *req = create_req(op);
	struct container *c = op->c;
	struct oci_spec spec = {0};
	int rc;

	if (c->has_opts)
		options_fini(&c->opts);
	c->has_opts = c->foreign = false;
	rc = req->options == NULL
	    ? options_decode(NULL, NULL, 0, &c->opts, err)
	    : options_decode(req->options->type_url, req->options->value.data,
		  req->options->value.len, &c->opts, err);
	if (rc < 0)
		return rc;
	c->has_opts = true;
	rc = oci_spec_load(req->bundle, &spec, err);
	if (rc < 0)
		return rc;
	c->own_pidns = spec.own_pidns;
	if (spec.has_userns && c->opts.io_uid == 0 && c->opts.io_gid == 0) {
		/* or the container could not open its own /dev/stdout (prototypes.md 2) */
		c->opts.io_uid = spec.host_uid;
		c->opts.io_gid = spec.host_gid;
	}
	oci_spec_fini(&spec);
	free(c->bundle);
	c->bundle = mem_strdup(req->bundle);
	free(c->runtime_root);
	c->runtime_root = runtime_root(&c->opts, op->pod->ns);
	c->rootfs_mounted = req->n_rootfs > 0;
	return 0;
}

/* What containerd's own tools and our `delete` look for in the bundle. */
static int
create_write_bundle(struct container *c, struct err *err)
{
	AUTO_CLOSE int dirfd = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *json = options_to_json(&c->opts);
	int rc;

	if (dirfd == -1)
		return err_set(err, errno, "open '%s'", c->bundle);
	rc = file_write(dirfd, "options.json", json, strlen(json), 0600, err);
	if (rc == 0)
		rc = file_write(dirfd, "runtime", c->opts.binary_name,
		    strlen(c->opts.binary_name), 0600, err);
	return rc < 0 ? err_wrap(err, rc, "bundle '%s'", c->bundle) : 0;
}

static void
create_make_init(struct op *op)
{
	const create_request *req = create_req(op);
	struct process *p = op->c->init != NULL ? op->c->init : process_new(op->c, "");

	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	p->stdin_path = mem_strdup(req->stdin);
	p->stdout_path = mem_strdup(req->stdout);
	p->stderr_path = mem_strdup(req->stderr);
	p->terminal = req->terminal;
	process_set_spec(p,
	    req->checkpoint[0] != '\0' ? mem_strdup(req->checkpoint) : NULL,
	    strlen(req->checkpoint));
	op->p = p;
}

/* --- the end ------------------------------------------------------------------------ */

void
create_adopted(struct container *c)
{
	AUTO_FREE char *path = mem_printf("%s/init.pid", c->bundle);
	struct err err = ERR_INIT;
	char text[16];
	int n = snprintf(text, sizeof text, "%d", c->init->pid);

	free(c->cgroup);
	c->cgroup = process_cgroup(c->init);
	cgroup_delegate(c->cgroup);
	c->dirs = cgroup_dirs_find(c->init->pid, c->cgroup);
	oom_watch(c, true);
	/* where containerd's tools expect the pid */
	if (file_write(AT_FDCWD, path, text, (size_t)n, 0644, &err) < 0)
		log_warnx("%s, ignoring", err.text);
}

static void
create_final(struct op *op)
{
	Containerd__Task__V2__CreateTaskResponse r =
	    CONTAINERD__TASK__V2__CREATE_TASK_RESPONSE__INIT;
	AUTO_FREE char *tty = process_tty_name(op->p, op->p->key);
	struct container *c = op->c;
	struct pod *pod = op->pod;
	int rc;

	c->state = TASK_CREATED;
	c->from_row = false;
	c->create_sent = true;
	c->created_at = clock_real_ns();
	r.pid = (uint32_t)c->init->pid;
	op_set_ok(op, &r.base);
	/* before the answer stands: a worker that comes after that has no reason to */
	link_unpin(pod->link, c->id);
	pod_begin(pod);
	container_put(c);
	process_put(c->init);
	leftover_taken(pod, c->id);
	events_create(c, create_req(op));
	store_audit(pod->store, c->id, "", "create", c->opts.binary_name);
	op_store_answer(op);
	CRASH_POINT("create.final");
	rc = pod_commit(pod, STORE_KEEP, NULL);
	CRASH_POINT("create.committed");
	(void)rc;
	if (c->init->io != NULL)
		io_start(c->init->io, tty);
	pod_mark(pod);
	op_end(op);
}

/*
 * Nobody wants it any more: its caller was told that it came too late, or the delete
 * action, which came meanwhile, cannot have seen what is made now.
 */
static bool
create_is_unwanted(struct op *op)
{
	if (!op->told && purge_is_due(op->c))
		op_set_fail(op, STATUS_CANCELED, "container '%s' was given up", op->id);
	return op->told || op->c->purging;
}

static void
create_on_created(struct op *op, const struct command_result *res)
{
	const struct command_result born = birth_result(op, res);
	struct process *p = op->p;

	CRASH_POINT("create.done");
	if (!born.ok) {
		op->c->foreign = strstr(born.error, "already exists") != NULL;
		op_set_fail(op, born.code, "%s", born.error);
		create_undo(op);
		return;
	}
	if (create_is_unwanted(op)) {
		/* not bound: its exit is nobody's, and dropped when this has ended */
		create_undo(op);
		return;
	}
	process_bind(p, res->step->key, res->step->child_pid, res->step->child_start);
	create_adopted(op->c);
	create_final(op);
}

/* --- the way there -------------------------------------------------------------------- */

static void
create_on_failed(struct op *op, enum status_code code, const char *error)
{
	op_set_fail(op, code, "%s", error);
	create_undo(op);
}

static void
create_run(struct op *op)
{
	struct command *cmd =
	    command_new(op, STEP_CREATE, TAG_CREATE, "OCI runtime create failed");

	runtime_create(&cmd->argv, &cmd->target, cmd->pid_path, op->p->terminal);
	birth_run(cmd, create_on_created, create_on_failed);
}

/* From a checkpoint, all that is left to do is Start's (task_restore.c). */
static void
create_make(struct op *op)
{
	if (op->p->spec != NULL)
		create_final(op);
	else
		create_run(op);
}

static void
create_on_mounted(struct op *op, const struct command_result *res)
{
	CRASH_POINT("create.mounted");
	if (!res->ok)
		op_set_fail(op, res->code, "%s", res->error);
	if (!res->ok || create_is_unwanted(op))
		create_undo(op);
	else
		create_make(op);
}

static int
create_mount_orders(const struct op *op)
{
	const create_request *req = create_req(op);
	AUTO_FREE struct mount_spec *mounts = mem_zalloc(req->n_rootfs * sizeof *mounts);
	size_t i;

	for (i = 0; i < req->n_rootfs; i++)
		mounts[i] = create_mount_spec(req->rootfs[i]);
	return mount_orders(op->c->bundle, mounts, req->n_rootfs);
}

/* A failure before anything was done. */
static void
create_refuse(struct op *op, enum status_code code, const char *text)
{
	struct container *c = op->c;

	op_set_fail(op, code, "%s", text);
	if (c->state == TASK_CREATING && c->from_row) {
		create_undo(op);
		return;
	}
	if (c->state == TASK_CREATING) {
		process_free(c->init);
		op->p = NULL;
	}
	op_end(op);
}

void
task_create(struct op *op)
{
	struct container *c = op->c;
	struct err err = ERR_INIT;
	int rc;

	if (c->state != TASK_CREATING) {
		op_fail(
		    op, STATUS_ALREADY_EXISTS, "container '%s' already exists", op->id);
		return;
	}
	op->t_recv += halt_at(HALT_CREATE, op->id, "");
	rc = create_check(op, &err);
	if (rc == 0 && !c->from_row && !op_has_steps(op))
		purge_begin_anew(c);
	if (rc == 0)
		rc = create_read(op, &err);
	if (rc == 0)
		rc = create_write_bundle(c, &err);
	if (rc < 0) {
		/* a missing file of the bundle is the caller's mistake, not a missing task */
		create_refuse(op,
		    rc == -ENOENT ? STATUS_INVALID_ARGUMENT : status_from_errno(-rc),
		    err.text);
		return;
	}
	create_make_init(op);
	pod_choose_log(op->pod, NULL);
	op->pod->shutdown_seen = false;
	if (!c->from_row) {
		c->created_at = clock_real_ns(); /* so far: its undo may need it */
		pod_begin(op->pod);
		container_put(c);
		store_forget_exits(op->pod->store, c->id);
		store_set_meta(op->pod->store, "shutdown_seen", NULL);
		rc = pod_commit(op->pod, STORE_MUST, &err);
		if (rc < 0) {
			create_refuse(op, STATUS_RESOURCE_EXHAUSTED, err.text);
			return;
		}
		c->from_row = true;
	}
	CRASH_POINT("create.begun");
	if (c->rootfs_mounted)
		command_run_mounts(op, STEP_MOUNT, TAG_MOUNT, create_mount_orders(op),
		    create_on_mounted);
	else
		create_make(op);
}

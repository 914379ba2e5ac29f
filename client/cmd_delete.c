/*
 * podshimctl delete: the end of containers that `podshimctl run` has made. Those
 * of containerd are containerd's: it would only see them vanish.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "client/confirm.h"
#include "client/ctl.h"
#include "client/find.h"
#include "client/pods.h"
#include "client/run_dir.h"
#include "client/run_remove.h"
#include "client/verbs.h"

static bool
is_running(const struct container_info *c)
{
	return c->state != TASK_STOPPED && c->state != TASK_CREATED &&
	    c->state != TASK_CREATING;
}

static int
may_end(struct ctl *ctl, const struct container_info *c)
{
	if (!is_running(c) || ctl_option(ctl, "force") != NULL)
		return CTL_OK;
	if (ctl_option(ctl, "yes") == NULL && !ctl_can_ask(ctl))
		return ctl_fail(ctl,
		    "container '%s' is running; --force kills and deletes it", c->id);
	return ctl_confirm(ctl, "Container '%s' is running. Kill and delete it?", c->id);
}

static int
may_remove(struct ctl *ctl, const struct found *f)
{
	const char *id = f->container->id, *ns = f->pod->ns;

	if (!run_dir_is(ctl->root, f->container->bundle))
		return ctl_fail(ctl,
		    "container '%s' belongs to containerd, in namespace '%s': delete it "
		    "there ('ctr -n %s task rm')",
		    id, ns, ns);
	return may_end(ctl, f->container);
}

/* One whose pod is gone, or that never came so far. */
static bool
is_left_over(struct ctl *ctl, const char *id, const char **ns)
{
	AUTO_FREE char *path = NULL;
	struct stat st;

	*ns = ctl->ns != NULL ? ctl->ns : RUN_NAMESPACE;
	if (!pod_id_valid(id))
		return false;
	path = run_dir_path(ctl->root, *ns, id);
	return stat(path, &st) == 0;
}

static const struct container_info *
container_of(const struct pod *pod, const char *id)
{
	size_t i;

	for (i = 0; i < pod->n_containers; i++)
		if (strcmp(pod->containers[i].id, id) == 0)
			return &pod->containers[i];
	return NULL;
}

static bool
is_known(const struct pods *pods, const char *ns, const char *id)
{
	size_t i;

	for (i = 0; i < pods->n; i++)
		if (strcmp(pods->v[i].ns, ns) == 0 &&
		    container_of(&pods->v[i], id) != NULL)
			return true;
	return false;
}

/*
 * Nobody knows of it. If its pod lives, that may be for want of a database that can be
 * read, and proves nothing.
 */
static int
may_remove_left_over(struct ctl *ctl, const char *ns, const char *id)
{
	AUTO_FREE char *path = run_dir_path(ctl->root, ns, id);
	const struct container_info *c = NULL;
	struct err err = ERR_INIT;
	struct pods pods;
	struct pod *pod = run_pod_of(ctl->root, ns, path, &pods);
	int rc = CTL_OK;

	if (pod == NULL || pod->keeper == KEEPER_DEAD || ctl_option(ctl, "force") != NULL)
		;
	else if (pod_load(pod, &err) < 0)
		rc = ctl_fail(ctl,
		    "container '%s' may be running: its pod '%s' lives, and what it has "
		    "cannot be read: %s; --force kills and deletes it",
		    id, pod->group, err.text);
	else if ((c = container_of(pod, id)) != NULL)
		rc = may_end(ctl, c);
	pods_fini(&pods);
	return rc;
}

/*
 * A `run` that is about to start it is known to nobody yet, but holds the directory's
 * lock. *fd is ours, until it is closed.
 */
static int
lock_left_over(struct ctl *ctl, const char *ns, const char *id, int *fd)
{
	AUTO_FREE char *path = run_dir_path(ctl->root, ns, id);
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir == -1)
		return ctl_fail(ctl, "'%s': %s", path, strerror(errno));
	if (flock(dir, LOCK_EX | LOCK_NB) == -1 && ctl_option(ctl, "force") == NULL)
		return ctl_fail(ctl,
		    "container '%s' is in use by another podshimctl, which starts or "
		    "removes it; --force deletes it all the same",
		    id);
	*fd = steal_fd(&dir);
	return CTL_OK;
}

static int
delete_one(struct ctl *ctl, struct pods *pods, const char *name)
{
	AUTO_CLOSE int lock = -1;
	const char *ns, *id = name;
	struct err err = ERR_INIT;
	struct found f;
	int rc;

	if (is_left_over(ctl, name, &ns) && !is_known(pods, ns, name)) {
		rc = lock_left_over(ctl, ns, name, &lock);
		if (rc == CTL_OK)
			rc = may_remove_left_over(ctl, ns, name);
	} else {
		rc = find_whole_name(ctl, pods, name, &f);
		if (rc == CTL_OK)
			rc = may_remove(ctl, &f);
		if (rc == CTL_OK) {
			ns = f.pod->ns;
			id = f.container->id;
		}
	}
	if (rc != CTL_OK)
		return rc;
	rc = run_remove(ctl->root, ns, id, &err);
	if (rc < 0)
		return ctl_fail_as(ctl, ctl_exit_of(rc), "%s", err.text);
	(void)fprintf(ctl->out, "%s\n", id);
	return CTL_OK;
}

static int
cmd_delete(struct ctl *ctl)
{
	struct pods pods = {0};
	int rc = CTL_OK, one, i;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = CTL_OK; /* what could not be read of others is no matter */
	for (i = 0; i < ctl->argc; i++) {
		one = delete_one(ctl, &pods, ctl->argv[i]);
		rc = rc == CTL_OK ? one : rc;
	}
	pods_fini(&pods);
	return rc;
}

static const struct ctl_option delete_options[] = {
    {"force", 'f', NULL, "also one that is running: it is killed"},
    CTL_OPTION_YES,
    {0},
};

const struct ctl_verb verb_delete = {
    .name = "delete",
    .group = GROUP_RUN,
    .args = "CONTAINER...",
    .summary = "take away containers that 'run' has made",
    .text =
	"With the container go its bundle, its pid file, and its log unless --log named\n"
	"one. A pod without containers ends. One that still runs is killed with\n"
	"--force or after a yes on the terminal. Whole names are wanted.",
    .options = delete_options,
    .examples = "  podshimctl delete hello\n"
		"  podshimctl delete --force web db",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_delete,
};

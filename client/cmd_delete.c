/*
 * podshimctl delete: the end of containers that `podshimctl run` has made. Those
 * of containerd are containerd's: it would only see them vanish.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
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
may_remove(struct ctl *ctl, const struct found *f)
{
	const struct container_info *c = f->container;

	if (!run_dir_is(ctl->root, c->bundle))
		return ctl_fail(ctl,
		    "container '%s' belongs to containerd, in namespace '%s': delete it "
		    "there ('ctr -n %s task rm')",
		    c->id, f->pod->ns, f->pod->ns);
	if (!is_running(c) || ctl_option(ctl, "force") != NULL)
		return CTL_OK;
	if (ctl_option(ctl, "yes") == NULL && !isatty(STDIN_FILENO))
		return ctl_fail(ctl,
		    "container '%s' is running; --force kills and deletes it", c->id);
	return ctl_confirm(ctl, "Container '%s' is running. Kill and delete it?", c->id);
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

static bool
is_known(const struct pods *pods, const char *ns, const char *id)
{
	size_t i, k;

	for (i = 0; i < pods->n; i++) {
		if (strcmp(pods->v[i].ns, ns) != 0)
			continue;
		for (k = 0; k < pods->v[i].n_containers; k++) {
			if (strcmp(pods->v[i].containers[k].id, id) == 0)
				return true;
		}
	}
	return false;
}

static int
delete_one(struct ctl *ctl, struct pods *pods, const char *name)
{
	const char *ns, *id = name;
	struct err err = ERR_INIT;
	struct found f;
	int rc;

	if (!is_left_over(ctl, name, &ns) || is_known(pods, ns, name)) {
		rc = find_container(ctl, pods, name, &f);
		if (rc == CTL_OK)
			rc = may_remove(ctl, &f);
		if (rc != CTL_OK)
			return rc;
		ns = f.pod->ns;
		id = f.container->id;
	}
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
	"--force or after a yes on the terminal.",
    .options = delete_options,
    .examples = "  podshimctl delete hello\n"
		"  podshimctl delete --force web db",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_delete,
};

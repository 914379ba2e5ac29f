/*
 * podshimctl gc: remove what is provably nobody's, and nothing else. What was seen
 * without the pod's lock is looked at again under it, so a `start` of containerd's
 * that makes the pod anew is never met half-way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/poddir.h"
#include "base/podlock.h"
#include "client/find.h"
#include "client/json.h"
#include "client/leavings.h"
#include "client/node.h"
#include "client/text.h"
#include "client/verbs.h"
#include "ipc/admin.h"

#define LOCK_LIMIT_US	(200 * US_PER_MS)
#define REMOVE_LIMIT_US (2 * US_PER_S)

enum fate { FATE_REMOVED, FATE_WOULD, FATE_LEFT, FATE_FAILED };

struct gc {
	struct ctl *ctl;
	bool dry;
	json_t *array; /* NULL: for people */
	size_t n[FATE_FAILED + 1];
};

static void
gc_say(struct gc *gc, enum fate fate, const char *path, const char *why)
{
	static const char *const words[] = {
	    [FATE_REMOVED] = "removed",
	    [FATE_WOULD] = "would remove",
	    [FATE_LEFT] = "left alone",
	    [FATE_FAILED] = "FAILED",
	};
	static const char *const codes[] = {
	    [FATE_REMOVED] = "removed",
	    [FATE_WOULD] = "would-remove",
	    [FATE_LEFT] = "left",
	    [FATE_FAILED] = "failed",
	};
	AUTO_FREE char *safe = text_safe(path), *safe_why = text_safe(why);

	gc->n[fate]++;
	if (gc->array != NULL)
		(void)json_array_append_new(gc->array,
		    json_pack("{s:s, s:o, s:o}", "result", codes[fate], "path",
			js_text(path), "text", js_text(why)));
	else
		(void)fprintf(gc->ctl->out, "%s %s: %s\n", words[fate], safe, safe_why);
}

/* --- pods ------------------------------------------------------------------------- */

/*
 * Why the pod is an orphan, or (-EBUSY, -ENOENT) is none, as it is this moment. *pods is
 * the caller's; *now: the pod among them.
 */
static int
pod_is_orphan_now(const struct gc *gc, const struct pod *seen, struct pods *pods,
    struct pod **now, char **why)
{
	struct procs procs = {0};
	struct look look;
	int rc = -ENOENT;
	size_t i;

	*pods = (struct pods){0};
	(void)pods_find(gc->ctl->root, seen->ns, pods, NULL);
	for (i = 0; i < pods->n; i++) {
		struct pods one = {.v = &pods->v[i], .n = 1};

		if (strcmp(pods->v[i].path, seen->path) != 0)
			continue;
		*now = &pods->v[i];
		pods_ask(&one, PODS_TIMEOUT_MS);
		(void)pod_load(*now, NULL);
		procs_read(&procs);
		look_at(*now, &procs, &look);
		rc = node_pod_is_orphan(&look, why);
		look_fini(&look);
		procs_fini(&procs);
	}
	if (rc == -ENOENT)
		*why = mem_strdup("it is gone already");
	return rc;
}

static bool
pod_is_orphan(const struct gc *gc, const struct pod *seen, char **why)
{
	struct pods pods;
	struct pod *now;
	int rc = pod_is_orphan_now(gc, seen, &pods, &now, why);

	pods_fini(&pods);
	return rc != -EBUSY;
}

/* What its containers have left beside the pod's directory, which alone knows of it. */
static bool
gc_leavings(struct gc *gc, const struct pod *pod)
{
	enum fate fate = gc->dry ? FATE_WOULD : FATE_REMOVED;
	struct err err = ERR_INIT;
	size_t i;

	for (i = 0; i < pod->n_containers; i++) {
		const struct container_info *c = &pod->containers[i];
		AUTO_FREE char *dir = leavings_runtime_dir(c);
		AUTO_FREE char *cgroup =
		    leavings_cgroup(c) == NULL ? NULL : mem_strdup(leavings_cgroup(c));
		AUTO_FREE char *whose = mem_printf("of container '%s'", c->id);

		if (!gc->dry && leavings_remove(c, pod->ns, &err) < 0) {
			gc_say(gc, FATE_FAILED, whose, err.text);
			return false;
		}
		if (dir != NULL)
			gc_say(gc, fate, dir, whose);
		if (cgroup != NULL)
			gc_say(gc, fate, cgroup, whose);
	}
	return true;
}

/* Under its lock. */
static void
gc_remove_pod(struct gc *gc, const struct pod *pod, const char *lock_path)
{
	AUTO_FREE char *why = NULL;
	AUTO_FREE char *socket = NULL;
	struct pods pods;
	struct pod *now;
	int rc = pod_is_orphan_now(gc, pod, &pods, &now, &why);
	bool clean = rc == 0 && gc_leavings(gc, now);

	pods_fini(&pods);
	if (rc < 0) {
		gc_say(gc, FATE_LEFT, pod->path, why);
		return;
	}
	if (!clean)
		return;
	socket = node_stale_socket(pod);
	if (!gc->dry) {
		rc = poddir_remove(pod->path, clock_boot_us() + REMOVE_LIMIT_US);
		if (rc < 0) {
			gc_say(gc, FATE_FAILED, pod->path, strerror(-rc));
			return;
		}
	}
	gc_say(gc, gc->dry ? FATE_WOULD : FATE_REMOVED, pod->path, why);
	if (socket != NULL && (gc->dry || stale_socket_remove(socket) == 0))
		gc_say(gc, gc->dry ? FATE_WOULD : FATE_REMOVED, socket,
		    "nobody listens at it, and its pod is gone");
	if (!gc->dry)
		podlock_remove(lock_path);
}

static void
gc_pod(struct gc *gc, const struct pod *pod)
{
	AUTO_FREE char *lock_path = mem_printf("%s.lock", pod->path);
	struct err err = ERR_INIT;
	AUTO_FREE char *why = NULL;
	AUTO_CLOSE int lock = -1;
	bool had_lock;

	if (pod->keeper != KEEPER_DEAD || !pod_is_orphan(gc, pod, &why)) {
		if (pod->keeper == KEEPER_DEAD)
			gc_say(gc, FATE_LEFT, pod->path, why);
		return;
	}
	had_lock = access(lock_path, F_OK) == 0;
	lock = podlock_take(lock_path, clock_boot_us() + LOCK_LIMIT_US, &err);
	if (lock < 0) {
		gc_say(gc, FATE_LEFT, pod->path, err.text);
		return;
	}
	gc_remove_pod(gc, pod, lock_path);
	if (gc->dry && !had_lock)
		(void)unlink(lock_path);
}

/* --- what execs of ours left when they were killed -------------------------------- */

/* exec-<pid>-<random>; 0: not such a name. */
static pid_t
exec_dir_pid(const char *name)
{
	long pid;
	char *end;

	if (strncmp(name, "exec-", 5) != 0)
		return 0;
	pid = strtol(name + 5, &end, 10);
	return pid > 0 && *end == '-' && strlen(end) == 7 ? (pid_t)pid : 0;
}

static void
gc_exec_dirs(struct gc *gc, const struct pod *pod)
{
	struct dirent *e;
	DIR *dir = opendir(pod->path);
	pid_t pid;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		AUTO_FREE char *path = mem_printf("%s/%s", pod->path, e->d_name);

		pid = exec_dir_pid(e->d_name);
		if (pid == 0 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		if (!gc->dry && tree_remove(AT_FDCWD, path) < 0)
			gc_say(gc, FATE_FAILED, path, strerror(errno));
		else
			gc_say(gc, gc->dry ? FATE_WOULD : FATE_REMOVED, path,
			    "the 'podshimctl exec' that made it is gone");
	}
	(void)closedir(dir);
}

/* --- all -------------------------------------------------------------------------- */

static int
cmd_gc(struct ctl *ctl)
{
	struct gc gc = {.ctl = ctl, .dry = ctl_option(ctl, "dry-run") != NULL};
	struct pods pods = {0};
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl_is_json(ctl))
		gc.array = json_array();
	for (i = 0; i < pods.n; i++) {
		if (pods.v[i].keeper != KEEPER_DEAD)
			gc_exec_dirs(&gc, &pods.v[i]);
		gc_pod(&gc, &pods.v[i]);
	}
	if (gc.array != NULL)
		js_print(ctl, gc.array);
	else if (gc.n[FATE_REMOVED] + gc.n[FATE_WOULD] + gc.n[FATE_LEFT] +
		gc.n[FATE_FAILED] ==
	    0)
		(void)fprintf(ctl->out, "Nothing to remove.\n");
	pods_fini(&pods);
	return gc.n[FATE_FAILED] > 0 ? CTL_FAILED : rc;
}

static const struct ctl_option options[] = {
    {"dry-run", 0, NULL, "only say what would be removed"},
    {0},
};

const struct ctl_verb verb_gc = {
    .name = "gc",
    .group = GROUP_EXPLAIN,
    .args = "",
    .summary = "remove what is provably nobody's",
    .text =
	"Directories and sockets of pods whose keeper is dead, whose containers have no\n"
	"process left, and of which containerd has no bundle any more; and what their\n"
	"containers left to the OCI runtime and the kernel: its record of them, "
	"cgroups.\n"
	"All else is left alone, and said so; nothing is killed. It never races a pod\n"
	"that is being started: it holds the pod's lock.",
    .options = options,
    .examples = "  podshimctl gc --dry-run",
    .run = cmd_gc,
};

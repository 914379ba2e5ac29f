/*
 * See node.h. An orphan is what is provably nobody's: no keeper, no process of its
 * containers, and no bundle, so containerd will not ask for it again either.
 */
#include "client/node.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/podpath.h"
#include "client/build.h"
#include "client/rpc.h"
#include "client/unit.h"
#include "oci/cgroup.h"

/* The database of a pod takes some 150 KB; a few of them should fit yet. */
#define ROOM_LOW_BYTES	 (4u << 20)
#define ROOM_LOW_PERCENT 5u

/* --- one pod ---------------------------------------------------------------------- */

static const struct process_info *
init_of(const struct container_info *c)
{
	return c->n_processes > 0 && *c->processes[0].exec_id == '\0' ? &c->processes[0]
								      : NULL;
}

/* It runs, and is the process that was recorded. */
static bool
init_lives(const struct look *l, const struct container_info *c)
{
	const struct process_info *init = init_of(c);
	const struct proc *p;

	if (init == NULL || init->pid == 0 || init->state == TASK_STOPPED)
		return false;
	p = procs_find_recorded(l->procs, init);
	return p != NULL && p->state != 'Z';
}

static size_t
cgroup_members(const struct container_info *c)
{
	pid_t *pids = NULL;
	size_t n = 0;

	if (c->cgroup != NULL && *c->cgroup != '\0')
		(void)cgroup_pids(c->cgroup, &pids, &n, NULL);
	free(pids);
	return n;
}

int
node_pod_is_orphan(const struct look *l, char **why)
{
	const struct pod *pod = l->pod;
	AUTO_FREE char *db = mem_printf("%s/state.db", pod->path);
	struct stat st;
	size_t i;

	if (pod->keeper != KEEPER_DEAD || l->keeper != 0) {
		*why = mem_strdup("it has a keeper");
		return -EBUSY;
	}
	if (!pod->known && (lstat(db, &st) == 0 || errno != ENOENT)) {
		*why = mem_strdup("its database cannot be read, so nobody knows what "
				  "containers it has");
		return -EBUSY;
	}
	for (i = 0; i < pod->n_containers; i++) {
		const struct container_info *c = &pod->containers[i];
		size_t n = cgroup_members(c);

		if (init_lives(l, c) || n > 0) {
			*why = mem_printf("container '%s' still has processes", c->id);
			return -EBUSY;
		}
		if (*c->bundle != '\0' && lstat(c->bundle, &st) == 0) {
			*why = pod_is_run(pod)
			    ? mem_printf("container '%s' still has its bundle: "
					 "'podshimctl delete %s' takes them away",
				  c->id, c->id)
			    : mem_printf("container '%s' still has its bundle, so "
					 "containerd will ask how it ended",
				  c->id);
			return -EBUSY;
		}
	}
	*why = mem_strdup(pod->n_containers == 0
		? "its keeper is dead and it has no containers"
		: "its keeper is dead, and of its containers "
		  "neither processes nor bundles are left");
	return 0;
}

/* Its keeper is dead: is it debris, or are there containers without a shim? */
static void
check_dead_pod(const struct look *l, const char *subject, struct findings *out)
{
	AUTO_FREE char *why = NULL;
	size_t i;

	for (i = 0; i < l->pod->n_containers; i++) {
		const struct container_info *c = &l->pod->containers[i];
		AUTO_FREE char *advice = pod_is_run(l->pod)
		    ? mem_printf("'podshimctl delete --force %s' takes it away", c->id)
		    : mem_strdup("restart containerd: it deletes what has no shim; or "
				 "kill it by hand");

		if (init_lives(l, c))
			finding_add(out, FINDING_BAD, "container-without-keeper", subject,
			    advice,
			    "Container '%s' runs (pid %d), but the pod's keeper is dead.",
			    c->id, init_of(c)->pid);
	}
	if (node_pod_is_orphan(l, &why) == 0)
		finding_add(out, FINDING_WARNING, "orphaned-directory", subject,
		    "'podshimctl gc' removes it", "'%s' is left over: %s.", l->pod->path,
		    why);
}

/* What is recorded, beside what the kernel says. */
static void
check_container(const struct look *l, const struct container_info *c, const char *subject,
    struct findings *out)
{
	const struct process_info *init = init_of(c);
	const struct proc *p;
	struct stat st;

	if (init == NULL || init->pid == 0 || init->state == TASK_STOPPED)
		return;
	p = procs_find(l->procs, init->pid);
	if (p != NULL && !proc_is_recorded(p, init))
		finding_add(out, FINDING_BAD, "pid-reused", subject, NULL,
		    "Container '%s' is recorded as pid %d, but that is another process "
		    "now "
		    "(%s).",
		    c->id, init->pid, p->comm);
	if (p != NULL && c->cgroup != NULL && *c->cgroup != '\0' &&
	    stat(c->cgroup, &st) == -1 && errno == ENOENT)
		finding_add(out, FINDING_WARNING, "cgroup-gone", subject, NULL,
		    "Container '%s' runs, but its cgroup '%s' is gone: no statistics, "
		    "and "
		    "no killing of all its processes.",
		    c->id, c->cgroup);
	if (*c->bundle != '\0' && lstat(c->bundle, &st) == -1 && errno == ENOENT)
		finding_add(out, FINDING_WARNING, "bundle-gone", subject, NULL,
		    "Container '%s' runs, but its bundle '%s' is gone: %s.", c->id,
		    c->bundle,
		    pod_is_run(l->pod) ? "'podshimctl delete' cannot take it away"
				       : "containerd does not know of it any more");
}

static void
check_containerd_of(const struct look *l, const char *subject, struct findings *out)
{
	if (l->address == NULL || pod_is_run(l->pod) || look_somebody_listens(l->address))
		return;
	finding_add(out, FINDING_WARNING, "no-containerd", subject,
	    "start containerd: events and exits are kept for it",
	    "The pod runs without its containerd: nobody listens at '%s'.", l->address);
}

void
node_check_pod(const struct look *l, struct findings *out)
{
	AUTO_FREE char *subject = mem_printf("%s/%s", l->pod->ns, l->pod->group);
	AUTO_FREE char *build = NULL;
	size_t i;

	if (l->pod->keeper == KEEPER_DEAD)
		check_dead_pod(l, subject, out);
	else
		for (i = 0; i < l->pod->n_containers; i++)
			check_container(l, &l->pod->containers[i], subject, out);
	check_containerd_of(l, subject, out);
	if (!build_is_old(l->pod))
		return;
	build = build_of_pod(l->pod);
	finding_add(out, FINDING_NOTE, "old-build", subject,
	    "'podshimctl upgrade --all' replaces workers; containers run on",
	    "Its worker is of an older build (%s) than is installed (%s).",
	    build == NULL ? "?" : build, PACKAGE_VERSION);
}

/* --- sockets ---------------------------------------------------------------------- */

char *
node_stale_socket(const struct pod *pod)
{
	char *path = pod->keeper == KEEPER_DEAD ? rpc_socket_of(pod) : NULL;

	if (path != NULL && look_somebody_listens(path))
		free(steal_ptr(&path));
	return path;
}

static void
check_socket(const struct pod *pod, struct findings *out)
{
	AUTO_FREE char *path = node_stale_socket(pod);

	if (path != NULL)
		finding_add(out, FINDING_WARNING, "stale-socket", path,
		    "'podshimctl gc' removes it with its pod",
		    "Nobody listens at the socket of pod '%s'.", pod->group);
}

/* --- processes -------------------------------------------------------------------- */

static bool
keeper_is_of_pods(const struct node *node, const char *dir)
{
	size_t i;

	for (i = 0; i < node->pods->n; i++)
		if (strcmp(node->pods->v[i].path, dir) == 0)
			return true;
	return false;
}

static void
check_processes(const struct node *node, struct findings *out)
{
	AUTO_FREE char *below =
	    mem_printf("%s/%s", node->root, node->ns == NULL ? "" : node->ns);
	size_t i;

	for (i = 0; i < node->procs->n; i++) {
		const struct proc *p = &node->procs->v[i];
		const struct proc *parent = procs_find(node->procs, p->ppid);
		AUTO_FREE char *dir = NULL;

		if (strcmp(p->comm, "podshim-keeper") != 0 || !proc_is_roots(p->pid))
			continue;
		/* a child that is about to become another program */
		if (parent != NULL && strcmp(parent->comm, "podshim-keeper") == 0)
			continue;
		dir = proc_argument(p->pid, "-dir");
		if (dir == NULL || strncmp(dir, below, strlen(below)) != 0 ||
		    keeper_is_of_pods(node, dir) || access(dir, F_OK) == 0)
			continue;
		finding_add(out, FINDING_BAD, "keeper-without-directory", dir, NULL,
		    "Keeper pid %d runs, but its pod's directory has been removed.",
		    (int)p->pid);
	}
}

/* --- containerd ------------------------------------------------------------------- */

static void
check_unit(pid_t containerd, struct findings *out)
{
	AUTO_FREE char *unit = unit_of_pid(containerd);
	AUTO_FREE char *mode = unit == NULL ? NULL : unit_kill_mode(unit, NULL);

	if (mode == NULL || strcmp(mode, "process") == 0 || strcmp(mode, "none") == 0)
		return;
	finding_add(out, FINDING_BAD, "kill-mode", unit,
	    "give the unit KillMode=process, as containerd's own has",
	    "Unit '%s' has KillMode=%s: stopping or restarting containerd kills every "
	    "shim of this node, and so every container.",
	    unit, mode);
}

static void
check_containerd(const struct node *node, struct findings *out)
{
	size_t i;

	for (i = 0; i < node->procs->n; i++)
		if (strcmp(node->procs->v[i].comm, "containerd") == 0 &&
		    proc_is_roots(node->procs->v[i].pid))
			check_unit(node->procs->v[i].pid, out);
}

/* --- room ------------------------------------------------------------------------- */

static void
check_room(const struct node *node, struct findings *out)
{
	struct statvfs fs;
	unsigned long long left, all;

	if (statvfs(node->root, &fs) == -1)
		return;
	left = (unsigned long long)fs.f_bavail * fs.f_frsize;
	all = (unsigned long long)fs.f_blocks * fs.f_frsize;
	if (left < ROOM_LOW_BYTES || left < all / 100 * ROOM_LOW_PERCENT)
		finding_add(out, left < ROOM_LOW_BYTES ? FINDING_BAD : FINDING_WARNING,
		    "state-root-full", node->root,
		    "make room there, or remount it larger: full, no container can be "
		    "created",
		    "The file system of the pods' state has %llu KiB left of %llu MiB.",
		    left >> 10, all >> 20);
	if (fs.f_files > 0 && fs.f_favail < 256)
		finding_add(out, FINDING_BAD, "state-root-full", node->root, NULL,
		    "The file system of the pods' state has %llu inodes left.",
		    (unsigned long long)fs.f_favail);
}

void
node_check(const struct node *node, struct findings *out)
{
	size_t i;

	for (i = 0; i < node->pods->n; i++)
		check_socket(&node->pods->v[i], out);
	check_processes(node, out);
	check_containerd(node, out);
	check_room(node, out);
}

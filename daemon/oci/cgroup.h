/*
 * A container's cgroup, found through /proc/<init pid>/cgroup, v1 or v2: its
 * members and killing them. Reads only memory-backed files: never blocks long. What
 * looks at each cgroup below has half a second for that (a kill in rounds, some such
 * looks in 2 s), and leaves the rest out: a container may make any number of them.
 */
#ifndef PODSHIM_OCI_CGROUP_H
#define PODSHIM_OCI_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

/*
 * The directory that lists a container's members, from its init's pid:
 * "/sys/fs/cgroup/pids/…" on v1 (devices, else the first hierarchy),
 * "/sys/fs/cgroup/…" on v2. malloc'ed. -ESRCH if the process is gone, -ENOENT
 * if it sits in the root cgroup.
 */
int cgroup_of_pid(pid_t pid, char **path, struct err *err);

/*
 * The same for one controller ("memory", "cpu", …): where its files are. On v2
 * every controller's files are in the one directory.
 */
int cgroup_of_pid_controller(
    pid_t pid, const char *controller, char **path, struct err *err);
/*
 * What both do, from the texts of /proc/PID/cgroup, /proc/self/cgroup and
 * /proc/self/mountinfo; controller NULL chooses as cgroup_of_pid() does. A
 * cgroup that self sits in, too, belongs to no container: -ENOENT.
 */
int cgroup_resolve(const char *proc_cgroup, const char *self_cgroup,
    const char *mountinfo, const char *controller, char **path, struct err *err);

/*
 * The cgroup that a spec's cgroupsPath asks for, as runc makes it; it need not exist. With
 * the systemd driver "a-b.slice:cri:x" is the scope cri-x.scope in these slices. -ENOENT:
 * where that is each runtime decides for itself, or it is no container's own.
 */
int cgroup_of_spec(const char *cgroups_path, bool systemd, char **path, struct err *err);
/* The same from the texts of /proc/1/cgroup and the others. */
int cgroup_resolve_spec(const char *cgroups_path, bool systemd, const char *init_cgroup,
    const char *self_cgroup, const char *mountinfo, char **path, struct err *err);
/* Its path in the hierarchy, malloc'ed; NULL if it cannot be told. */
char *cgroup_spec_path(const char *cgroups_path, bool systemd);

/*
 * All pids of the cgroup and those below it, each once, in their order. *pids
 * malloc'ed. A cgroup that is gone has none: 0 and *n 0. -ETIMEDOUT: there are too
 * many cgroups below.
 */
int cgroup_pids(const char *path, pid_t **pids, size_t *n, struct err *err);
/*
 * SIGKILL to all of them: cgroup.kill where there is one, else freeze-free
 * rounds until none is left that was not signalled. Repeatable. Does not wait.
 * -EPERM if we are among them, -EINVAL if path is not a cgroup, -ETIMEDOUT if there
 * are too many below, some of which were left out.
 */
int cgroup_kill(const char *path, struct err *err);
/*
 * rmdir it and what is below, in every hierarchy that has the same path; what is busy
 * stays. False: something did; who was killed just now leaves a moment later.
 */
bool cgroup_remove(const char *path);
/* Thaw it and what is below it: on v1 what is frozen does not even die. */
void cgroup_thaw(const char *path);
/* The same for one of many in a row: *mounts as in cgroup_dirs_find_next(). */
void cgroup_thaw_next(const char *path, char **mounts);
/* Is it frozen, or about to be, by its own file? false also if that cannot be told. */
bool cgroup_is_frozen(const char *path);
/*
 * v2: every controller passed on from cgroup to cgroup down to path, so that it has
 * memory.events and the rest also where whoever made it wanted fewer (systemd). What
 * is refused is left; on v1 there is nothing to do.
 */
void cgroup_delegate(const char *path);

/*
 * Call cb for the cgroup and each one below, deepest first. Cgroups that
 * vanish meanwhile are passed over. False: there are too many. Some of those below
 * were left out then, never the cgroup itself, which comes last.
 */
bool cgroup_walk(
    int dirfd, void (*cb)(int dirfd, const char *name, int fd, void *arg), void *arg);

/* Nothing below a cgroup is looked at, as if there were far too much of it. */
void cgroup_set_short_walks_for_test(bool on);

#endif

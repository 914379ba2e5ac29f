/*
 * A container's cgroup, found through /proc/<init pid>/cgroup, v1 or v2: its
 * members and killing them. Reads only memory-backed files: never blocks long.
 */
#ifndef PODSHIM_WORKER_CGROUP_H
#define PODSHIM_WORKER_CGROUP_H

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
 * All pids of the cgroup and those below it. *pids malloc'ed. A cgroup that is
 * gone has none: 0 and *n 0.
 */
int cgroup_pids(const char *path, pid_t **pids, size_t *n, struct err *err);
/*
 * SIGKILL to all of them: cgroup.kill where there is one, else freeze-free
 * rounds until none is left that was not signalled. Repeatable. Does not wait.
 */
int cgroup_kill(const char *path, struct err *err);
/* rmdir it and what is below, in every hierarchy that has the same path; what is busy stays. */
void cgroup_remove(const char *path);
/* A frozen v1 cgroup does not die: thaw it. Nothing on v2. */
void cgroup_thaw(const char *path);

#endif

/*
 * What the files about cgroups share.
 */
#ifndef PODSHIM_OCI_CGROUP_INT_H
#define PODSHIM_OCI_CGROUP_INT_H

#include <stdbool.h>
#include <sys/types.h>

struct err;

/* -ENOENT: gone; -EINVAL: not a cgroup at all. */
int cgroup_open(const char *path, struct err *err);
/*
 * Is the process in the v2 cgroup fd, or in one below it? By its own word, for there may
 * be many below. -errno: that cannot be told.
 */
int cgroup_v2_has(int fd, pid_t pid);
/*
 * Call cb for the cgroup and each one below, deepest first. Cgroups that
 * vanish meanwhile are passed over. False: there are too many. Some of those below
 * were left out then, never the cgroup itself.
 */
bool cgroup_walk(
    int dirfd, void (*cb)(int dirfd, const char *name, int fd, void *arg), void *arg);

#endif

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
#endif

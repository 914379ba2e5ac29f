/*
 * Where a container's cgroup files are, per controller: one directory on v2,
 * one per hierarchy on v1. Found once while its init lives; paths, not
 * descriptors, for six descriptors per container would add up.
 */
#ifndef PODSHIM_OCI_CGROUP_DIRS_H
#define PODSHIM_OCI_CGROUP_DIRS_H

#include <stdbool.h>
#include <sys/types.h>

enum cgroup_dir {
	DIR_PIDS,
	DIR_CPU,
	DIR_CPUACCT,
	DIR_MEMORY,
	DIR_BLKIO,
	DIR_HUGETLB,
	DIR_RDMA,
	DIR_N,
};

struct cgroup_dirs {
	bool v2;
	char *path[DIR_N]; /* NULL: no such controller; on v2 all but the first are */
};

/*
 * home: the container's cgroup as cgroup_of_pid() gave it. NULL if it is not a
 * cgroup (any more), or "". pid 0: init is gone.
 */
struct cgroup_dirs *cgroup_dirs_find(pid_t pid, const char *home);
/*
 * The same for one container of many in a row: *mounts begins as NULL, takes what the
 * first one has to read (v1), and is the caller's to free. It is not read again, so it
 * must not outlive the row: hierarchies come and go.
 */
struct cgroup_dirs *cgroup_dirs_find_next(pid_t pid, const char *home, char **mounts);
void cgroup_dirs_free(struct cgroup_dirs *dirs);

/* All that can be opened; else -1. On v2 the one is everywhere. */
struct cgroup_fds {
	bool v2;
	int fd[DIR_N];
};
/* How many different ones are open: 0 if the cgroup is gone. */
unsigned cgroup_fds_open(struct cgroup_fds *fds, const struct cgroup_dirs *dirs);
void cgroup_fds_close(struct cgroup_fds *fds);

#endif

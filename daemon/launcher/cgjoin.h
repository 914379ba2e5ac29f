/*
 * ShimCgroup: the cgroup, named by runc's options, that the keeper and its
 * worker shall live in. The launcher opens it, the keeper-to-be enters.
 */
#ifndef PODSHIM_LAUNCHER_CGJOIN_H
#define PODSHIM_LAUNCHER_CGJOIN_H

#include <stddef.h>

struct err;

#define CGJOIN_MAX 32 /* hierarchies: a v1 host has a dozen */

struct cgjoin {
	size_t n;
	int fd[CGJOIN_MAX]; /* cgroup.procs in each */
};

/*
 * path: below each hierarchy's root. It must exist in at least one; where it
 * does not, the keeper stays. -ENOENT if it exists nowhere.
 */
int cgjoin_open(struct cgjoin *cg, const char *path, struct err *err);
/* Move the caller. Between fork and exec: system calls only. -errno. */
int cgjoin_enter(const struct cgjoin *cg);
void cgjoin_close(struct cgjoin *cg);

#endif

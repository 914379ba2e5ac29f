/*
 * Running a tool inside a container that lacks it: in the container's network,
 * pid, ipc and uts namespaces, with the root file system of somewhere else. All
 * it needs lives in a mount namespace of its own and ends with the tool, however
 * that ends; also if podshimctl is killed.
 */
#ifndef PODSHIM_CLIENT_INSIDE_H
#define PODSHIM_CLIENT_INSIDE_H

#include <sys/types.h>

#include "client/ctl.h"

struct container_info;
struct err;
struct pod;

/* Where the container's own root is seen. */
#define INSIDE_CONTAINER "/container"

struct inside {
	const char *container; /* for messages, and $PODSHIM_CONTAINER */
	int pidfd;	       /* of its init */
	const char *tools;     /* directory with the tools: the lower layer of the root */
	char *const *argv;     /* NULL: a shell */
	bool foreground;       /* set by inside_run(): it gets our terminal */
};

/*
 * The container's init: a pidfd in *pidfd, its number in *pid. It is looked at
 * whether the process of that number is the one that the row means, for the row
 * may be of a worker that died long ago. -ESRCH: it does not run.
 */
int inside_find(const struct pod *pod, const struct container_info *c, pid_t *pid,
    int *pidfd, struct err *err);
/*
 * A process that could take over the tool, which is root on the host, by ptrace(2) or its
 * /proc/PID/root: one of the container's, or of the pod's among the same pids, that has or
 * can get CAP_SYS_PTRACE over us. 0: there is none; INSIDE_UNSURE: there are too many
 * cgroups to tell.
 */
#define INSIDE_UNSURE ((pid_t)-1)
pid_t inside_tracer(const struct pod *pod, const struct container_info *c, pid_t init);
/* The number that the process has among its own pids. */
pid_t inside_own_number(pid_t pid);
/*
 * Run it and wait. Returns its exit code, 128 + the signal that ended it, or
 * after a message CTL_NOT_RUN, CTL_NO_EXEC or CTL_NO_FILE.
 */
int inside_run(struct ctl *ctl, struct inside *in);

/* For inside.c alone (inside_root.c). */

/* A copy of the mounts that the process sees: descriptor, or -errno. */
int inside_tree_of(int pidfd, struct err *err);
/*
 * In a mount namespace of our own: build the root at base, an existing directory,
 * and make it ours. Takes tree. The caller mounts /proc.
 */
int inside_make_root(const char *base, const char *tools, int tree, struct err *err);

#endif

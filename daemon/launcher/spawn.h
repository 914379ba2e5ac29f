/*
 * Starting a pod's keeper: the one process that outlives the launcher.
 */
#ifndef PODSHIM_LAUNCHER_SPAWN_H
#define PODSHIM_LAUNCHER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct strv;

struct keeper_spawn {
	const char *path; /* of podshim-keeper */
	char *const *argv;
	int listen_fd;	    /* becomes fd 3 */
	int admin_fd;	    /* fd 4 */
	const char *cgroup; /* NULL: stay where we are */
	bool sched_core;    /* a core scheduling cookie of its own */
};

/*
 * Start it and wait, 10 s at most, for its OK byte. On failure it is dead and
 * reaped, and *err says why. *pid may be NULL.
 */
int keeper_spawn(const struct keeper_spawn *spec, pid_t *pid, struct err *err);

#endif

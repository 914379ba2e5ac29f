/*
 * Finding the process that a runtime command has left to us: by its pid file,
 * at the moment the command was reaped (recovery.md 1.7).
 */
#ifndef PODSHIM_KEEPER_ADOPT_H
#define PODSHIM_KEEPER_ADOPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/reaper.h"

struct err;

struct adopted {
	pid_t pid;
	uint64_t start; /* ticks */
	bool ended;
	struct death death; /* if it has */
};

/*
 * Read the pid file and remove it. since: ticks at which the command began;
 * the process must be our child and not older. 0, or -errno: -ESRCH when
 * there is no such process and there was none.
 */
int adopt_find(struct reaper *rp, int dir_fd, const char *pid_file, uint64_t since,
    struct adopted *out, struct err *err);

#endif

/*
 * The named points at which a worker built with --enable-crash-points dies
 * when a test asks it to (daemon/worker/crashpoint.h).
 */
#ifndef PODSHIM_CRASH_POINTS_H
#define PODSHIM_CRASH_POINTS_H

#include <stdbool.h>
#include <stddef.h>

/* Names, one per line, from opt.points. */
void points_load(void);
size_t points_count(void);
const char *points_name(size_t i);
/* Any of them; NULL if there are none. */
const char *points_random(void);
/*
 * Die at the count-th time the point is met, once. Returns a descriptor for points_hit(), which
 * knows it when the pod's directory has gone, too; the caller's to close.
 */
int points_arm(int dirfd, const char *name, unsigned count, bool abrt);
bool points_hit(int fd);
/* False: it was not armed any more. */
bool points_disarm(int dirfd);

/* Walk through all of them, or opt.only_point; the number that failed. */
unsigned points_walk(void);

#endif

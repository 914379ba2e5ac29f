/*
 * A pod's lock file, <state root>/<namespace>/<pod>.lock: whoever starts a
 * keeper, joins one, or ends one holds it. The keeper unlinks it at its end, so
 * a lock counts only if the path still leads to the file that was locked.
 */
#ifndef PODSHIM_BASE_PODLOCK_H
#define PODSHIM_BASE_PODLOCK_H

#include <stdbool.h>

#include "base/clock.h"

struct err;

/*
 * Take it, making the file and its directories, before end (clock_boot_us()).
 * Returns the descriptor, which is the lock, or -errno: -ETIMEDOUT if another
 * held it all the time.
 */
int podlock_take(const char *path, boot_us_t end, struct err *err);
/*
 * Give it up for good: unlink the file, then remove namespace directory and
 * state root if they are empty. Before fd is closed.
 */
void podlock_remove(const char *path);
/* The same for a file that shall stay: flock fd, shared or exclusive, before end. */
int flock_until(int fd, int how, boot_us_t end);
/* Wait a little, but not beyond end. False if it has come. */
bool pause_until(unsigned ms, boot_us_t end);

#endif

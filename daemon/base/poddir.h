/*
 * Cleaning up after a pod that has no keeper any more: its directory, its
 * socket, its lock. Everything here is called with the pod's lock held.
 */
#ifndef PODSHIM_BASE_PODDIR_H
#define PODSHIM_BASE_PODDIR_H

#include "base/clock.h"

struct err;

/* Marks of what `delete` did without the keeper: files in this directory. */
#define POD_PURGED_DIR "purged"

/*
 * Remove a dead pod's directory. A worker that still flushes holds
 * worker.lock and is waited for, but not beyond end.
 */
int poddir_remove(const char *dir, boot_us_t end);
/*
 * 0 if nobody listens at this socket, or there is none; -EADDRINUSE if somebody
 * does, -ENOTSOCK if it is no socket, or -errno.
 */
int socket_probe(const char *path);
/* The same, and unlink it where nobody listens. */
int stale_socket_remove(const char *path);

#endif

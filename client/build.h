/*
 * Builds of the worker: the installed one, and the one that a pod runs.
 */
#ifndef PODSHIM_CLIENT_BUILD_H
#define PODSHIM_CLIENT_BUILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "client/pods.h"

/* The worker's executable that new pods get; malloc'ed. */
char *build_installed_path(void);
/* Of the worker that runs, or is just being started; malloc'ed, NULL if nobody is there. */
char *build_of_pod(const struct pod *pod);
/* Does the pod's worker run this very file? */
bool build_is_same(const struct pod *pod, int exe_fd);
/*
 * Is what the pod runs older than what is installed? By version; with equal
 * versions by the files, for a distribution or a developer may build one
 * version twice. False if that cannot be said.
 */
bool build_is_old(const struct pod *pod);

#endif

/*
 * The end of a container that podshimctl runs itself.
 */
#ifndef PODSHIM_CLIENT_RUN_REMOVE_H
#define PODSHIM_CLIENT_RUN_REMOVE_H

struct err;
struct pod;
struct pods;

/*
 * The pod that the shim of this bundle serves, among those that are found and asked
 * here. *pods is the caller's. NULL: there is none (any more).
 */
struct pod *run_pod_of(
    const char *state_root, const char *ns, const char *bundle, struct pods *pods);

/*
 * Take it away: a task that has ended by Delete, so that all its output gets into
 * the log, any other by force; then the shim's leavings, the log if nobody named
 * it, and the directory. What is gone already is no error. While something of the
 * container is left its directory stays: -ECHILD, after some seconds.
 */
int run_remove(const char *state_root, const char *ns, const char *id, struct err *err);

#endif

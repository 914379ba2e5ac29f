/*
 * What a container whose keeper is dead has left to the OCI runtime and the kernel:
 * the runtime's record of it, its cgroup.
 */
#ifndef PODSHIM_CLIENT_LEAVINGS_H
#define PODSHIM_CLIENT_LEAVINGS_H

struct container_info;
struct err;

/*
 * The directory that the runtime keeps for it, if that is provably this container's and
 * no later one's of the same name; malloc'ed, else NULL.
 */
char *leavings_runtime_dir(const struct container_info *c);
/* The cgroup, if it is there and not another's by now. Borrowed from c, else NULL. */
const char *leavings_cgroup(const struct container_info *c);

/*
 * Take them away: the runtime's own `delete`, rmdir. Its init must be dead and
 * its cgroup without members; nothing is killed. 0 if all of it is gone.
 */
int leavings_remove(const struct container_info *c, const char *ns, struct err *err);

#endif

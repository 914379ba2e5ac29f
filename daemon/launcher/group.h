/*
 * Which pod a container belongs to: from the annotations in its bundle's
 * config.json (contract.md 1.9).
 */
#ifndef PODSHIM_LAUNCHER_GROUP_H
#define PODSHIM_LAUNCHER_GROUP_H

struct err;

/*
 * *group is malloc'ed: what the annotation io.containerd.runc.v2.group says,
 * else io.kubernetes.cri.sandbox-id, else id. A bundle without config.json is
 * a sandbox of its own: id. -errno if the file cannot be read or understood.
 */
int group_of_bundle(int bundle_fd, const char *id, char **group, struct err *err);

#endif

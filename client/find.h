/*
 * From a name on the command line to one pod or container. A whole name wins
 * over the beginning of one; a pod's may be its group, or its directory's
 * name <group>.<hash8>; POD/CONTAINER names a container of that pod.
 */
#ifndef PODSHIM_CLIENT_FIND_H
#define PODSHIM_CLIENT_FIND_H

#include "client/ctl.h"
#include "client/pods.h"

struct found {
	struct pod *pod;
	struct container_info *container; /* NULL: the pod itself */
};

/* Find the pods, ask and read each; what cannot be read is said on ctl->err and
 * makes *rc CTL_FAILED, or CTL_DENIED. Returns false if not even the state root can be read. */
bool find_all(struct ctl *ctl, struct pods *pods, int *rc);
/* The same without asking the keepers: what the databases know. */
bool find_read(struct ctl *ctl, struct pods *pods, int *rc);
/*
 * CTL_OK; or after one line on ctl->err CTL_NOT_FOUND (with the nearest names),
 * or CTL_FAILED if the name is ambiguous. find_any() finds a pod or a container.
 */
int find_pod(struct ctl *ctl, struct pods *pods, const char *name, struct found *out);
int find_container(
    struct ctl *ctl, struct pods *pods, const char *name, struct found *out);
/* find_container() for what nobody is asked about: no beginnings, which may be another's. */
int find_whole_name(
    struct ctl *ctl, struct pods *pods, const char *name, struct found *out);
int find_any(struct ctl *ctl, struct pods *pods, const char *name, struct found *out);
/* For verbs that are about one container, their first argument: find it, do it. */
int find_and_do(struct ctl *ctl, int (*act)(struct ctl *ctl, const struct found *f));

#endif

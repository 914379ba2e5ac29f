/*
 * A runtime killed in the middle of `create` or `restore` leaves a cgroup, and
 * processes in it that have left its process group (`runc init`, criu). No runtime
 * command finds them any more (prototypes.md 1); the cgroup's path comes from the spec.
 */
#ifndef PODSHIM_WORKER_UNDO_CGROUP_H
#define PODSHIM_WORKER_UNDO_CGROUP_H

struct op;

/*
 * If that step of op was killed: kill all in op->c's cgroup and remove it. Then, once, from
 * the loop or from this call: then(op).
 */
void undo_cgroup(struct op *op, unsigned step, void (*then)(struct op *op));

#endif

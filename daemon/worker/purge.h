/*
 * Containers that containerd has given up: Purge, sent by the `delete` action,
 * and the marks purged/<id> that it leaves when it had to act alone.
 */
#ifndef PODSHIM_WORKER_PURGE_H
#define PODSHIM_WORKER_PURGE_H

struct op;
struct pod;

void purge_queued(struct op *op);
void purge_begin(struct op *op);
void purge_absent(struct op *op);

/*
 * If there is a mark for this id: forget the container, once its init has ended.
 * Nothing is killed or deleted, that has been done.
 */
void purge_honour(struct pod *pod, const char *id);
/* All marks, at READY. */
void purge_honour_all(struct pod *pod);

#endif

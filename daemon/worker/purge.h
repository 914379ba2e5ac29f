/*
 * Containers that containerd has given up: Purge, sent by the `delete` action,
 * and the marks purged/<id> that it leaves when it had to act alone.
 */
#ifndef PODSHIM_WORKER_PURGE_H
#define PODSHIM_WORKER_PURGE_H

#include <stdbool.h>

struct container;
struct op;
struct pod;

void purge_queued(struct op *op);
void purge_begin(struct op *op);
void purge_absent(struct op *op);

/*
 * If there is a mark for this id: forget the container, once its init has ended.
 * Nothing is killed or deleted, that has been done; unless it lives and nobody is at
 * work on it: then the delete action was there before it, and it is purged.
 */
void purge_honour(struct pod *pod, const char *id);
/* Has it been given up, by a Purge or a mark? Then no new process is made for it. */
bool purge_is_due(struct container *c);
/*
 * A Create begins: who gave up that id meant the one before it, unless it is a Purge
 * that waits behind this Create.
 */
void purge_begin_anew(struct container *c);
/* All marks, at GO. */
void purge_honour_all(struct pod *pod);
/*
 * At READY, before any exit that waits is told: what is being purged, or was by a mark
 * or memo that stands for rows not written yet. Its exits are not to be published.
 */
void purge_expect_all(struct pod *pod);

#endif

/*
 * When the store is lost: rows from what the keeper still knows (recovery.md
 * 1.19). Execs that were not started yet and unsent events are lost.
 */
#ifndef PODSHIM_WORKER_REBUILD_H
#define PODSHIM_WORKER_REBUILD_H

struct pod;

void rebuild_from_tags(struct pod *pod);

#endif

/*
 * From what the last worker left to where it was (recovery.md 2.4, W1–W6), in
 * the order of these calls.
 */
#ifndef PODSHIM_WORKER_RECOVER_H
#define PODSHIM_WORKER_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct pod;

/* The rows become memory. Before the snapshot is read. */
int recover_load(struct pod *pod, struct err *err);
/* The keeper has answered n itself: undo it. Before recover_go(): remembered. */
void recover_condemned(struct pod *pod, uint64_t n);
/*
 * SYNC: the snapshot is complete. rebuild: the store was lost; make rows of
 * what the keeper's tags say. Exits that nobody has recorded yet are.
 */
void recover_sync(struct pod *pod, bool rebuild);
/* GO, and the migration is committed: take up stdio, begin operations, clear away. */
void recover_go(struct pod *pod);

#endif

/*
 * Creates that nobody asks for any more: a row in state CREATING whose request is
 * gone. They are undone, but no more often than LEFTOVER_TRIES times if that is
 * what kills workers: then what is left of them stays, and their ids stand in meta
 * `leaked` for `podshimctl doctor`.
 */
#ifndef PODSHIM_WORKER_LEFTOVER_H
#define PODSHIM_WORKER_LEFTOVER_H

struct container;
struct pod;

#define LEFTOVER_TRIES 2u

/* Reads what is leaked already. Before anything below. */
void leftover_load(struct pod *pod);
/* GO: undo what no request claims, or give it up. What was asked since waits for that. */
void leftover_undo_all(struct pod *pod);
/* In the transaction that ends an undo: its tries count no more. */
void leftover_undone(struct container *c);
/*
 * Somebody takes care of that id now: a Create that succeeded, or containerd's
 * `delete`. Not needed inside a transaction.
 */
void leftover_taken(struct pod *pod, const char *id);

#endif

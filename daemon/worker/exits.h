/*
 * Exits: from the keeper's message to row, answers of Waits, and the event in
 * its right order (contract.md 6.3, recovery.md 1.21).
 */
#ifndef PODSHIM_WORKER_EXITS_H
#define PODSHIM_WORKER_EXITS_H

#include <stdbool.h>
#include <stdint.h>

struct container;
struct msg_exit;
struct op;
struct pod;
struct process;

/* An exit arrived. Of a process without a row yet it is held back. */
void exits_on_exit(struct pod *pod, const struct msg_exit *ex);
/* Has it ended, and waits to be applied? Its pid may be another's by now. */
bool exits_holds(const struct pod *pod, uint64_t key);
/* Held exits whose process has a row by now. */
void exits_apply_held(struct pod *pod);
/* All that came, also those whose readers are awaited: the keeper is gone, and its copy. */
void exits_apply_all(struct pod *pod);
/* Of processes whose exit neither the keeper nor a row has (design P3). */
void exits_find_lost(struct pod *pod);
/*
 * Request n has ended: exits of processes that its steps made are taken up, or
 * dropped if there is no such process. n 0: all that no request accounts for.
 */
void exits_release(struct pod *pod, uint64_t n);
/*
 * Init has exited: publish its TaskExit once all execs have ended, or after
 * a while. Called whenever something has changed; does nothing otherwise.
 */
void exits_settle(struct container *c);
/*
 * Answers for all Waits of a process, by what it says of its exit, into the current
 * transaction. Zeros for one that never ran, as the Go shim does.
 */
void exits_answer_waits(struct process *p);
/* End the Waits whose answers are set (and stored) already. */
void exits_end_waits(struct process *p);
/*
 * The same for an exec that goes with its container. If its end was not told, it is
 * now: as it was seen, or as that of one that is killed, which it is once more.
 */
void exits_answer_untold(struct process *p);
/* exits_end_waits(), and nobody will ask for that exit again. rc: as pod_commit() said. */
void exits_end_untold(struct process *p, int commit_rc);
/* Init's exit is recorded and told, nothing more will come. */
bool exits_settled(const struct container *c);
/*
 * Init was to be restored from a checkpoint and never was: as if its exit
 * had been told, for its Delete. In memory only.
 */
void exits_never_ran(struct container *c);
/* cb(op) runs from exits_settle() when that is so; not if it is so already. */
void exits_wait_settled(struct op *op, void (*cb)(struct op *op));

#endif

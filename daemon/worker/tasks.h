/*
 * The methods, each in its task_*.c; rpc.c has the table.
 */
#ifndef PODSHIM_WORKER_TASKS_H
#define PODSHIM_WORKER_TASKS_H

#include <stdbool.h>
#include <stdint.h>

struct container;
struct msg_step;
struct op;
struct pod;
struct process;

void task_create(struct op *op);
void task_start(struct op *op);
void task_exec(struct op *op);
void task_kill(struct op *op);
void task_kill_absent(struct op *op);
void task_delete(struct op *op);
void task_state(struct op *op);
void task_pids(struct op *op);
void task_connect(struct op *op);
void task_wait(struct op *op);
void task_metrics(struct op *op); /* of podshim.v1.Admin */
void task_close_io(struct op *op);
void task_resize_pty(struct op *op);
void task_shutdown(struct op *op);
void task_pause(struct op *op);
void task_resume(struct op *op);
void task_update(struct op *op);
void task_stats(struct op *op);
void task_checkpoint(struct op *op);
/* Of podshim.v1.Admin. */
void note_begin(struct op *op);

/*
 * Init's process is bound: its cgroup is known, watched for OOM, its pid in
 * the bundle.
 */
void create_adopted(struct container *c);
/* Has this end of a `runtime start` let the program run, as far as that can be told? */
bool start_may_have_run(const struct msg_step *step);
/*
 * Start of a container made from a checkpoint, whose path is init's spec until then.
 */
void restore_start(struct op *op);

/*
 * Undo a Create, whatever of it has been done: end its commands, delete what
 * the runtime knows, cgroup, mounts, rows. Then the operation ends, with the answer
 * that is set already.
 */
void create_undo(struct op *op);
/*
 * A Create that nobody asks for any more, from its row. The keys of its steps,
 * if the keeper still knows them; else 0.
 */
void create_undo_leftover(struct container *c, uint64_t mount_key, uint64_t create_key);
/* The same for request n, which the keeper has answered itself. */
void create_undo_condemned(struct container *c, uint64_t n);

/*
 * A command that freezes or thaws has ended, and its request is gone: a container that
 * is called running does run then, and one that runs is not called paused.
 */
void pause_settle(struct container *c);

/*
 * What Delete and Purge share, once init has stopped: the runtime's delete, unmount,
 * rows, files. purge: no events, and the runtime's opinion does not matter.
 */
void delete_stopped(struct op *op, bool force, void (*answer)(struct op *op));
/* GO: what the last worker told as deleted (pod_note_gone()) and could not write. */
void delete_noted(struct pod *pod);

#endif

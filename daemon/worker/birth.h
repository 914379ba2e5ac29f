/*
 * The runtime command that makes a process (`create`, `restore`, `exec`), and the stdio
 * that must be there before it.
 */
#ifndef PODSHIM_WORKER_BIRTH_H
#define PODSHIM_WORKER_BIRTH_H

#include "proto/status.h"
#include "worker/command.h"

struct op;

/* Nothing was spawned; op->p may have an io, which is the callee's to free. */
typedef void (*birth_failed_cb)(struct op *op, enum status_code code, const char *error);

/*
 * Open the stdio of op->p, wait until a log program says that it is ready, then run cmd
 * (taken; its argv filled in) with it. Where a worker before us has spawned it already, its
 * stdio is taken up again. One of the two runs, once: failed perhaps from this call.
 */
void birth_run(struct command *cmd, command_cb done, birth_failed_cb failed);

/*
 * What it came to, for done to look at first: a failure, too, where the process is there but the
 * keeper could not take its stdio (io_is_kept()). That process is killed, and is nobody's.
 */
struct command_result birth_result(struct op *op, const struct command_result *res);

#endif

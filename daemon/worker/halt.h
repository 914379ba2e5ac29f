/*
 * Waiting for a debugger: the worker stops itself right before the work that
 * somebody wants to step through, until SIGCONT. PODSHIM_WAIT_DEBUGGER in its
 * environment, or [debug] wait in the configuration, says where.
 *
 * It halts each time it comes there, also where an operation is resumed after
 * a worker's death: whoever killed the one he was looking at gets the next.
 */
#ifndef PODSHIM_WORKER_HALT_H
#define PODSHIM_WORKER_HALT_H

#include <stdbool.h>
#include <stdint.h>

struct blackbox;

enum halt_point {
	HALT_NONE,
	HALT_BOOT,   /* before the store is opened and anything is recovered */
	HALT_CREATE, /* before the first step of a Create */
	HALT_START,  /* of the Start of a container */
	HALT_EXEC,   /* of the Start of an exec */
};

/* "none", "boot", "create", "start", "exec"; false: no such point. */
bool halt_parse(const char *name, enum halt_point *out);
/* configured: what the configuration says; the environment has the last word. */
void halt_init(struct blackbox *bb, enum halt_point configured);
/*
 * Stop, if this is the point. id and exec_id are for the log; "" where there is
 * none. Returns how long it took, in microseconds: what counts time for our own
 * sake should leave that out.
 */
uint64_t halt_at(enum halt_point point, const char *id, const char *exec_id);

#endif

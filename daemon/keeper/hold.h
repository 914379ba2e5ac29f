/*
 * Is the worker held: stopped, traced, or waiting for a debugger because it was
 * told to? Then it is left alone, and no deadline of ours ends it.
 */
#ifndef PODSHIM_KEEPER_HOLD_H
#define PODSHIM_KEEPER_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct blame;

/* Embed one; all zero for a new worker. */
struct hold {
	bool held;	/* when we last looked */
	uint32_t halts; /* likewise: how often it had waited for a debugger */
};

/*
 * Is it stopped, or is somebody tracing it? *tracer, unless NULL: who; 0: it is
 * stopped without one.
 */
bool proc_is_held(pid_t pid, pid_t *tracer);
/*
 * Held now, or since we last looked: one that was let go a moment ago gets the
 * whole time anew.
 */
bool hold_was(struct hold *hold, const struct blame *bl, pid_t pid);
/* Has it been told to wait for a debugger, and does, or did? */
bool hold_waits(const struct hold *hold, const struct blame *bl);
/* " (stopped)" and the like, or "". */
void hold_text(const struct blame *bl, pid_t pid, char *out, size_t cap);

#endif

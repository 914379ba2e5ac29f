/*
 * What is asked of a pod while a call of its keeper fails. Each script may be
 * given an error for each failure that was injected, and no more; the next try
 * must then succeed, and everything else must be as if nothing had happened.
 */
#ifndef PODSHIM_TESTS_FAULT_SCRIPT_H
#define PODSHIM_TESTS_FAULT_SCRIPT_H

#include "tests/fault/world.h"

/* A pod, and the container in it that must live through everything. */
struct anchor {
	struct pod pod;
	struct ttrpc *conn;
	uint32_t wait; /* its stream: nobody may answer it */
};

/* Things that should not be, so far; each has been said. */
extern unsigned complaints;

/* False, and a complaint, if it does not come up; errors of the injected calls excepted. */
bool anchor_start(struct anchor *a, struct world *w, unsigned number);
/* Does it stand as it stood? base: what it holds at rest. */
bool anchor_check(struct anchor *a, const struct account *base);
/* Wait till nothing is in hand any more, and say what it holds then. */
bool anchor_rest(struct anchor *a, struct account *out);
/* Kill, Delete, Shutdown: and then nothing is left. */
bool anchor_end(struct anchor *a);
/* End it by force. */
void anchor_drop(struct anchor *a);

/* A container with two execs, a worker killed and one replaced; bad clients. */
void script_life(struct anchor *a);
/* Clients that do not read their answers. */
void script_rude(struct anchor *a);

#endif

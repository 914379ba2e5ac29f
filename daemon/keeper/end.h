/*
 * Pins, and the keeper's own end. Only the keeper decides it: when the worker
 * says that it has nothing left, and nothing is left here either, and nobody
 * is on his way to us.
 */
#ifndef PODSHIM_KEEPER_END_H
#define PODSHIM_KEEPER_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct end;
struct pod;

struct end *end_new(struct pod *pod);
void end_free(struct end *end);

/* Hold the pod open for the Create of id. 0; -EAGAIN: it is ending; -ENOMEM. */
int end_pin(struct end *end, const char *id);
void end_unpin(struct end *end, const char *id);
size_t end_pins(const struct end *end);
/* Into a snapshot: PINNED for each. Returns how many. */
size_t end_tell_pins(struct end *end);

/* A new worker has come: what the last one said of itself is void. */
void end_on_worker(struct end *end);
/* The worker has nothing left, and has seen all requests up to n that it was given. */
void end_on_idle(struct end *end, uint64_t n);
/*
 * Nobody will ask for its containers any more (admin_end()). 0: it ends, soon;
 * -EBUSY: something runs, or a worker that sees to it may come. If none does, and
 * nobody has come with a pin or a request, it ends once it knows that.
 */
int end_ask(struct end *end);
/* SIGTERM, SIGINT. */
void end_on_term(struct end *end, int signo);
/* Perhaps it is time. */
void end_check(struct end *end);

#endif

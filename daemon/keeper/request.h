/*
 * Requests that have not been answered: their numbers, kept copies and
 * connections. A copy is kept until its answer was handed to the connection,
 * so that the next worker can have it again.
 */
#ifndef PODSHIM_KEEPER_REQUEST_H
#define PODSHIM_KEEPER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper/blob.h"
#include "keeper/conn.h"
#include "proto/status.h"

struct pod;
struct requests;

struct requests *requests_new(struct pod *pod);
void requests_free(struct requests *rs);
/* For conns_new(); the argument is the pod. */
extern const struct conns_ops requests_conn_ops;

size_t requests_count(const struct requests *rs);
/* The highest number given so far. */
uint64_t requests_highest(const struct requests *rs);
/* The highest that the worker of now was given, other than to undo; 0: none. */
uint64_t requests_given(const struct requests *rs);
bool requests_known(struct requests *rs, uint64_t n);
/* Does somebody wait who will not wait long (recovery.md 1.4)? */
bool requests_urgent(const struct requests *rs);

/*
 * For a worker's snapshot: those that an earlier one was given, in order of
 * n, flagged REDELIVERED. Returns how many.
 */
size_t requests_redeliver(struct requests *rs);
/* After GO: those that no worker has seen. */
void requests_deliver(struct requests *rs);

/* The worker's answer. kind: enum answer_kind. */
void requests_answer(
    struct requests *rs, uint64_t n, uint64_t kind, const void *response, size_t len);
/*
 * Answer all that wait; what a worker has begun it must still end. Not those
 * that a worker has been given and that have no deadline, once they are older
 * than containerd's patience: a Wait that failed is an exit to it, and the
 * next worker, whenever it comes, can still tell the true one.
 */
void requests_refuse_all(struct requests *rs, enum status_code code, const char *text);

/*
 * A worker died by its own doing with n in hand. The second time (the first,
 * for bytes that did it before) condemns it: answered Internal, and the next
 * worker is told to undo it. Dying in that, too, drops it.
 */
void requests_blame(struct requests *rs, uint64_t n);

/* For the dump: a line each. */
void requests_each(
    const struct requests *rs, void (*cb)(const char *line, void *arg), void *arg);

#endif

/*
 * Operations: one per request. A mutating one is a function that is simply run
 * again from its beginning after a worker's death: what must not happen twice is
 * a numbered step of the keeper's, whose stored result comes back at once; work
 * between the steps is written so that twice equals once; and rows, events
 * and the answer are one transaction at the end (recovery.md 2.3).
 *
 * Order: operations of one container that conflict run one after the other in
 * the order of n. op_conflict() in op.c is that rule.
 */
#ifndef PODSHIM_WORKER_OP_H
#define PODSHIM_WORKER_OP_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "base/loop.h"
#include "ipc/msg.h"
#include "proto/status.h"
#include "worker/link.h"

struct container;
struct event;
struct op;
struct pod;
struct process;

#define OP_STEPS 8 /* steps 1..OP_STEPS-1 */

enum op_class {
	OP_FREE,  /* reads, Wait, CloseIO, ResizePty: never queued */
	OP_QUEUE, /* one after the other per container */
	OP_KILL,  /* waits only for the birth of its own process */
};

struct op_method {
	const char *name;
	const ProtobufCMessageDescriptor *desc; /* of the request: field 1 is the id */
	void (*begin)(struct op *op);
	enum op_class class;
	bool of_exec; /* field 2 is an exec id */
	bool births;  /* Create, Start: a Kill of that process waits for it */
	bool makes;   /* Create: the container need not exist */
	bool waits;   /* for what others do: how long it takes says nothing */
	void (*queued)(struct op *op); /* if any: runs when it joins the queue */
	void (*absent)(struct op *op); /* if any: instead of NotFound */
};

struct op {
	struct pod *pod;
	uint64_t n; /* 0: no request, we do it on our own account */
	const struct op_method *method;
	ProtobufCMessage *req;
	const char *id; /* in req, or owned_id */
	const char *exec_id;
	char *owned_id;
	boot_us_t t_recv;
	boot_us_t deadline; /* 0 none */
	struct event *deadline_ev;
	bool pending; /* from the snapshot: op_go() has not come to it yet */
	bool queued;  /* in c->ops */
	bool begun;
	bool orphan;  /* nobody waits for the answer */
	bool told;    /* it was DeadlineExceeded; what follows is clean-up */
	bool stored;  /* the answer has a row */
	bool failed;  /* the answer is an error */
	bool waiting; /* in p->waiters */
	bool ended;
	struct container *c;
	struct process *p;
	uint64_t keys[OP_STEPS]; /* of its steps, once asked for */
	void *answer;
	size_t answer_len;
	void *priv; /* the method's */
	void (*priv_free)(void *priv);
	struct op *q_next, *q_prev; /* in c->ops */
	struct op *w_next, *w_prev; /* in p->waiters */
	struct grave grave;
	UT_hash_handle hh; /* in pod->ops */
};

/* Takes req. timeout_ns: the request's, 0 none. Not submitted yet. */
struct op *op_new(struct pod *pod, const struct msg_request *r,
    const struct op_method *method, ProtobufCMessage *req, int64_t timeout_ns);
/* One of our own, for a container; submitted already. */
struct op *op_new_internal(struct container *c, const struct op_method *method);
void op_submit(struct op *op);
/* One that stands for a request without being its method: has n, is queued. */
void op_submit_own(struct op *op);
/* GO: begin all that came with the snapshot, in the order of n. */
void op_go(struct pod *pod);
/*
 * Begin what may begin; or, if the container is gone, end or re-queue what waited for
 * it. Called by what is begun from here, it leaves that to the first one: however
 * many end at once, the stack does not grow.
 */
void op_pump(struct container *c);
/* It is not about that container: out of its queue, and nobody's. */
void op_leave(struct op *op);
void op_cancel(struct pod *pod, uint64_t n);
struct op *op_find(struct pod *pod, uint64_t n);
/* What a step's command printed and logged: the descriptor and the file go. */
void op_drop_output(struct pod *pod, uint64_t key);

/*
 * What the black box says while it is in hand: its number, or a name for what is
 * done for that container on nobody's behalf.
 */
uint64_t op_hand(const struct op *op);
uint64_t op_hand_of(const char *container);

/* Did an earlier worker begin it? */
bool op_has_steps(struct op *op);
const struct msg_step *op_step_known(struct op *op, unsigned step);
uint64_t op_key(struct op *op, unsigned step);
/* cb(step, op) */
void op_signal(struct op *op, unsigned step, uint64_t target, int signo, link_step_cb cb);

/*
 * The answer. op_set_*() composes it; op_store_answer() puts it into the current
 * transaction; op_end() sends it and ends the operation. The shortcuts do
 * all but the storing: for what changed nothing.
 */
void op_set_ok(struct op *op, const ProtobufCMessage *payload);
void op_set_fail(struct op *op, enum status_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void op_store_answer(struct op *op);
void op_end(struct op *op);
void op_ok(struct op *op, const ProtobufCMessage *payload);
void op_fail(struct op *op, enum status_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* google.protobuf.Empty */
void op_set_empty(struct op *op);

/*
 * Find op->c (visible) and op->p, or fail as contract 7.1 says. false: failed.
 */
bool op_find_container(struct op *op);
bool op_find_process(struct op *op);

#endif

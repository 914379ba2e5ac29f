/*
 * Operations: their order, their deadlines, their answers.
 *
 * What can surprise: an operation whose caller was told DeadlineExceeded goes on
 * (`told`): its runtime command must end before the container's queue opens
 * again, and what it made is undone. From then on n belongs to nobody, so its
 * further steps have internal keys, and those that were running have become
 * internal in the keeper too; both are acknowledged at the end.
 */
#include "worker/op.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"
#include "worker/container.h"
#include "worker/exits.h"
#include "worker/meter.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"

/* --- birth and death ----------------------------------------------------------- */

/* A string field of a request by its number; "" if it is none. */
static const char *
op_field(const ProtobufCMessage *req, unsigned number)
{
	const ProtobufCFieldDescriptor *f;
	const char *value;

	f = protobuf_c_message_descriptor_get_field(req->descriptor, number);
	if (f == NULL || f->type != PROTOBUF_C_TYPE_STRING)
		return "";
	memcpy(&value, (const char *)req + f->offset, sizeof value);
	return value == NULL ? "" : value;
}

struct op *
op_new(struct pod *pod, const struct msg_request *r, const struct op_method *method,
    ProtobufCMessage *req, int64_t timeout_ns)
{
	struct op *op = mem_zalloc(sizeof *op);

	op->pod = pod;
	op->n = r->n;
	op->method = method;
	op->req = req;
	op->id = op_field(req, 1);
	op->exec_id = method->of_exec ? op_field(req, 2) : "";
	op->t_recv = r->t_recv;
	op->orphan = (r->flags & REQ_ORPHAN) != 0;
	if (timeout_ns > 0)
		op->deadline = r->t_recv + (uint64_t)timeout_ns / 1000;
	return op;
}

struct op *
op_new_internal(struct container *c, const struct op_method *method)
{
	struct op *op = mem_zalloc(sizeof *op);

	op->pod = c->pod;
	op->method = method;
	op->owned_id = mem_strdup(c->id);
	op->id = op->owned_id;
	op->exec_id = "";
	op->t_recv = clock_boot_us();
	op->orphan = true;
	op->c = c;
	op->queued = true;
	DL_APPEND2(c->ops, op, q_prev, q_next);
	return op;
}

static void
op_free(void *obj)
{
	struct op *op = obj;

	if (op->priv_free != NULL)
		op->priv_free(op->priv);
	if (op->deadline_ev != NULL)
		event_free(op->deadline_ev);
	if (op->req != NULL)
		protobuf_c_message_free_unpacked(op->req, NULL);
	free(op->owned_id);
	free(op->answer);
	free(op);
}

struct op *
op_find(struct pod *pod, uint64_t n)
{
	struct op *op;

	HASH_FIND(hh, pod->ops, &n, sizeof n, op);
	return op;
}

/* --- blame ---------------------------------------------------------------------- */

/* FNV-1a: the next worker must find the same. */
uint64_t
op_hand_of(const char *container)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *container != '\0'; container++)
		h = (h ^ (unsigned char)*container) * UINT64_C(0x100000001b3);
	return h | KEY_INTERNAL;
}

uint64_t
op_hand(const struct op *op)
{
	/* n is the keeper's only until it has an answer */
	return op->n != 0 && !op->told ? op->n : op_hand_of(op->id);
}

/* --- order ---------------------------------------------------------------------- */

/* Must `later` wait until `earlier` has ended? Both are of one container. */
static bool
op_conflict(const struct op *earlier, const struct op *later)
{
	bool same = strcmp(earlier->exec_id, later->exec_id) == 0;

	switch (later->method->class) {
	case OP_FREE: return false;
	case OP_KILL: return earlier->method->births && same;
	case OP_QUEUE:
		if (earlier->method->class != OP_QUEUE)
			return false;
		/* execs of one container do not wait for each other */
		if (earlier->exec_id[0] != '\0' && later->exec_id[0] != '\0')
			return same;
		return true;
	}
	return true;
}

static bool
op_blocked(const struct op *op)
{
	const struct op *e;

	for (e = op->c->ops; e != op; e = e->q_next) {
		if (op_conflict(e, op))
			return true;
	}
	return false;
}

bool
op_has_steps(struct op *op)
{
	unsigned i;

	for (i = 1; op->n != 0 && i < OP_STEPS; i++) {
		if (link_step_known(op->pod->link, key_of_step(op->n, i)) != NULL)
			return true;
	}
	return false;
}

/* Did an earlier worker begin it? Then it goes on to its end, whoever waits. */
static bool
op_was_begun(struct op *op)
{
	if (op->method->makes && op->c != NULL && op->c->from_row)
		return true;
	return op_has_steps(op);
}

static void
op_begin(struct op *op)
{
	uint64_t was = link_in_hand(op->pod->link, op_hand(op), op->method->name);

	op->begun = true;
	if (op->orphan && op->n != 0 && !op_was_begun(op))
		op_end(op);
	else if (op->deadline != 0 && clock_boot_us() >= op->deadline &&
	    !op_was_begun(op))
		op_fail(op, STATUS_DEADLINE_EXCEEDED, "%s came too late to be begun",
		    op->method->name);
	else
		op->method->begin(op);
	(void)link_in_hand(op->pod->link, was, NULL);
}

static void op_enqueue(struct op *op);

void
op_leave(struct op *op)
{
	if (op->queued)
		DL_DELETE2(op->c->ops, op, q_prev, q_next);
	op->queued = false;
	op->c = NULL;
}

/* The container is gone: one that queued behind its Delete is told so. */
static void
op_refuse(struct op *op)
{
	if (op->method->makes || op->method->absent != NULL) {
		/* its turn comes with a new entry of that name */
		op_leave(op);
		op_enqueue(op);
		return;
	}
	op->begun = true;
	op_fail(op, STATUS_NOT_FOUND, "container not created: %s", op->id);
}

/* The next one that has not begun and may; NULL. */
static struct op *
op_next(const struct container *c)
{
	struct op *op;

	for (op = c->ops; op != NULL; op = op->q_next) {
		if (!op->begun && (c->gone || !op_blocked(op)))
			return op;
	}
	return NULL;
}

void
op_pump(struct container *c)
{
	struct op *op;

	if (c->pumping)
		return;
	c->pumping = true;
	/* each may end, others with it, and the container, too: look anew */
	while ((op = op_next(c)) != NULL) {
		if (c->gone)
			op_refuse(op);
		else
			op_begin(op);
	}
	c->pumping = false;
}

/* Put it into its container's queue, or begin it at once. */
static void
op_enqueue(struct op *op)
{
	struct container *c;

	if (op->method->class == OP_FREE) {
		op_begin(op);
		return;
	}
	c = container_get(op->pod, op->id);
	if (c == NULL && op->method->makes)
		c = container_new(op->pod, op->id);
	if (c == NULL) {
		op->begun = true;
		if (op->method->absent != NULL)
			op->method->absent(op);
		else
			op_fail(
			    op, STATUS_NOT_FOUND, "container not created: %s", op->id);
		return;
	}
	op->c = c;
	op->queued = true;
	DL_APPEND2(c->ops, op, q_prev, q_next);
	if (op->method->queued != NULL)
		op->method->queued(op);
	op_pump(c);
}

static void
op_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct op *op = arg;
	uint64_t was = link_in_hand(op->pod->link, op->n, "deadline");

	(void)fd;
	(void)what;
	if (!op->begun || op->method->class == OP_FREE) {
		op_fail(op, STATUS_DEADLINE_EXCEEDED, "%s: deadline exceeded",
		    op->method->name);
	} else {
		log_warnx("request %" PRIu64 " (%s of '%s'): its deadline has passed",
		    op->n, op->method->name, op->id);
		op_set_fail(op, STATUS_DEADLINE_EXCEEDED, "%s: deadline exceeded",
		    op->method->name);
		op->told = true;
		link_answer(op->pod->link, op->n, op->answer, op->answer_len);
	}
	(void)link_in_hand(op->pod->link, was, NULL);
}

static void
op_arm_deadline(struct op *op)
{
	boot_us_t now = clock_boot_us();

	if (op->deadline == 0)
		return;
	op->deadline_ev = pod_timer_new(op->pod, op_on_deadline, op);
	pod_timer_set(op->deadline_ev, op->deadline > now ? op->deadline - now : 0);
}

void
op_submit(struct op *op)
{
	HASH_ADD(hh, op->pod->ops, n, sizeof op->n, op);
	if (op->pod->live)
		op_enqueue(op);
	if (!op->ended && op->pod->live)
		op_arm_deadline(op);
}

void
op_submit_own(struct op *op)
{
	HASH_ADD(hh, op->pod->ops, n, sizeof op->n, op);
}

static int
op_by_n(const struct op *a, const struct op *b)
{
	return a->n < b->n ? -1 : a->n > b->n;
}

void
op_go(struct pod *pod)
{
	AUTO_FREE uint64_t *ns = NULL;
	struct op *op, *next;
	size_t i = 0, count = HASH_COUNT(pod->ops);

	HASH_SORT(pod->ops, op_by_n);
	ns = mem_zalloc(count * sizeof *ns);
	HASH_ITER (hh, pod->ops, op, next) {
		op->pending = true;
		ns[i++] = op->n;
	}
	/* one that begins may end others: look each up when its turn comes */
	for (i = 0; i < count; i++) {
		op = op_find(pod, ns[i]);
		if (op == NULL)
			continue;
		op->pending = false;
		if (op->queued)
			continue; /* one of our own: it is under way */
		op_enqueue(op);
		if (!op->ended)
			op_arm_deadline(op);
	}
}

void
op_cancel(struct pod *pod, uint64_t n)
{
	struct op *op = op_find(pod, n);

	if (op == NULL)
		return;
	op->orphan = true;
	/* before GO, and while op_go() has not come to it, its beginning sees that */
	if (!pod->live || op->pending)
		return;
	if (op->method->class == OP_FREE || (!op->begun && !op_was_begun(op)))
		op_end(op);
}

/* --- steps ------------------------------------------------------------------------ */

uint64_t
op_key(struct op *op, unsigned step)
{
	if (op->keys[step] == 0)
		op->keys[step] = op->n == 0 || op->told ? link_internal_key(op->pod->link)
							: key_of_step(op->n, step);
	return op->keys[step];
}

const struct msg_step *
op_step_known(struct op *op, unsigned step)
{
	return link_step_known(op->pod->link, op_key(op, step));
}

void
op_signal(struct op *op, unsigned step, uint64_t target, int signo, link_step_cb cb)
{
	link_signal(op->pod->link, op_key(op, step), target, signo, cb, op);
}

void
op_drop_output(struct pod *pod, uint64_t key)
{
	AUTO_FREE char *out = mem_printf("out/%" PRIx64, key);

	pod_unlink_key(pod, "log", key);
	if (link_fd_known(pod->link, out))
		link_fd_drop(pod->link, out, false);
}

/* The steps' leavings, and keys nobody else ends. */
static void
op_end_steps(struct op *op)
{
	struct link *lk = op->pod->link;
	unsigned i;

	for (i = 1; i < OP_STEPS; i++) {
		if (op->keys[i] == 0)
			continue;
		op_drop_output(op->pod, op->keys[i]);
		if ((op->told || op->n == 0) && link_step_known(lk, op->keys[i]) != NULL)
			link_ack(lk, op->keys[i]);
	}
}

/* --- the answer -------------------------------------------------------------------- */

void
op_set_ok(struct op *op, const ProtobufCMessage *payload)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	AUTO_FREE void *body = NULL;
	size_t len = 0;

	if (op->told || op->n == 0)
		return;
	if (payload != NULL)
		wire_pack(payload, &body, &len);
	r.payload.data = body;
	r.payload.len = len;
	free(op->answer);
	wire_pack(&r.base, &op->answer, &op->answer_len);
}

void
op_set_fail(struct op *op, enum status_code code, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	if (op->told)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	log_debug("request %" PRIu64 " (%s of '%s'): %s: %s", op->n, op->method->name,
	    op->id, status_name(code), text);
	op->failed = true;
	free(op->answer);
	op->answer = mem_zalloc(STATUS_RESPONSE_MAX);
	op->answer_len =
	    status_encode_response(op->answer, STATUS_RESPONSE_MAX, code, text);
}

void
op_set_empty(struct op *op)
{
	op_set_ok(op, NULL);
}

void
op_store_answer(struct op *op)
{
	if (op->n == 0 || op->told || op->answer == NULL)
		return;
	store_put_answer(op->pod->store, op->n, op->answer, op->answer_len);
	op->stored = true;
}

void
op_end(struct op *op)
{
	struct pod *pod = op->pod;
	struct container *c = op->queued ? op->c : NULL;

	if (op->ended)
		return;
	op->ended = true;
	if (op->n != 0 && !op->method->waits)
		meter_add(METER_REQUEST, op->method->name, clock_boot_us() - op->t_recv,
		    op->failed);
	op_end_steps(op);
	if (op->n != 0 && !op->told)
		link_answer(pod->link, op->n, op->orphan ? NULL : op->answer,
		    op->orphan ? 0 : op->answer_len);
	if (op->stored)
		pod_spent(pod, op->n);
	if (op->deadline_ev != NULL)
		(void)event_del(op->deadline_ev);
	if (op->waiting) {
		DL_DELETE2(op->p->waiters, op, w_prev, w_next);
		op->waiting = false;
	}
	if (op->n != 0)
		HASH_DEL(pod->ops, op);
	if (c != NULL) {
		DL_DELETE2(c->ops, op, q_prev, q_next);
		if (c->settle_waiter == op)
			c->settle_waiter = NULL;
	}
	exits_release(pod, op->n);
	loop_bury(pod->loop, &op->grave, op_free, op);
	if (c != NULL) {
		op_pump(c);
		if (c->purging && c->ops == NULL) {
			AUTO_FREE char *id = mem_strdup(c->id);

			purge_honour(pod, id);
		}
		container_release(c);
	}
	pod_check_idle(pod);
}

void
op_ok(struct op *op, const ProtobufCMessage *payload)
{
	op_set_ok(op, payload);
	op_end(op);
}

void
op_fail(struct op *op, enum status_code code, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	op_set_fail(op, code, "%s", text);
	op_end(op);
}

/* --- finding what it is about -------------------------------------------------------- */

bool
op_find_container(struct op *op)
{
	struct container *c = container_visible(op->pod, op->id);

	if (c == NULL || (op->queued && c != op->c)) {
		op_fail(op, STATUS_NOT_FOUND, "container not created: %s", op->id);
		return false;
	}
	op->c = c;
	return true;
}

bool
op_find_process(struct op *op)
{
	if (!op_find_container(op))
		return false;
	op->p = process_find(op->c, op->exec_id);
	if (op->p == NULL) {
		op_fail(op, STATUS_NOT_FOUND, "process does not exist %s", op->exec_id);
		return false;
	}
	return true;
}

/*
 * Admin/Metrics: the counters of this worker, and how much it has in hand.
 * Answered at once, from memory.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "worker/container.h"
#include "worker/io.h"
#include "worker/meter.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/tasks.h"

typedef Podshim__V1__Meter meter_msg;

/* Of one meter, in this memory: the message points into it. */
struct row {
	meter_msg msg;
	uint64_t buckets[METER_BUCKETS];
};

static size_t
rows_count(void)
{
	size_t n = 0, i;
	int kind;

	for (kind = 0; kind < METER_KINDS; kind++)
		for (i = 0; meter_get((enum meter_kind)kind, i) != NULL; i++)
			n++;
	return n;
}

static void
row_fill(struct row *row, enum meter_kind kind, const struct meter *m)
{
	static const Podshim__V1__Meter__Kind kinds[] = {
	    [METER_REQUEST] = PODSHIM__V1__METER__KIND__REQUEST,
	    [METER_COMMAND] = PODSHIM__V1__METER__KIND__COMMAND,
	    [METER_EVENT] = PODSHIM__V1__METER__KIND__EVENT,
	};
	size_t i;

	podshim__v1__meter__init(&row->msg);
	row->msg.kind = kinds[kind];
	row->msg.name = (char *)(uintptr_t)m->name;
	row->msg.failed = m->failed;
	row->msg.sum_us = m->sum_us;
	row->msg.n_buckets = METER_BUCKETS;
	row->msg.buckets = row->buckets;
	for (i = 0; i < METER_BUCKETS; i++)
		row->buckets[i] = m->buckets[i];
}

/* What is under way; this request is not counted. */
static void
ops_count(struct op *self, Podshim__V1__MetricsResponse *r)
{
	struct op *op, *next;

	HASH_ITER (hh, self->pod->ops, op, next) {
		if (op == self)
			continue;
		if (op->begun)
			r->begun++;
		else
			r->queued++;
	}
}

static void
io_add(const struct process *p, uint64_t total[3])
{
	uint64_t bytes[3] = {0};
	int i;

	if (p == NULL || p->io == NULL)
		return;
	io_counts(p->io, bytes);
	for (i = 0; i < 3; i++)
		total[i] += bytes[i];
}

void
task_metrics(struct op *op)
{
	Podshim__V1__MetricsResponse r = PODSHIM__V1__METRICS_RESPONSE__INIT;
	size_t n = rows_count(), i, at = 0;
	AUTO_FREE struct row *rows = mem_zalloc((n + 1) * sizeof *rows);
	AUTO_FREE meter_msg **msgs = mem_zalloc((n + 1) * sizeof(void *));
	uint64_t bytes[3];
	struct container *c, *next;
	struct process *p, *next_p;
	const struct meter *m;
	int kind;

	for (kind = 0; kind < METER_KINDS; kind++) {
		for (i = 0; (m = meter_get((enum meter_kind)kind, i)) != NULL; i++) {
			row_fill(&rows[at], (enum meter_kind)kind, m);
			msgs[at] = &rows[at].msg;
			at++;
		}
	}
	io_counts_past(bytes);
	HASH_ITER (hh, op->pod->containers, c, next) {
		io_add(c->init, bytes);
		HASH_ITER (hh, c->execs, p, next_p)
			io_add(p, bytes);
	}
	r.n_meters = n;
	r.meters = msgs;
	r.n_bounds_us = METER_BUCKETS - 1;
	r.bounds_us = (uint64_t *)(uintptr_t)meter_bounds_us;
	r.stdin_bytes = bytes[0];
	r.stdout_bytes = bytes[1];
	r.stderr_bytes = bytes[2];
	ops_count(op, &r);
	op_ok(op, &r.base);
}

/*
 * Lines for people, one object each, as its own memory has it: what the rows
 * say can be read without us.
 */
#include "worker/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "ipc/blackbox.h"
#include "worker/container.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/pod.h"
#include "worker/process.h"

#define REPORT_EVENTS 64u /* the oldest ones */

struct report {
	struct pod *pod;
	FILE *out;
	boot_us_t now;
	unsigned events;
};

extern const char __executable_start;

/* --- operations ---------------------------------------------------------------- */

static double
seconds(int64_t us)
{
	return (double)us / (double)US_PER_S;
}

static void
report_op(const struct report *r, const struct op *op)
{
	unsigned i;

	(void)fprintf(r->out, "op n=%" PRIu64 " %s '%s'%s%s%s age=%.3f", op->n,
	    op->method->name, op->id, op->exec_id[0] != '\0' ? " exec '" : "",
	    op->exec_id, op->exec_id[0] != '\0' ? "'" : "",
	    seconds((int64_t)(r->now - op->t_recv)));
	if (op->deadline != 0)
		(void)fprintf(r->out, " deadline_in=%.3f",
		    seconds((int64_t)(op->deadline - r->now)));
	(void)fprintf(r->out, "%s%s%s%s%s%s", op->pending ? " pending" : "",
	    op->queued ? " queued" : "", op->begun ? " begun" : "",
	    op->waiting ? " waiting" : "", op->orphan ? " orphan" : "",
	    op->told ? " told-too-late" : "");
	for (i = 1; i < OP_STEPS; i++) {
		if (op->keys[i] != 0)
			(void)fprintf(r->out, " step=%" PRIx64, op->keys[i]);
	}
	(void)fputc('\n', r->out);
}

static void
report_ops(const struct report *r)
{
	const struct container *c, *next_c;
	const struct op *op, *next;

	HASH_ITER (hh, r->pod->ops, op, next)
		report_op(r, op);
	HASH_ITER (hh, r->pod->containers, c, next_c) {
		DL_FOREACH2(c->ops, op, q_next)
		{
			if (op->n == 0) /* our own, of no request */
				report_op(r, op);
		}
	}
}

/* --- tasks ---------------------------------------------------------------------- */

static void
report_process(const struct report *r, const struct process *p)
{
	const struct op *w;
	unsigned waits = 0;

	DL_FOREACH2(p->waiters, w, w_next)
	{
		waits++;
	}
	(void)fprintf(r->out,
	    "  %s%s%s pid=%d %s key=%" PRIx64 " status=%u waits=%u%s%s%s%s\n",
	    process_is_init(p) ? "init" : "exec '", p->exec_id,
	    process_is_init(p) ? "" : "'", p->pid, task_state_name(p->state), p->key,
	    p->exit_status, waits, p->terminal ? " terminal" : "",
	    p->starting ? " starting" : "", p->exit_sent ? " exit-sent" : "",
	    p->io != NULL ? " io" : "");
}

static void
report_tasks(const struct report *r)
{
	const struct container *c, *next;
	const struct process *p, *next_p;

	HASH_ITER (hh, r->pod->containers, c, next) {
		(void)fprintf(r->out, "task '%s' %s bundle='%s' cgroup='%s'%s%s%s%s\n",
		    c->id, task_state_name(c->state), c->bundle != NULL ? c->bundle : "",
		    c->cgroup != NULL ? c->cgroup : "",
		    c->rootfs_mounted ? " rootfs-mounted" : "",
		    c->settling ? " settling" : "", c->purging ? " purging" : "",
		    c->settle_waiter != NULL ? " delete-waits" : "");
		if (c->init != NULL)
			report_process(r, c->init);
		HASH_ITER (hh, c->execs, p, next_p)
			report_process(r, p);
	}
}

/* --- the rest ------------------------------------------------------------------- */

static bool
report_on_event(const struct row_event *row, void *arg)
{
	struct report *r = arg;

	(void)fprintf(r->out, "event seq=%" PRIu64 " %s '%s'%s%s attempts=%u age=%.3f\n",
	    row->seq, row->topic, row->container, row->exec_id[0] != '\0' ? " exec " : "",
	    row->exec_id, row->attempts, seconds((clock_real_ns() - row->t) / 1000));
	return ++r->events < REPORT_EVENTS;
}

static void
report_outbox(struct report *r)
{
	struct store_counts counts = {0};
	struct err err = ERR_INIT;

	if (store_count(r->pod->store, &counts, &err) < 0 ||
	    store_each_event(r->pod->store, 0, report_on_event, r, &err) < 0)
		(void)fprintf(r->out, "outbox cannot be read: %s\n", err.text);
	(void)fprintf(r->out, "outbox pending=%" PRIu64 " dropped=%" PRIu64 "%s\n",
	    counts.events_pending, counts.events_dropped,
	    outbox_empty(r->pod->outbox) ? " empty" : "");
}

static void
report_timer(int64_t in_us, uint64_t code, void *arg)
{
	const struct report *r = arg;

	(void)fprintf(r->out, "timer in %.3f s runs %#" PRIx64 " (base + %#" PRIx64 ")\n",
	    seconds(in_us), code, code - (uint64_t)(uintptr_t)&__executable_start);
}

void
report_write(struct pod *pod, int fd)
{
	struct report r = {.pod = pod, .now = clock_boot_us()};
	int own = fd_dup(fd);

	r.out = own < 0 ? NULL : fdopen(own, "a");
	if (r.out == NULL) {
		fd_close(&own);
		return;
	}
	(void)fprintf(r.out,
	    "\n# worker\nworker pid=%ld loops=%" PRIu64 " containers=%zu ops=%u "
	    "highest=%" PRIu64 " backlog=%zu unacked=%zu spent=%zu queued=%zu%s%s%s%s\n",
	    (long)getpid(), link_blackbox(pod->link)->loops, container_count(pod),
	    HASH_COUNT(pod->ops), pod->highest_n,
	    pod->store == NULL ? 0 : store_backlog(pod->store), pod->n_unacked,
	    pod->n_spent, link_queued(pod->link), pod->live ? " live" : "",
	    pod->leaving ? " leaving" : "", pod->shutdown_seen ? " shutdown-seen" : "",
	    pod->idle_said ? " idle" : "");
	report_ops(&r);
	report_tasks(&r);
	if (pod->store != NULL && pod->outbox != NULL)
		report_outbox(&r);
	loop_each_timer(pod->loop, report_timer, &r);
	(void)fclose(r.out);
}

/*
 * Lives that few containers lead: one is checkpointed and another made from that, one is
 * purged by the delete call while it runs, one runs out of memory.
 */
#include "life.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "crash.h"
#include "events.h"
#include "pod.h"
#include "proto/status.h"

struct life {
	struct ctr *ctr;
	struct proc *init;
};

/* A container that runs; false: it failed, which has been said. */
static bool
life_begin(struct life *l, struct pod *pod, enum kind kind, const char *image)
{
	l->ctr = ctr_new(pod, NULL);
	l->init = mem_zalloc(sizeof *l->init);
	l->ctr->image = image;
	proc_plan(l->init, l->ctr, "", kind);
	ctr_write_config(l->ctr, l->init);
	l->ctr->conn = conn_open(pod->addr, l->ctr->id);
	return l->ctr->conn != NULL && ctr_create(l->ctr, l->init) && proc_start(l->init);
}

static void
life_end(struct life *l)
{
	proc_finish(l->init);
	proc_delete(l->init);
	(void)evlog_expect(l->ctr->events, EV_DELETE, "");
	ctr_check_calls(l->ctr, true);
	ctr_end(l->ctr, l->init);
}

static void
life_free(struct life *l)
{
	proc_fini(l->init);
	free(l->init);
	ctr_free(l->ctr);
}

static void
checkpoint_life(struct pod *pod)
{
	struct life old, new;
	AUTO_FREE char *image = NULL;
	struct pb msg = PB_INIT;

	if (!life_begin(&old, pod, KIND_HANG, NULL)) {
		life_free(&old);
		return;
	}
	image = mem_printf("%s/image", old.ctr->bundle);
	(void)mkdir(image, 0700);
	pb_str(&msg, 1, old.ctr->id);
	pb_str(&msg, 2, image);
	if (expect(call_begin(old.ctr->conn, "Checkpoint", &msg), 0, old.ctr->id)) {
		old.ctr->n_checkpoints++;
		(void)evlog_expect(old.ctr->events, EV_CHECKPOINTED, "");
	}
	if (life_begin(&new, pod, KIND_HANG, image))
		life_end(&new);
	life_free(&new);
	life_end(&old);
	life_free(&old);
}

/* containerd gives one up that runs: the delete call ends it, and tells how. */
static void
purge_life(struct pod *pod)
{
	struct life l;
	struct pb_view v;
	struct run r;
	int64_t t = 0;

	if (!life_begin(&l, pod, KIND_HANG, NULL)) {
		life_free(&l);
		return;
	}
	l.init->killed_ns = l.init->started_ns;
	l.init->sink_out.partial = l.init->sink_err.partial = true;
	l.ctr->events->given_up = true;
	shim_run(pod, l.ctr->id, l.ctr->bundle, "delete", &r);
	v = (struct pb_view){(const uint8_t *)r.out, r.out_len};
	if (r.status != 0 || !pb_valid(v) || pb_get_u64(v, 1) != l.init->pid ||
	    !pb_get_time(v, 3, &t))
		fault(FAULT_ANSWER, "%s: delete while it runs: status 0x%x, '%s'",
		    l.ctr->id, (unsigned)r.status, r.err);
	else
		proc_check_end(l.init, "delete", (uint32_t)pb_get_u64(v, 2), t);
	run_fini(&r);
	proc_check_waits(l.init);
	(void)expect(proc_begin(l.init, "State"), STATUS_NOT_FOUND, l.ctr->id);
	ctr_check_calls(l.ctr, true);
	ctr_end(l.ctr, l.init);
	life_free(&l);
}

static void
oom_life(struct pod *pod)
{
	struct life l;

	/* told, when Start has long been answered: else Start itself tells of it */
	if (life_begin(&l, pod, KIND_OOM, NULL) && sink_expect(&l.init->sink_out, 1) &&
	    expect(proc_begin_kill(l.init, SIGUSR1, false), 0, l.init->who)) {
		(void)evlog_expect(l.ctr->events, EV_OOM, "");
		life_end(&l);
	}
	life_free(&l);
}

void
rare_lives(void *arg)
{
	struct pod *pod = arg;

	if (pod->runc)
		oom_life(pod); /* its cgroups have limits */
	else
		checkpoint_life(pod); /* it needs no criu */
	purge_life(pod);
}

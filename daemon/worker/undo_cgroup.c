/*
 * What surprises: who is killed leaves its cgroup late, and until then it cannot be
 * removed; so that is tried again for a while.
 */
#include "worker/undo_cgroup.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/oci.h"
#include "oci/record.h"
#include "worker/container.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/pod.h"

#define UNDO_CGROUP_AGAIN_US (10 * US_PER_MS)
#define UNDO_CGROUP_MAX_US   US_PER_S

/* --- which one ------------------------------------------------------------------- */

/* The cgroup that the spec asks for; NULL if it cannot be told. */
static char *
undo_cgroup_path(const struct container *c)
{
	struct oci_spec spec = {0};
	char *path = NULL;

	if (oci_spec_load(c->bundle, &spec, NULL) < 0)
		return NULL;
	if (spec.cgroups_path != NULL)
		(void)cgroup_of_spec(
		    spec.cgroups_path, c->opts.systemd_cgroup, &path, NULL);
	oci_spec_fini(&spec);
	return path;
}

/* Only a runtime that was killed leaves one: else it tidies up, or never made any. */
static bool
undo_was_killed(const struct op *op, unsigned step)
{
	const struct msg_step *s =
	    op->keys[step] == 0 ? NULL : link_step_known(op->pod->link, op->keys[step]);

	return s != NULL && s->state == STEP_DONE &&
	    (s->timed_out || WIFSIGNALED(s->wait_status));
}

/* When this Create, or Start, began, in ticks since boot; 0 unknown. */
static uint64_t
undo_since(const struct op *op)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	int64_t age_ns = clock_real_ns() - op->c->created_at;

	if (op->req != NULL)
		return op->t_recv / (US_PER_S / hz);
	if (op->c->created_at == 0 || age_ns < 0)
		return 0;
	return clock_boot_ticks() - (uint64_t)age_ns / ((uint64_t)NS_PER_S / hz) - 1;
}

/* Is somebody in it who was there before? Two specs may name one cgroup. */
static bool
undo_has_others(const char *path, uint64_t since)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t i, n = 0;

	if (cgroup_pids(path, &pids, &n, NULL) < 0 || (n > 0 && since == 0))
		return true;
	for (i = 0; i < n; i++) {
		uint64_t start = record_start_ticks(pids[i]);

		if (start != 0 && start + 1 < since)
			return true;
	}
	return false;
}

/* --- away with it ------------------------------------------------------------------- */

struct cgroup_undoing {
	struct op *op;
	void (*then)(struct op *op);
	char *path;
	boot_us_t end;
	struct loop_timer again;
	struct grave grave;
};

static void
undoing_free(void *arg)
{
	struct cgroup_undoing *u = arg;

	free(u->path);
	free(u);
}

/* True: nothing is left to be done. */
static bool
undoing_try(const struct cgroup_undoing *u)
{
	const char *id = u->op->id;

	if (undo_has_others(u->path, undo_since(u->op))) {
		log_warnx("container '%s': cgroup '%s' is not its alone, left as it is",
		    id, u->path);
		return true;
	}
	(void)cgroup_kill(u->path, NULL);
	cgroup_thaw(u->path); /* on v1 what is frozen does not even die */
	if (cgroup_remove(u->path))
		return true;
	if (clock_boot_us() < u->end)
		return false;
	log_warnx("container '%s': cgroup '%s' is busy, left as it is", id, u->path);
	return true;
}

static void
undoing_go(struct cgroup_undoing *u)
{
	struct loop *loop = u->op->pod->loop;

	if (!undoing_try(u)) {
		loop_timer_set(loop, &u->again, UNDO_CGROUP_AGAIN_US);
		return;
	}
	loop_bury(loop, &u->grave, undoing_free, u);
	u->then(u->op);
}

static void
undoing_on_again(void *arg)
{
	struct cgroup_undoing *u = arg;
	struct link *lk = u->op->pod->link;
	uint64_t was = link_in_hand(lk, op_hand(u->op), u->op->method->name);

	undoing_go(u);
	(void)link_in_hand(lk, was, NULL);
}

void
undo_cgroup(struct op *op, unsigned step, void (*then)(struct op *op))
{
	struct cgroup_undoing *u;
	char *path =
	    op->c->foreign || !undo_was_killed(op, step) ? NULL : undo_cgroup_path(op->c);

	if (path == NULL) {
		then(op);
		return;
	}
	u = mem_zalloc(sizeof *u);
	u->op = op;
	u->then = then;
	u->path = path;
	u->end = clock_boot_us() + UNDO_CGROUP_MAX_US;
	loop_timer_init(&u->again, undoing_on_again, u);
	undoing_go(u);
}

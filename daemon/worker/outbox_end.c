/*
 * The outbox at its pod's end: wait until all events have gone, for a bounded time.
 */
#include "worker/outbox_int.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "state/store.h"

/*
 * For what is on its way when the time is up, and what goes quickly behind it: the publish
 * binary's own deadline. On a busy machine it takes seconds, and containerd is there.
 */
#define DRAIN_LAST_US (10 * US_PER_S)

void
outbox_check_drained(struct outbox *ob)
{
	if (ob->drain_cb == NULL)
		return;
	if (outbox_empty(ob))
		event_active(ob->drain_ev, 0, 0);
	else if (ob->drain_over && ob->flights == NULL)
		event_active(ob->drain_ev, EV_TIMEOUT, 0);
}

struct outbox_dropping {
	struct outbox *ob;
	uint64_t *seqs;
	size_t n;
};

static bool
outbox_collect(const struct row_event *row, void *arg)
{
	struct outbox_dropping *d = arg;

	log_warnx("events: %s of '%s' could not be delivered, dropping it", row->topic,
	    row->container);
	d->seqs = mem_realloc(d->seqs, (d->n + 1) * sizeof *d->seqs);
	d->seqs[d->n++] = row->seq;
	return true;
}

/*
 * Lanes with an event on its way stay until they hear of it: should a container of
 * that id come in the meantime, its first event must not overtake the old one.
 */
static void
outbox_forget_lanes(struct outbox *ob)
{
	struct lane *lane, *next;

	HASH_ITER (hh, ob->lanes, lane, next) {
		if (lane->flight == NULL)
			outbox_lane_free(ob, lane);
	}
}

static void
outbox_drop_all(struct outbox *ob)
{
	struct outbox_dropping d = {.ob = ob};
	size_t i;

	(void)store_each_event(ob->st, 0, outbox_collect, &d, NULL);
	store_begin(ob->st);
	for (i = 0; i < d.n; i++)
		store_event_done(ob->st, d.seqs[i], "dropped");
	(void)store_commit(ob->st, STORE_KEEP, NULL);
	if (d.n > 0) {
		ob->looked = d.seqs[d.n - 1] > ob->looked ? d.seqs[d.n - 1] : ob->looked;
		log_warnx("events: %zu dropped at the pod's end", d.n);
	}
	free(d.seqs);
	outbox_forget_lanes(ob);
	ob->dirty = false;
	(void)event_del(ob->timer);
}

void
outbox_drain_stop(struct outbox *ob)
{
	ob->drain_cb = NULL;
	(void)event_del(ob->drain_ev);
}

void
outbox_on_drain_time(evutil_socket_t fd, short what, void *arg)
{
	struct outbox *ob = arg;
	void (*cb)(void *) = ob->drain_cb;

	(void)fd;
	if (!outbox_empty(ob)) {
		if ((what & EV_TIMEOUT) == 0)
			return; /* it was empty, and is not any more */
		if (ob->flights != NULL && !ob->drain_over) {
			ob->drain_over = true;
			outbox_arm(ob->drain_ev, DRAIN_LAST_US);
			return;
		}
		if (ob->drain_still_cb(ob->drain_arg))
			outbox_drop_all(ob);
		else
			cb = NULL; /* what waits is a living pod's */
	}
	outbox_drain_stop(ob);
	if (cb != NULL)
		cb(ob->drain_arg);
}

void
outbox_drain(struct outbox *ob, uint64_t timeout_us, bool (*still_cb)(void *arg),
    void (*cb)(void *arg), void *arg)
{
	ob->drain_still_cb = still_cb;
	ob->drain_cb = cb;
	ob->drain_arg = arg;
	ob->drain_over = false;
	(void)event_del(ob->drain_ev);
	outbox_arm(ob->drain_ev, timeout_us);
	outbox_check_drained(ob);
	outbox_kick(ob);
	outbox_retry_now(ob);
}

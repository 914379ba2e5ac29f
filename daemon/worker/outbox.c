/*
 * Which event goes when, and by which way.
 *
 * The store is the queue. In memory there is one lane per container that has
 * events pending: the number of its oldest and whether there may be more; rows
 * are read again when they are sent. So a thousand events behind a dead
 * containerd cost no memory here, and a kick reads only rows that are new.
 *
 * Order holds per container because a lane has one event in flight, whichever
 * way it goes. A transport that does not reach containerd rests, with a growing
 * delay, for all lanes; then one event is its probe. A lane whose event
 * containerd refuses rests alone, so that it delays nobody else.
 *
 * There is one timer, and none while nothing is pending. What surprises: the
 * store may drop events of execs at its cap, also one that is a lane's oldest
 * or in flight.
 */
#include "worker/outbox_int.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "state/store.h"
#include "worker/conf.h"
#include "worker/meter.h"

#define OUTBOX_DELAY_MIN_US (1 * US_PER_S)
#define OUTBOX_DELAY_MAX_US (30 * US_PER_S)

static uint64_t
outbox_delay(unsigned failures)
{
	/* 1 s, 2 s, 4 s … 30 s */
	return failures > 5 ? OUTBOX_DELAY_MAX_US : OUTBOX_DELAY_MIN_US << (failures - 1);
}

void
outbox_arm(struct event *ev, uint64_t us)
{
	const struct timeval tv = {
	    .tv_sec = (time_t)(us / US_PER_S), .tv_usec = (suseconds_t)(us % US_PER_S)};

	(void)evtimer_add(ev, &tv);
}

/* --- lanes -------------------------------------------------------------------- */

static void
lane_set_head(struct lane *lane, const struct row_event *row)
{
	lane->head = row->seq;
	lane->exec = row->exec_id[0] != '\0';
	lane->tried = 0;
	lane->refusals = 0;
	lane->rest_until = 0;
}

void
outbox_lane_free(struct outbox *ob, struct lane *lane)
{
	HASH_DEL(ob->lanes, lane);
	free(lane);
}

static bool
outbox_look_one(const struct row_event *row, void *arg)
{
	struct outbox *ob = arg;
	struct lane *lane;

	ob->looked = row->seq;
	HASH_FIND_STR(ob->lanes, row->container, lane);
	if (lane != NULL) {
		lane->more = true;
		return true;
	}
	lane = mem_zalloc(sizeof *lane + strlen(row->container) + 1);
	memcpy(lane->container, row->container, strlen(row->container) + 1);
	lane_set_head(lane, row);
	HASH_ADD_STR(ob->lanes, container, lane);
	return true;
}

/* See what has been committed since the last look. */
static void
outbox_look(struct outbox *ob)
{
	struct err err = ERR_INIT;

	if (!ob->dirty)
		return;
	ob->dirty = false;
	if (store_each_event(ob->st, ob->looked, outbox_look_one, ob, &err) < 0) {
		log_errx("events cannot be read: %s", err.text);
		ob->dirty = true;
	}
	/* rows that the store could not write yet show up later */
	if (store_backlog(ob->st) > 0)
		ob->dirty = true;
}

struct lane_search {
	struct lane *lane;
	unsigned found;
};

static bool
lane_search_one(const struct row_event *row, void *arg)
{
	struct lane_search *s = arg;

	if (strcmp(row->container, s->lane->container) != 0)
		return true;
	if (s->found++ == 0)
		lane_set_head(s->lane, row);
	return s->found < 2; /* whether there is a second is all we want to know */
}

/* The oldest is done: on to the next one, or the lane's end. */
static void
lane_advance(struct outbox *ob, struct lane *lane)
{
	struct lane_search search = {.lane = lane};
	struct err err = ERR_INIT;

	if (lane->more &&
	    store_each_event(ob->st, lane->head, lane_search_one, &search, &err) < 0) {
		/* take it up again with the next look */
		log_errx("events cannot be read: %s", err.text);
		if (lane->head < ob->looked)
			ob->looked = lane->head;
		ob->dirty = true;
	}
	if (search.found == 0)
		outbox_lane_free(ob, lane);
	else
		lane->more = search.found > 1;
}

/* --- which way ------------------------------------------------------------------- */

/* The ways an event of this lane may go, best first; returns how many. */
static unsigned
outbox_ways(const struct outbox *ob, const struct lane *lane, enum way ways[WAY_COUNT])
{
	enum way first = lane->exec || ob->at_end ? WAY_TTRPC : WAY_PUBLISH, other;
	unsigned n = 0;

	if (ob->preferred == TRANSPORT_PUBLISH_BINARY)
		first = WAY_PUBLISH;
	else if (ob->preferred == TRANSPORT_TTRPC)
		first = WAY_TTRPC;
	other = first == WAY_PUBLISH ? WAY_TTRPC : WAY_PUBLISH;
	if (ob->routes[first].tr != NULL)
		ways[n++] = first;
	/* who asked for one way gets the other only for want of the first */
	if (ob->routes[other].tr != NULL && (n == 0 || ob->preferred == TRANSPORT_AUTO))
		ways[n++] = other;
	return n;
}

/* May one more event go this way now? A route that failed takes one probe. */
static bool
route_is_open(const struct route *r, boot_us_t now)
{
	unsigned most = r->failures > 0 ? 1 : r->tr->max_in_flight;

	return now >= r->rest_until && r->in_flight < most;
}

/*
 * The way for the lane's oldest event now: WAY_COUNT if it must wait, then
 * *wake is lowered to when it is worth another look (if only time can help).
 */
static enum way
lane_choose(
    const struct outbox *ob, const struct lane *lane, boot_us_t now, boot_us_t *wake)
{
	enum way ways[WAY_COUNT];
	unsigned n = outbox_ways(ob, lane, ways), i;
	boot_us_t at = UINT64_MAX;

	if (now < lane->rest_until) {
		if (lane->rest_until < *wake)
			*wake = lane->rest_until;
		return WAY_COUNT;
	}
	for (i = 0; i < n; i++) {
		const struct route *r = &ob->routes[ways[i]];

		if ((lane->tried & 1u << ways[i]) != 0)
			continue;
		if (route_is_open(r, now))
			return ways[i];
		if (now < r->rest_until)
			at = r->rest_until < at ? r->rest_until : at;
		else if (r->failures == 0)
			return WAY_COUNT; /* busy: its next end wakes us; no detour for that */
		/* else a probe goes that way, which may take long, and wakes us as well */
	}
	if (at < *wake)
		*wake = at;
	return WAY_COUNT;
}

/* --- sending ---------------------------------------------------------------------- */

static void outbox_on_done(int rc, void *arg);

static struct flight *
flight_new(struct outbox *ob, struct lane *lane, enum way way)
{
	struct flight *f = mem_zalloc(sizeof *f);

	f->ob = ob;
	f->lane = lane;
	f->way = way;
	f->seq = lane->head;
	f->began = clock_boot_us();
	f->next = ob->flights;
	ob->flights = f;
	lane->flight = f;
	ob->routes[way].in_flight++;
	return f;
}

struct outbox_sending {
	struct outbox *ob;
	struct lane *lane;
	enum way way;
	bool sent;
};

static bool
outbox_send_one(const struct row_event *row, void *arg)
{
	struct outbox_sending *s = arg;
	struct transport *tr = s->ob->routes[s->way].tr;
	const struct outbox_event ev = {.seq = row->seq,
	    .topic = row->topic,
	    .type = row->type,
	    .body = row->body,
	    .len = row->body_len,
	    .t_ns = row->t};

	if (row->seq == s->lane->head) {
		struct flight *f = flight_new(s->ob, s->lane, s->way);

		s->sent = true;
		tr->send(tr, &ev, outbox_on_done, f);
	}
	return false;
}

/* Send the lane's oldest event; if the store has dropped it, go on to the next. */
static void
lane_send(struct outbox *ob, struct lane *lane, enum way way)
{
	struct outbox_sending s = {.ob = ob, .lane = lane, .way = way};
	struct err err = ERR_INIT;
	int rc = store_each_event(ob->st, lane->head - 1, outbox_send_one, &s, &err);

	if (s.sent)
		return;
	if (rc == 0) {
		lane->more = true;
		lane_advance(ob, lane);
		event_active(ob->pump_ev, 0, 0);
		return;
	}
	log_errx("events cannot be read: %s", err.text);
	lane->rest_until = clock_boot_us() + OUTBOX_DELAY_MIN_US;
	ob->dirty = true; /* outbox_pump() comes again for that */
}

static int
lane_compare(const struct lane *a, const struct lane *b)
{
	return a->head < b->head ? -1 : a->head > b->head;
}

/* Start whatever can start, oldest first; set the timer for what cannot. */
static void
outbox_pump(struct outbox *ob)
{
	boot_us_t now = clock_boot_us(), wake = UINT64_MAX;
	struct lane *lane, *next;

	outbox_look(ob);
	HASH_SORT(ob->lanes, lane_compare);
	HASH_ITER (hh, ob->lanes, lane, next) {
		enum way way;

		if (lane->flight != NULL)
			continue;
		way = lane_choose(ob, lane, now, &wake);
		if (way != WAY_COUNT)
			lane_send(ob, lane, way);
	}
	if (ob->dirty && now + OUTBOX_DELAY_MIN_US < wake)
		wake = now + OUTBOX_DELAY_MIN_US;
	(void)event_del(ob->timer);
	if (wake != UINT64_MAX)
		outbox_arm(ob->timer, wake > now ? wake - now : 0);
	outbox_check_drained(ob);
}

static void
outbox_on_pump(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	outbox_pump(arg);
}

/* --- ends -------------------------------------------------------------------------- */

static void
route_failed(struct route *r)
{
	boot_us_t now = clock_boot_us();

	if (now < r->rest_until)
		return; /* sent together with one that has failed already */
	if (r->failures++ == 0)
		log_warnx(
		    "events: containerd is not reached by %s, trying again", r->tr->name);
	r->rest_until = now + outbox_delay(r->failures);
}

static void
route_worked(struct route *r)
{
	if (r->failures > 0)
		log_info("events: containerd is reached by %s again", r->tr->name);
	r->failures = 0;
	r->rest_until = 0;
}

/* Not delivered, but it may be another time. */
static void
lane_failed(struct outbox *ob, struct lane *lane, enum way way, int rc)
{
	enum way ways[WAY_COUNT];
	unsigned n = outbox_ways(ob, lane, ways), i;
	boot_us_t now = clock_boot_us();

	if (store_backlog(ob->st) == 0) {
		store_begin(ob->st);
		store_event_attempted(ob->st, lane->head);
		(void)store_commit(ob->st, STORE_KEEP, NULL);
	}
	if (rc != -EHOSTDOWN)
		lane->tried |= 1u << way;
	else if (lane->tried == 0)
		return; /* its route rests; the other one may still do */
	for (i = 0; i < n; i++) {
		/* one that rests may be down for good: no reason to give up the others */
		if ((lane->tried & 1u << ways[i]) == 0 &&
		    now >= ob->routes[ways[i]].rest_until)
			return;
	}
	lane->tried = 0;
	lane->refusals++;
	lane->rest_until = now + outbox_delay(lane->refusals);
	log_warnx("events: containerd refuses event %" PRIu64
		  " of '%s' (%s), trying again",
	    lane->head, lane->container,
	    rc == -EHOSTDOWN ? "one way; another is down" : strerror(-rc));
}

static void
outbox_on_done(int rc, void *arg)
{
	struct flight *f = arg, **at;
	struct outbox *ob = f->ob;
	struct route *r = &ob->routes[f->way];
	struct lane *lane = f->lane;

	for (at = &ob->flights; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	r->in_flight--;
	meter_add(METER_EVENT, r->tr->name, clock_boot_us() - f->began, rc != 0);
	if (rc == -EHOSTDOWN)
		route_failed(r);
	else
		route_worked(r);
	lane->flight = NULL;
	if (rc == -EINVAL)
		log_errx("events: containerd will not take event %" PRIu64
			 " of '%s', dropping it",
		    f->seq, lane->container);
	if (rc == 0 || rc == -EINVAL) {
		store_event_done(ob->st, f->seq, rc == 0 ? r->tr->name : "dropped");
		lane_advance(ob, lane);
	} else {
		lane_failed(ob, lane, f->way, rc);
	}
	free(f);
	outbox_pump(ob);
}

/* --- the pod's side -------------------------------------------------------------------- */

void
outbox_add(struct outbox *ob, const char *container, const char *exec_id,
    const char *topic, const char *type, const void *body, size_t len)
{
	const struct row_event row = {.container = container,
	    .exec_id = exec_id,
	    .topic = topic,
	    .type = type,
	    .body = body,
	    .body_len = len,
	    .class = exec_id == NULL || exec_id[0] == '\0' ? EVENT_KEEP : EVENT_EXEC,
	    .t = clock_real_ns()};

	(void)store_add_event(ob->st, &row);
	ob->dirty = true;
}

void
outbox_kick(struct outbox *ob)
{
	if (ob->dirty)
		event_active(ob->pump_ev, 0, 0);
}

void
outbox_at_end(struct outbox *ob, bool at_end)
{
	ob->at_end = at_end;
}

void
outbox_retry_now(struct outbox *ob)
{
	struct lane *lane, *next;
	unsigned i;

	if (ob->lanes == NULL)
		return;
	for (i = 0; i < WAY_COUNT; i++)
		ob->routes[i].rest_until = 0;
	HASH_ITER (hh, ob->lanes, lane, next)
		lane->rest_until = 0;
	event_active(ob->pump_ev, 0, 0);
}

bool
outbox_empty(struct outbox *ob)
{
	return !ob->dirty && ob->lanes == NULL;
}

void
outbox_resume(struct outbox *ob)
{
	struct transport *tr = ob->routes[WAY_PUBLISH].tr;
	struct lane *lane, *next;

	ob->dirty = true;
	outbox_look(ob);
	if (tr != NULL && tr->resume != NULL) {
		HASH_ITER (hh, ob->lanes, lane, next) {
			struct flight *f = flight_new(ob, lane, WAY_PUBLISH);

			if (tr->resume(tr, lane->head, outbox_on_done, f))
				continue;
			ob->flights = f->next;
			lane->flight = NULL;
			ob->routes[WAY_PUBLISH].in_flight--;
			free(f);
		}
		tr->resume_end(tr);
	}
	event_active(ob->pump_ev, 0, 0);
}

/* --- birth and death ---------------------------------------------------------------------- */

struct outbox *
outbox_new_with(struct loop *loop, struct store *st, const struct conf *conf,
    struct transport *publish, struct transport *ttrpc)
{
	struct outbox *ob = mem_zalloc(sizeof *ob);
	struct event_base *base = loop_base(loop);

	ob->loop = loop;
	ob->st = st;
	ob->preferred = conf->events_transport;
	ob->routes[WAY_PUBLISH].tr = publish;
	ob->routes[WAY_TTRPC].tr = ttrpc;
	ob->pump_ev = event_new(base, -1, 0, outbox_on_pump, ob);
	ob->timer = evtimer_new(base, outbox_on_pump, ob);
	ob->drain_ev = evtimer_new(base, outbox_on_drain_time, ob);
	if (ob->pump_ev == NULL || ob->timer == NULL || ob->drain_ev == NULL)
		abort();
	if (publish == NULL && ttrpc == NULL)
		log_warnx("events: containerd gave no way to deliver them");
	return ob;
}

struct outbox *
outbox_new(struct loop *loop, struct link *lk, struct store *st, const struct conf *conf,
    const struct outbox_target *target)
{
	return outbox_new_with(loop, st, conf, transport_publish_new(loop, lk, target),
	    transport_ttrpc_new(loop, target));
}

void
outbox_free(struct outbox *ob)
{
	struct lane *lane, *next;
	struct flight *f;
	unsigned i;

	if (ob == NULL)
		return;
	for (i = 0; i < WAY_COUNT; i++) {
		if (ob->routes[i].tr != NULL)
			ob->routes[i].tr->free(ob->routes[i].tr);
	}
	HASH_ITER (hh, ob->lanes, lane, next)
		outbox_lane_free(ob, lane);
	while ((f = ob->flights) != NULL) {
		ob->flights = f->next;
		free(f);
	}
	event_free(ob->pump_ev);
	event_free(ob->timer);
	event_free(ob->drain_ev);
	loop_bury(ob->loop, &ob->grave, free, ob);
}

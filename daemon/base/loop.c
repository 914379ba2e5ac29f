/*
 * libevent with a graveyard. EVLOOP_ONCE runs every callback that is ready,
 * then returns; burials happen between two such passes.
 *
 * Our own timers stand in a list, by time; the first one has libevent's timer.
 * That one got its place in libevent's heap when the loop was made.
 */
#include "base/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

struct loop {
	struct event_base *base;
	struct grave *graves;
	bool stop;
	TAILQ_HEAD(timer_list, loop_timer) timers; /* by when_us */
	struct event *ev_timer;
};

static uint64_t
mono_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

/* Have libevent wake us for the first. */
static void
timers_arm(struct loop *loop)
{
	const struct loop_timer *first = TAILQ_FIRST(&loop->timers);
	uint64_t now = mono_us(), us;
	struct timeval tv;

	if (first == NULL) {
		(void)event_del(loop->ev_timer);
		return;
	}
	us = first->when_us > now ? first->when_us - now : 0;
	tv = (struct timeval){(time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S)};
	(void)event_add(loop->ev_timer, &tv);
}

static void
timers_on_due(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t now = mono_us();
	struct loop_timer *t;

	(void)fd;
	(void)what;
	/* one that its own callback sets again is, as a rule, later than now */
	while ((t = TAILQ_FIRST(&loop->timers)) != NULL && t->when_us <= now) {
		TAILQ_REMOVE(&loop->timers, t, link);
		t->on = false;
		t->cb(t->arg);
	}
	timers_arm(loop);
}

void
loop_timer_init(struct loop_timer *t, void (*cb)(void *arg), void *arg)
{
	*t = (struct loop_timer){.cb = cb, .arg = arg};
}

void
loop_timer_stop(struct loop *loop, struct loop_timer *t)
{
	bool first = t == TAILQ_FIRST(&loop->timers);

	if (!t->on)
		return;
	TAILQ_REMOVE(&loop->timers, t, link);
	t->on = false;
	if (first)
		timers_arm(loop);
}

void
loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t us)
{
	struct loop_timer *before;

	loop_timer_stop(loop, t);
	t->when_us = mono_us() + us;
	t->on = true;
	/* most are later than all others */
	before = TAILQ_LAST(&loop->timers, timer_list);
	while (before != NULL && before->when_us > t->when_us)
		before = TAILQ_PREV(before, timer_list, link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&loop->timers, before, t, link);
	else
		TAILQ_INSERT_HEAD(&loop->timers, t, link);
	if (before == NULL)
		timers_arm(loop);
}

struct loop *
loop_new(void)
{
	struct loop *loop = calloc(1, sizeof *loop);
	const struct timeval hour = {.tv_sec = 3600};
	struct event_config *cfg;

	if (loop == NULL)
		return NULL;
	cfg = event_config_new();
	if (cfg != NULL) {
		/* one thread per process: no locks, no eventfd to wake it */
		(void)event_config_set_flag(
		    cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
		loop->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	TAILQ_INIT(&loop->timers);
	if (loop->base != NULL)
		loop->ev_timer = evtimer_new(loop->base, timers_on_due, loop);
	if (loop->ev_timer == NULL || evtimer_add(loop->ev_timer, &hour) == -1) {
		loop_free(loop);
		return NULL;
	}
	(void)event_del(loop->ev_timer); /* its place stays */
	return loop;
}

static void
loop_dig(struct loop *loop)
{
	struct grave *grave;

	while ((grave = loop->graves) != NULL) {
		loop->graves = grave->next;
		grave->free_cb(grave->obj); /* grave may go with it */
	}
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	loop_dig(loop);
	if (loop->ev_timer != NULL)
		event_free(loop->ev_timer);
	if (loop->base != NULL)
		event_base_free(loop->base);
	free(loop);
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

void
loop_once(struct loop *loop, int nonblock)
{
	(void)event_base_loop(loop->base, EVLOOP_ONCE | (nonblock ? EVLOOP_NONBLOCK : 0));
	loop_dig(loop);
}

void
loop_run(struct loop *loop, void (*pass_cb)(void *arg), void *arg)
{
	loop->stop = false;
	while (!loop->stop) {
		if (pass_cb != NULL)
			pass_cb(arg);
		if (loop->stop)
			break;
		if (event_base_loop(loop->base, EVLOOP_ONCE) == 1)
			break; /* nothing left to wait for */
		loop_dig(loop);
	}
}

void
loop_stop(struct loop *loop)
{
	loop->stop = true;
}

struct each_timer {
	void (*cb)(int64_t in_us, uint64_t code, void *arg);
	void *arg;
	struct timeval now;
};

static int
loop_on_event(const struct event_base *base, const struct event *ev, void *arg)
{
	struct each_timer *each = arg;
	struct timeval when, left;

	(void)base;
	if (event_get_callback(ev) == timers_on_due ||
	    event_pending(ev, EV_TIMEOUT, &when) == 0)
		return 0;
	evutil_timersub(&when, &each->now, &left);
	each->cb((int64_t)left.tv_sec * US_PER_S + left.tv_usec,
	    (uint64_t)(uintptr_t)event_get_callback(ev), each->arg);
	return 0;
}

void
loop_each_timer(
    struct loop *loop, void (*cb)(int64_t in_us, uint64_t code, void *arg), void *arg)
{
	struct each_timer each = {.cb = cb, .arg = arg};

	const struct loop_timer *t;

	TAILQ_FOREACH (t, &loop->timers, link)
		cb((int64_t)(t->when_us - mono_us()), (uint64_t)(uintptr_t)t->cb, arg);
	(void)evutil_gettimeofday(&each.now, NULL);
	(void)event_base_foreach_event(loop->base, loop_on_event, &each);
}

void
loop_bury(struct loop *loop, struct grave *grave, void (*free_cb)(void *), void *obj)
{
	assert(grave->free_cb == NULL);
	grave->free_cb = free_cb;
	grave->obj = obj;
	grave->next = loop->graves;
	loop->graves = grave;
}

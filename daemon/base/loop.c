/*
 * libevent with a graveyard. EVLOOP_ONCE runs every callback that is ready,
 * then returns; burials happen between two such passes.
 */
#include "base/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"

struct loop {
	struct event_base *base;
	struct grave *graves;
	bool stop;
};

struct loop *
loop_new(void)
{
	struct loop *loop = calloc(1, sizeof *loop);
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
	if (loop->base == NULL) {
		free(loop);
		return NULL;
	}
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
	if (event_pending(ev, EV_TIMEOUT, &when) == 0)
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

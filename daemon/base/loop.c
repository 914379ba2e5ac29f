/*
 * libevent with a graveyard. EVLOOP_ONCE runs every callback that is ready,
 * then returns; burials happen between two such passes.
 */
#include "base/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

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

void
loop_bury(struct loop *loop, struct grave *grave, void (*free_cb)(void *), void *obj)
{
	assert(grave->free_cb == NULL);
	grave->free_cb = free_cb;
	grave->obj = obj;
	grave->next = loop->graves;
	loop->graves = grave;
}

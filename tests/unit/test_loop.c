/*
 * base/loop: burials wait for the end of the pass, also when several objects
 * end in one batch; run under ASan this shows a free under a callback.
 */
#include "base/loop.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct thing {
	struct loop *loop;
	struct event *ev;
	struct grave grave;
	struct thing *other; /* buried by our callback, too */
	int buried;
};

static int freed;

static void
thing_free(void *obj)
{
	struct thing *t = obj;

	event_free(t->ev);
	memset(t, 0xee, sizeof *t);
	free(t);
	freed++;
}

static void
thing_end(struct thing *t)
{
	if (t->buried++ == 0)
		loop_bury(t->loop, &t->grave, thing_free, t);
}

static void
thing_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct thing *t = arg;

	(void)fd;
	(void)what;
	thing_end(t);
	thing_end(t->other);
	assert_int_equal(freed, 0);
}

static void
test_loop_frees_after_the_pass(void **state)
{
	struct loop *loop = loop_new();
	struct thing *t[8];
	int i;

	(void)state;
	assert_non_null(loop);
	freed = 0;
	for (i = 0; i < 8; i++) {
		t[i] = calloc(1, sizeof *t[i]);
		t[i]->loop = loop;
		t[i]->ev = event_new(loop_base(loop), -1, 0, thing_on_event, t[i]);
	}
	for (i = 0; i < 8; i++) {
		t[i]->other = t[(i + 1) % 8];
		event_active(t[i]->ev, EV_TIMEOUT, 0);
	}
	loop_once(loop, 1);
	assert_int_equal(freed, 8);
	loop_free(loop);
}

static void
pass_stop(void *arg)
{
	loop_stop(arg);
}

static void
test_loop_stop_before_a_pass_ends_it(void **state)
{
	struct loop *loop = loop_new();

	(void)state;
	loop_run(loop, pass_stop, loop);
	loop_free(loop);
}

static void
test_loop_free_buries_what_is_left(void **state)
{
	struct loop *loop = loop_new();
	struct thing *t = calloc(1, sizeof *t);

	(void)state;
	freed = 0;
	t->loop = loop;
	t->ev = event_new(loop_base(loop), -1, 0, thing_on_event, t);
	thing_end(t);
	loop_free(loop);
	assert_int_equal(freed, 1);
}

static void
timer_never(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	fail();
}

static void
timer_count(int64_t in_us, uint64_t code, void *arg)
{
	unsigned *n = arg;

	assert_int_equal(code, (uint64_t)(uintptr_t)timer_never);
	assert_true(in_us > 50 * INT64_C(1000000) && in_us <= 60 * INT64_C(1001000));
	(*n)++;
}

static void
test_loop_timers_are_told(void **state)
{
	struct loop *loop = loop_new();
	struct event *on = evtimer_new(loop_base(loop), timer_never, NULL);
	struct event *off = evtimer_new(loop_base(loop), timer_never, NULL);
	const struct timeval tv = {60, 0};
	unsigned n = 0;

	(void)state;
	assert_int_equal(evtimer_add(on, &tv), 0);
	loop_each_timer(loop, timer_count, &n);
	assert_int_equal(n, 1);
	event_free(on);
	event_free(off);
	loop_free(loop);
}

/* --- our own ------------------------------------------------------------------- */

struct ring {
	struct loop *loop;
	struct loop_timer t[4];
	char order[8];
	size_t n;
};

static void
ring_note(struct ring *r, char c)
{
	assert_true(r->n < sizeof r->order - 1);
	r->order[r->n++] = c;
}

static void
ring_on_a(void *arg)
{
	struct ring *r = arg;

	ring_note(r, 'a');
	loop_timer_stop(r->loop, &r->t[2]); /* due in the same pass, perhaps */
	if (r->n > 1)
		loop_timer_set(r->loop, &r->t[3], 0);
}

static void
ring_on_b(void *arg)
{
	struct ring *r = arg;

	ring_note(r, 'b');
	loop_timer_set(r->loop, &r->t[0], 0);
}

static void
ring_on_c(void *arg)
{
	ring_note(arg, 'c');
}

static void
ring_on_d(void *arg)
{
	struct ring *r = arg;

	ring_note(r, 'd');
	loop_stop(r->loop);
}

/* In the order of their times, however they were set; stopped and set again. */
static void
test_loop_timer_order(void **state)
{
	struct ring r = {.loop = loop_new()};
	unsigned n = 0;

	(void)state;
	loop_timer_init(&r.t[0], ring_on_a, &r);
	loop_timer_init(&r.t[1], ring_on_b, &r);
	loop_timer_init(&r.t[2], ring_on_c, &r);
	loop_timer_init(&r.t[3], ring_on_d, &r);
	loop_timer_stop(r.loop, &r.t[0]); /* not on: nothing */
	loop_timer_set(r.loop, &r.t[3], 60 * UINT64_C(1000000));
	loop_timer_set(r.loop, &r.t[1], 60 * UINT64_C(1000000));
	loop_timer_set(
	    r.loop, &r.t[0], 0); /* before c, however long we stand still here */
	loop_timer_set(r.loop, &r.t[2], 1000);
	loop_timer_set(r.loop, &r.t[1], 2000); /* earlier than before */
	loop_run(r.loop, NULL, NULL);
	assert_string_equal(r.order, "abad");
	loop_timer_init(&r.t[0], (void (*)(void *))(uintptr_t)timer_never, &r);
	loop_timer_set(r.loop, &r.t[0], 60 * UINT64_C(1000000));
	loop_each_timer(r.loop, timer_count, &n);
	assert_int_equal(n, 1);
	loop_timer_stop(r.loop, &r.t[0]);
	loop_free(r.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loop_frees_after_the_pass),
	    cmocka_unit_test(test_loop_stop_before_a_pass_ends_it),
	    cmocka_unit_test(test_loop_free_buries_what_is_left),
	    cmocka_unit_test(test_loop_timers_are_told),
	    cmocka_unit_test(test_loop_timer_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

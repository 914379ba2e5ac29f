/*
 * worker/outbox: the pod's end, and a long queue.
 */
#include "outbox_helper.h"

static unsigned drained, asked;
static bool lives_on;

static bool
still(void *arg)
{
	assert_ptr_equal(arg, &drained);
	asked++;
	return !lives_on;
}

static void
on_drained(void *arg)
{
	assert_ptr_equal(arg, &drained);
	drained++;
}

static void
test_outbox_drain_when_empty(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	assert_int_equal(drained, 0); /* from the loop */
	passes();
	assert_int_equal(drained, 1);
	passes();
	assert_int_equal(drained, 1);
}

static void
test_outbox_drain_waits_for_the_last(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "1");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	add("a", "", "2");
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	passes();
	end_of(&ttrpc, "1", 0); /* no delay is waited out any more */
	assert_int_equal(drained, 0);
	end_of(&ttrpc, "2", 0);
	assert_int_equal(drained, 1);
	assert_false(event_pending(ob->drain_ev, EV_TIMEOUT, NULL));
}

/* Empty, and before the loop comes to say so, not empty any more. */
static void
test_outbox_drain_of_a_late_event(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	add("a", "", "late");
	assert_int_equal(drained, 0);
	assert_int_equal(pending(), 1);
	end(&ttrpc, flying(&ttrpc), 0);
	assert_int_equal(drained, 1);
}

/* While the pod lives a container's own events take the binary; its end does not wait for one. */
static void
test_outbox_end_is_quick(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "exit");
	add("a", "", "delete");
	assert_int_equal(publish.n, 1);
	outbox_at_end(ob, true);
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	end_of(&publish, "exit", 0);
	assert_int_equal(publish.n, 1);
	end_of(&ttrpc, "delete", 0);
	assert_int_equal(drained, 1);
	outbox_at_end(ob, false);
	add("b", "", "create");
	end_of(&publish, "create", 0);
}

static void
test_outbox_drain_times_out(void **state)
{
	struct sent *late;

	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "1");
	add("a", "", "2");
	add("b", "", "3");
	late = &ttrpc.sent[0];
	outbox_drain(ob, 1, still, on_drained, &drained);
	while (!ob->drain_over)
		loop_once(loop, 0);
	assert_int_equal(drained, 0); /* two are on their way */
	assert_int_equal(pending(), 3);
	event_active(ob->drain_ev, EV_TIMEOUT, 0);
	while (drained == 0)
		loop_once(loop, 0);
	assert_int_equal(pending(), 0);
	assert_int_equal(timer_in(), -1);
	/* life may go on: what comes now does not overtake what is on its way */
	add("b", "", "4");
	expect_bodies(&ttrpc, "1 3");
	end(&ttrpc, late, 0);
	end_of(&ttrpc, "3", -EHOSTDOWN); /* and that is not sent again */
	later(60);
	expect_bodies(&ttrpc, "1 3 4");
	end_of(&ttrpc, "4", 0);
	add("a", "", "5");
	end_of(&ttrpc, "5", 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(drained, 1);
}

/* A publish binary that a busy machine keeps waiting: what is behind it is not lost for that. */
static void
test_outbox_drain_waits_for_what_is_on_its_way(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "exit");
	add("a", "", "delete");
	outbox_at_end(ob, true);
	outbox_drain(ob, 1, still, on_drained, &drained);
	while (!ob->drain_over)
		loop_once(loop, 0);
	end_of(&publish, "exit", 0);
	assert_int_equal(drained, 0);
	end_of(&ttrpc, "delete", 0);
	assert_int_equal(drained, 1);
	assert_true(outbox_empty(ob));
}

/* And one that fails is the end of it: the time was up. */
static void
test_outbox_drain_ends_with_what_is_on_its_way(void **state)
{
	(void)state;
	drained = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "1");
	add("a", "", "2");
	outbox_drain(ob, 1, still, on_drained, &drained);
	while (!ob->drain_over)
		loop_once(loop, 0);
	end_of(&ttrpc, "1", -EHOSTDOWN);
	assert_int_equal(drained, 1);
	assert_int_equal(pending(), 0);
	assert_false(event_pending(ob->drain_ev, EV_TIMEOUT, NULL));
}

/* Another container has joined when the time is up: the pod needs all of it. */
static void
test_outbox_drain_of_a_pod_that_lives_on(void **state)
{
	(void)state;
	drained = asked = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "delete");
	add("a", "", "later");
	lives_on = true;
	outbox_drain(ob, 1, still, on_drained, &drained);
	add("b", "", "create");
	while (!ob->drain_over)
		loop_once(loop, 0);
	event_active(ob->drain_ev, EV_TIMEOUT, 0);
	while (asked == 0 && drained == 0)
		loop_once(loop, 0);
	lives_on = false;
	assert_int_equal(drained, 0);
	assert_int_equal(pending(), 3);
	expect_bodies(&ttrpc, "delete create"); /* "later" has not overtaken */
	end_of(&ttrpc, "create", 0);
	end_of(&ttrpc, "delete", 0);
	end_of(&ttrpc, "later", 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(drained, 0);
	assert_int_equal(asked, 1);
}

static void
test_outbox_drain_stops(void **state)
{
	(void)state;
	drained = asked = 0;
	make_outbox(TRANSPORT_TTRPC, false, true);
	outbox_drain_stop(ob); /* there is none */
	add("a", "", "delete");
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	outbox_drain_stop(ob);
	assert_false(event_pending(ob->drain_ev, EV_TIMEOUT, NULL));
	end_of(&ttrpc, "delete", 0);
	/* also one that is about to end */
	outbox_drain(ob, 1000 * US_PER_S, still, on_drained, &drained);
	outbox_drain_stop(ob);
	passes();
	assert_int_equal(drained, 0);
	assert_int_equal(asked, 0);
}

/* Thousands of events behind a dead containerd: order, and little memory. */
static void
test_outbox_long_queue(void **state)
{
	unsigned i, done = 0;
	char body[8];

	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	store_begin(st);
	for (i = 0; i < 5000; i++) {
		(void)snprintf(body, sizeof body, "%u", i);
		outbox_add(
		    ob, i % 3 == 0 ? "a" : "b", "", "/tasks/x", "t", body, strlen(body));
	}
	commit_ok(st);
	outbox_kick(ob);
	passes();
	assert_int_equal(HASH_COUNT(ob->lanes), 2);
	while (ttrpc.under_way > 0) {
		struct sent *s =
		    ttrpc.sent[0].cb != NULL ? &ttrpc.sent[0] : &ttrpc.sent[1];
		static int last[2];
		int which = (int)(strtol(s->body, NULL, 10) % 3 != 0);

		if (done == 0)
			last[0] = last[1] = -1;
		assert_true(strtol(s->body, NULL, 10) > last[which]);
		last[which] = (int)strtol(s->body, NULL, 10);
		done++;
		ttrpc.n = (unsigned)(s - ttrpc.sent); /* its place is taken by the next */
		if (s == &ttrpc.sent[0] && ttrpc.sent[1].cb != NULL)
			ttrpc.n = 0;
		{
			transport_cb cb = s->cb;

			s->cb = NULL;
			ttrpc.under_way--;
			cb(0, s->arg);
		}
		if (ttrpc.n < 2)
			ttrpc.n = 2;
	}
	assert_int_equal(done, 5000);
	assert_true(outbox_empty(ob));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_outbox_drain_when_empty),
	    SCENE(test_outbox_drain_waits_for_the_last),
	    SCENE(test_outbox_drain_of_a_late_event),
	    SCENE(test_outbox_end_is_quick),
	    SCENE(test_outbox_drain_times_out),
	    SCENE(test_outbox_drain_waits_for_what_is_on_its_way),
	    SCENE(test_outbox_drain_ends_with_what_is_on_its_way),
	    SCENE(test_outbox_drain_of_a_pod_that_lives_on),
	    SCENE(test_outbox_drain_stops),
	    SCENE(test_outbox_long_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

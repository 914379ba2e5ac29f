/*
 * worker/outbox: order per container, one in flight, ways and detours,
 * back-off, what is dropped.
 */
#include "outbox_helper.h"

/* --- tests ------------------------------------------------------------------------------ */

static void
test_outbox_order_and_one_in_flight(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	assert_true(outbox_empty(ob));
	add("a", "", "a1");
	add("a", "", "a2");
	add("b", "", "b1");
	add("a", "", "a3");
	add("b", "", "b2");
	assert_false(outbox_empty(ob));
	expect_bodies(&ttrpc, "a1 b1");
	end_of(&ttrpc, "b1", 0);
	expect_bodies(&ttrpc, "a1 b1 b2");
	end_of(&ttrpc, "a1", 0);
	end_of(&ttrpc, "b2", 0);
	end_of(&ttrpc, "a2", 0);
	expect_bodies(&ttrpc, "a1 b1 b2 a2 a3");
	end_of(&ttrpc, "a3", 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(pending(), 0);
	assert_int_equal(timer_in(), -1);
	assert_null(ob->lanes);
}

static void
test_outbox_limits_per_transport(void **state)
{
	char name[8];
	unsigned i;

	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	for (i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof name, "c%u", i);
		add(name, "", name);
		add(name, "x", name);
	}
	assert_int_equal(publish.under_way, 1);
	assert_int_equal(ttrpc.under_way, 0); /* behind each container's first */
	while (publish.under_way + ttrpc.under_way > 0) {
		if (publish.under_way > 0)
			end(&publish, flying(&publish), 0);
		for (i = 0; i < ttrpc.n && ttrpc.under_way >= 4; i++) {
			if (ttrpc.sent[i].cb != NULL)
				end(&ttrpc, &ttrpc.sent[i], 0);
		}
		if (publish.under_way == 0 && ttrpc.under_way > 0) {
			for (i = 0; ttrpc.sent[i].cb == NULL; i++)
				;
			end(&ttrpc, &ttrpc.sent[i], 0);
		}
	}
	assert_int_equal(publish.n, 10);
	assert_int_equal(ttrpc.n, 10);
	assert_int_equal(publish.most, 1);
	assert_int_equal(ttrpc.most, 4);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_auto_splits_and_keeps_order(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "create");
	add("a", "e", "added");
	add("a", "e", "started");
	add("a", "", "exit");
	expect_bodies(&publish, "create");
	expect_bodies(&ttrpc, "");
	end(&publish, flying(&publish), 0);
	expect_bodies(&ttrpc, "added");
	end(&ttrpc, flying(&ttrpc), 0);
	expect_bodies(&publish, "create");
	end(&ttrpc, flying(&ttrpc), 0);
	expect_bodies(&ttrpc, "added started");
	expect_bodies(&publish, "create exit");
	end(&publish, flying(&publish), 0);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_named_transport_has_no_detour(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_PUBLISH_BINARY, true, true);
	add("a", "e", "1");
	end(&publish, flying(&publish), -EHOSTDOWN);
	assert_int_equal(ttrpc.n, 0);
	assert_int_equal(timer_in(), 1);
	outbox_free(ob);
	loop_once(loop, 1);
	/* but stands in where there is no other */
	make_outbox(TRANSPORT_PUBLISH_BINARY, false, true);
	outbox_resume(ob);
	passes();
	expect_bodies(&ttrpc, "1");
	end(&ttrpc, flying(&ttrpc), 0);
}

static void
test_outbox_falls_back_at_once(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "1");
	add("a", "", "2");
	end(&publish, flying(&publish), -EHOSTDOWN);
	expect_bodies(&ttrpc, "1");
	assert_int_equal(publish.under_way, 0);
	end(&ttrpc, flying(&ttrpc), 0);
	/* while the one rests, the other carries on */
	expect_bodies(&ttrpc, "1 2");
	expect_bodies(&publish, "1");
	end(&ttrpc, flying(&ttrpc), 0);
	assert_int_equal(timer_in(), -1);
	/* and when it has rested, it is tried again */
	later(1);
	add("a", "", "3");
	expect_bodies(&publish, "1 3");
	end(&publish, flying(&publish), 0);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_back_off_grows_to_30s_and_resets(void **state)
{
	static const int delays[] = {1, 2, 4, 8, 16, 30, 30};
	unsigned i;

	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "1");
	for (i = 0; i < ARRAY_LEN(delays); i++) {
		end(&publish, flying(&publish), -EHOSTDOWN);
		end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
		assert_int_equal(publish.under_way + ttrpc.under_way, 0);
		assert_int_equal(timer_in(), delays[i]);
		later((unsigned)delays[i]);
	}
	end(&publish, flying(&publish), 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(timer_in(), -1);
	add("a", "", "2");
	end(&publish, flying(&publish), -EHOSTDOWN);
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	assert_int_equal(timer_in(), 1);
}

/* With containerd gone, many containers make one probe at a time. */
static void
test_outbox_one_probe_for_all(void **state)
{
	char name[8];
	unsigned i;

	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	for (i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof name, "c%u", i);
		add(name, "", name);
	}
	assert_int_equal(ttrpc.under_way, 4);
	for (i = 0; i < 4; i++)
		end(&ttrpc, &ttrpc.sent[i], -EHOSTDOWN);
	assert_int_equal(ttrpc.under_way, 0);
	assert_int_equal(timer_in(), 1); /* four failed together: that counts as one */
	later(1);
	assert_int_equal(ttrpc.under_way, 1);
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	assert_int_equal(ttrpc.under_way, 0);
	assert_int_equal(timer_in(), 2);
	later(2);
	end(&ttrpc, flying(&ttrpc), 0);
	assert_int_equal(ttrpc.under_way, 4);
}

/* A probe may take a minute: those who do not make it go the other way. */
static void
test_outbox_slow_probe_holds_nobody_else(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "a1");
	end(&publish, flying(&publish), -EHOSTDOWN);
	end(&ttrpc, flying(&ttrpc), 0);
	later(1);
	add("a", "", "a2"); /* the probe */
	add("b", "", "b1");
	add("a", "", "a3");
	expect_bodies(&publish, "a1 a2");
	expect_bodies(&ttrpc, "a1 b1");
	assert_int_equal(timer_in(), -1); /* and nobody looks in vain */
	end_of(&ttrpc, "b1", -EHOSTDOWN);
	assert_int_equal(timer_in(), 1);
	later(1);
	end_of(&ttrpc, "b1", 0);
	end_of(&publish, "a2", 0);
	/* it works again: no detours any more */
	add("b", "", "b2");
	assert_int_equal(ttrpc.under_way, 0);
	end_of(&publish, "a3", 0);
	end_of(&publish, "b2", 0);
	assert_true(outbox_empty(ob));
}

/* An event that containerd refuses delays its own container alone. */
static void
test_outbox_refused_event_rests_alone(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "a1");
	add("b", "", "b1");
	end_of(&publish, "a1", -EIO);
	expect_bodies(&ttrpc, "a1"); /* the other way, at once */
	end_of(&ttrpc, "a1", -EIO);
	assert_int_equal(timer_in(), 1);
	end_of(&publish, "b1", 0);
	add("b", "", "b2");
	end_of(&publish, "b2", 0);
	add("a", "", "a2"); /* must not overtake */
	expect_bodies(&publish, "a1 b1 b2");
	later(1);
	end_of(&publish, "a1", -EIO);
	end_of(&ttrpc, "a1", -EIO);
	assert_int_equal(timer_in(), 2);
	later(2);
	end_of(&publish, "a1", 0);
	end_of(&publish, "a2", 0);
	assert_true(outbox_empty(ob));
}

/* One way refuses it, the other is down for good: its round ends all the same. */
static void
test_outbox_refused_event_is_offered_again(void **state)
{
	static const unsigned delays[] = {1, 2, 4, 8, 16, 30, 30};
	unsigned i;

	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "a1");
	for (i = 0; i < ARRAY_LEN(delays); i++) {
		end(&publish, flying(&publish), -EIO);
		end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
		assert_int_equal(publish.under_way + ttrpc.under_way, 0);
		assert_int_equal(timer_in(), (int)delays[i]);
		later(delays[i]);
	}
	end(&publish, flying(&publish), 0);
	assert_true(outbox_empty(ob));
}

/* Also while the other way rests: nobody waits for its next probe. */
static void
test_outbox_refused_event_does_not_wait_for_a_resting_way(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("b", "e", "b1");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	end_of(&publish, "b1", 0);
	later(1);
	add("b", "e", "b2");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	end_of(&publish, "b2", 0); /* from here ttrpc rests for 2 s */
	add("a", "", "a1");
	end_of(&publish, "a1", -EIO);
	assert_int_equal(ttrpc.under_way, 0);
	assert_int_equal(timer_in(), 1);
	later(1);
	end_of(&publish, "a1", -EIO);
	later(2);
	end_of(&publish, "a1", -EIO);
	end_of(&ttrpc, "a1", 0); /* it has rested, and works again */
	assert_true(outbox_empty(ob));
}

static void
test_outbox_rejected_event_is_dropped(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "bad");
	add("a", "", "good");
	end_of(&publish, "bad", -EINVAL);
	assert_int_equal(ttrpc.n, 0);
	end_of(&publish, "good", 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(pending(), 0);
}

static void
test_outbox_retry_now(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	outbox_retry_now(ob);
	add("a", "", "1");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	assert_int_equal(ttrpc.under_way, 0);
	outbox_retry_now(ob);
	passes();
	end(&ttrpc, flying(&ttrpc), -EIO);
	assert_int_equal(ttrpc.under_way, 0);
	outbox_retry_now(ob);
	passes();
	end(&ttrpc, flying(&ttrpc), 0);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_without_any_way_keeps_events(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, false, false);
	add("a", "", "1");
	assert_false(outbox_empty(ob));
	assert_int_equal(timer_in(), -1);
	assert_int_equal(pending(), 1);
}

static void
test_outbox_rolled_back_events_never_were(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	store_begin(st);
	outbox_add(ob, "a", "", "/tasks/x", "t", "no", 2);
	store_rollback(st);
	outbox_kick(ob);
	passes();
	assert_int_equal(ttrpc.n, 0);
	assert_true(outbox_empty(ob));
	add("a", "", "yes");
	expect_bodies(&ttrpc, "yes");
	end(&ttrpc, flying(&ttrpc), 0);
}

/* The store drops execs at its cap: also what is next, or on its way. */
static void
test_outbox_event_dropped_by_the_store(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "a1");
	add("a", "e", "a2");
	add("a", "", "a3");
	add("b", "e", "b1");
	/* as if dropped: a2, which is next, and b1, which is under way */
	store_event_done(st, 2, "dropped");
	store_event_done(st, 4, "dropped");
	end_of(&ttrpc, "a1", 0);
	end_of(&ttrpc, "b1", -EHOSTDOWN);
	end_of(&ttrpc, "a3", 0);
	later(1);
	assert_int_equal(ttrpc.under_way, 0);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_event_dropped_while_it_waits(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "e", "a1");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	add("b", "", "b1");
	add("a", "", "a2");
	store_event_done(st, 1, "dropped");
	later(1);
	end(&ttrpc, flying(&ttrpc), 0); /* the probe */
	end(&ttrpc, flying(&ttrpc), 0);
	expect_bodies(&ttrpc, "a1 b1 a2");
	assert_true(outbox_empty(ob));
	assert_int_equal(pending(), 0);
}

static int
fail_read(void *arg)
{
	++*(unsigned *)arg;
	return 1;
}

/* The store cannot be read for a while: asked once a second, and then all goes on. */
static void
test_outbox_store_cannot_be_read(void **state)
{
	unsigned reads = 0;

	(void)state;
	make_outbox(TRANSPORT_TTRPC, false, true);
	add("a", "", "a1");
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	sqlite3_progress_handler(st->db, 1, fail_read, &reads);
	later(1);
	assert_int_equal(reads, 1);
	assert_int_equal(timer_in(), 1);
	later(1);
	assert_in_range(reads, 2, 3);
	assert_int_equal(timer_in(), 1);
	sqlite3_progress_handler(st->db, 0, NULL, NULL);
	later(1);
	end(&ttrpc, flying(&ttrpc), 0);
	expect_bodies(&ttrpc, "a1 a1");
	assert_true(outbox_empty(ob));
}

static void
test_outbox_after_a_restart(void **state)
{
	(void)state;
	make_outbox(TRANSPORT_AUTO, true, true);
	add("a", "", "a1");
	add("a", "", "a2");
	add("b", "e", "b1");
	assert_int_equal(publish.under_way, 1);
	outbox_free(ob); /* what was under way calls nobody back */
	assert_true(publish.freed && ttrpc.freed);
	loop_once(loop, 1);
	make_outbox(TRANSPORT_AUTO, true, true);
	publish.surviving = 1;
	outbox_resume(ob);
	passes();
	assert_true(publish.resume_ended);
	expect_bodies(&publish, "again"); /* attached, not sent */
	expect_bodies(&ttrpc, "b1");
	end(&publish, flying(&publish), 0);
	expect_bodies(&publish, "again a2");
	end(&publish, flying(&publish), 0);
	end(&ttrpc, flying(&ttrpc), 0);
	assert_true(outbox_empty(ob));
}

static void
test_outbox_publish_words(void **state)
{
	static const char *const rejected[] = {
	    "containerd: envelope topic \"tasks/oom\": must start with '/': invalid "
	    "argument",
	    "ctr: rpc error: code = InvalidArgument desc = x",
	};
	static const char *const other[] = {
	    "",
	    "containerd: failed to dial \"/s\": context deadline exceeded",
	    "containerd: failed to dial \"/s\": dial unix /s: connect: invalid argument",
	    "containerd: failed publishing event: x: failed precondition",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rejected); i++)
		assert_true(outbox_publish_is_rejection(rejected[i]));
	for (i = 0; i < ARRAY_LEN(other); i++)
		assert_false(outbox_publish_is_rejection(other[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_outbox_order_and_one_in_flight),
	    SCENE(test_outbox_limits_per_transport),
	    SCENE(test_outbox_auto_splits_and_keeps_order),
	    SCENE(test_outbox_named_transport_has_no_detour),
	    SCENE(test_outbox_falls_back_at_once),
	    SCENE(test_outbox_back_off_grows_to_30s_and_resets),
	    SCENE(test_outbox_one_probe_for_all),
	    SCENE(test_outbox_slow_probe_holds_nobody_else),
	    SCENE(test_outbox_refused_event_rests_alone),
	    SCENE(test_outbox_refused_event_is_offered_again),
	    SCENE(test_outbox_refused_event_does_not_wait_for_a_resting_way),
	    SCENE(test_outbox_rejected_event_is_dropped),
	    SCENE(test_outbox_retry_now),
	    SCENE(test_outbox_without_any_way_keeps_events),
	    SCENE(test_outbox_rolled_back_events_never_were),
	    SCENE(test_outbox_event_dropped_by_the_store),
	    SCENE(test_outbox_event_dropped_while_it_waits),
	    SCENE(test_outbox_store_cannot_be_read),
	    SCENE(test_outbox_after_a_restart),
	    cmocka_unit_test(test_outbox_publish_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

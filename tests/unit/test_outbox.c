/*
 * worker/outbox: order per container, one in flight, ways and detours,
 * back-off, drops, the end; with a real store and transports that the test
 * plays. The module is included, so that its timer can be looked at and fired.
 */
#include "../../daemon/worker/outbox.c" /* NOLINT: see above */

#include "store_helper.h"

/* --- a transport that the test plays --------------------------------------------- */

struct sent {
	uint64_t seq;
	char body[16];
	transport_cb cb; /* NULL: ended */
	void *arg;
};

struct fake {
	struct transport tr; /* first */
	struct sent sent[256];
	unsigned n;
	unsigned under_way, most;
	uint64_t surviving; /* what resume knows; 0: nothing */
	bool resume_ended, freed;
};

static void
fake_send(struct transport *tr, const struct outbox_event *ev, transport_cb cb, void *arg)
{
	struct fake *f = (struct fake *)tr;
	struct sent *s = &f->sent[f->n++];

	assert_true(f->n < 256);
	s->seq = ev->seq;
	(void)snprintf(s->body, sizeof s->body, "%.*s", (int)ev->len, (const char *)ev->body);
	assert_true(ev->t_ns > 0);
	assert_memory_equal(ev->topic, "/tasks/", 7);
	s->cb = cb;
	s->arg = arg;
	if (++f->under_way > f->most)
		f->most = f->under_way;
	assert_true(f->under_way <= f->tr.max_in_flight);
}

static bool
fake_resume(struct transport *tr, uint64_t seq, transport_cb cb, void *arg)
{
	struct fake *f = (struct fake *)tr;
	const struct outbox_event ev = {.seq = seq, .topic = "/tasks/", .body = "again", .len = 5,
		.t_ns = 1};

	if (seq != f->surviving)
		return false;
	fake_send(tr, &ev, cb, arg);
	return true;
}

static void
fake_resume_end(struct transport *tr)
{
	((struct fake *)tr)->resume_ended = true;
}

static void
fake_free(struct transport *tr)
{
	((struct fake *)tr)->freed = true;
}

/* --- the scene ------------------------------------------------------------------------ */

static struct fake publish, ttrpc;
static struct loop *loop;
static struct store *st;
static struct outbox *ob;
static const char *dir;
static boot_us_t now;

static void
fake_init(struct fake *f, const char *name, unsigned most)
{
	*f = (struct fake){.tr = {.name = name, .max_in_flight = most, .send = fake_send,
				.resume = fake_resume, .resume_end = fake_resume_end, .free = fake_free}};
}

static void
make_outbox(enum conf_transport how, bool has_publish, bool has_ttrpc)
{
	const struct conf conf = {.events_transport = how};

	fake_init(&publish, "publish-binary", 1);
	fake_init(&ttrpc, "ttrpc", 4);
	ob = outbox_new_with(loop, st, &conf, has_publish ? &publish.tr : NULL,
	    has_ttrpc ? &ttrpc.tr : NULL);
}

static int
setup(void **state)
{
	if (dir_setup(state) != 0)
		return -1;
	dir = *state;
	loop = loop_new();
	st = open_expect(dir, STORE_CREATED);
	now = 1000 * US_PER_S;
	clock_set_for_test(now);
	return loop == NULL || st == NULL;
}

static int
teardown(void **state)
{
	outbox_free(ob);
	ob = NULL;
	loop_once(loop, 1);
	store_close(st);
	loop_free(loop);
	clock_set_for_test(0);
	return dir_teardown(state);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
passes(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		loop_once(loop, 1);
}

/* One event, committed. Its body names it. */
static void
add(const char *container, const char *exec_id, const char *body)
{
	store_begin(st);
	outbox_add(ob, container, exec_id, "/tasks/x", "containerd.events.X", body, strlen(body));
	commit_ok(st);
	outbox_kick(ob);
	passes();
}

/* The only one under way; fails if there are none or several. */
static struct sent *
flying(struct fake *f)
{
	struct sent *found = NULL;
	unsigned i;

	for (i = 0; i < f->n; i++) {
		if (f->sent[i].cb == NULL)
			continue;
		assert_null(found);
		found = &f->sent[i];
	}
	assert_non_null(found);
	return found;
}

static void
end(struct fake *f, struct sent *s, int rc)
{
	transport_cb cb = s->cb;

	assert_non_null(cb);
	s->cb = NULL;
	f->under_way--;
	cb(rc, s->arg);
	passes();
}

static void
end_of(struct fake *f, const char *body, int rc)
{
	unsigned i;

	for (i = 0; i < f->n; i++) {
		if (f->sent[i].cb != NULL && strcmp(f->sent[i].body, body) == 0) {
			end(f, &f->sent[i], rc);
			return;
		}
	}
	fail_msg("%s is not under way", body);
}

static void
expect_bodies(const struct fake *f, const char *want)
{
	char got[1024] = "";
	size_t len = 0;
	unsigned i;

	for (i = 0; i < f->n; i++)
		len += (size_t)snprintf(got + len, sizeof got - len, "%s%s", i ? " " : "",
		    f->sent[i].body);
	assert_string_equal(got, want);
}

static uint64_t
pending(void)
{
	struct store_counts counts;

	assert_int_equal(store_count(st, &counts, NULL), 0);
	return counts.events_pending;
}

/* Seconds until the timer; -1: none is set. */
static int
timer_in(void)
{
	struct timeval tv, t0;

	if (!event_pending(ob->timer, EV_TIMEOUT, &tv))
		return -1;
	(void)event_base_gettimeofday_cached(loop_base(loop), &t0);
	return (int)(((double)(tv.tv_sec - t0.tv_sec) * 1e6 + (double)(tv.tv_usec - t0.tv_usec)) / 1e6 +
	    0.5);
}

/* Let time pass; the timer fires if it is due. */
static void
later(unsigned s)
{
	int in = timer_in();

	now += s * US_PER_S;
	clock_set_for_test(now);
	if (in >= 0 && in <= (int)s)
		event_active(ob->timer, EV_TIMEOUT, 0);
	passes();
}

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

static unsigned drained;

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
	outbox_drain(ob, 1000 * US_PER_S, on_drained, &drained);
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
	outbox_drain(ob, 1000 * US_PER_S, on_drained, &drained);
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
	outbox_drain(ob, 1000 * US_PER_S, on_drained, &drained);
	add("a", "", "late");
	assert_int_equal(drained, 0);
	assert_int_equal(pending(), 1);
	end(&ttrpc, flying(&ttrpc), 0);
	assert_int_equal(drained, 1);
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
	outbox_drain(ob, 1, on_drained, &drained);
	while (drained == 0)
		loop_once(loop, 0);
	assert_true(outbox_empty(ob));
	assert_int_equal(pending(), 0);
	assert_int_equal(timer_in(), -1);
	end(&ttrpc, late, 0); /* too late: nobody's any more */
	assert_int_equal(drained, 1);
	/* life may go on */
	end(&ttrpc, flying(&ttrpc), -EHOSTDOWN);
	later(60);
	add("a", "", "4");
	end_of(&ttrpc, "4", 0);
	assert_true(outbox_empty(ob));
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
		outbox_add(ob, i % 3 == 0 ? "a" : "b", "", "/tasks/x", "t", body, strlen(body));
	}
	commit_ok(st);
	outbox_kick(ob);
	passes();
	assert_int_equal(HASH_COUNT(ob->lanes), 2);
	while (ttrpc.under_way > 0) {
		struct sent *s = ttrpc.sent[0].cb != NULL ? &ttrpc.sent[0] : &ttrpc.sent[1];
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

static void
test_outbox_publish_words(void **state)
{
	static const char *const rejected[] = {
		"containerd: envelope topic \"tasks/oom\": must start with '/': invalid argument",
		"ctr: rpc error: code = InvalidArgument desc = x",
	};
	static const char *const other[] = {
		"", "containerd: failed to dial \"/s\": context deadline exceeded",
		"containerd: failed to dial \"/s\": dial unix /s: connect: invalid argument",
		"containerd: failed publishing event: namespace is required: failed precondition",
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
		SCENE(test_outbox_refused_event_rests_alone),
		SCENE(test_outbox_rejected_event_is_dropped),
		SCENE(test_outbox_retry_now),
		SCENE(test_outbox_without_any_way_keeps_events),
		SCENE(test_outbox_rolled_back_events_never_were),
		SCENE(test_outbox_event_dropped_by_the_store),
		SCENE(test_outbox_event_dropped_while_it_waits),
		SCENE(test_outbox_after_a_restart),
		SCENE(test_outbox_drain_when_empty),
		SCENE(test_outbox_drain_waits_for_the_last),
		SCENE(test_outbox_drain_of_a_late_event),
		SCENE(test_outbox_drain_times_out),
		SCENE(test_outbox_long_queue),
		cmocka_unit_test(test_outbox_publish_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

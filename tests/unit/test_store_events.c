/*
 * state/: events come out in order, once, and the cap drops whole execs only.
 */
#include "store_helper.h"

#include "base/clock.h"

struct seen {
	unsigned n;
	unsigned stop_at;
	uint64_t seq[4096];
	char exec[4096][16];
	unsigned attempts;
};

static bool
on_event(const struct row_event *row, void *arg)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_LEN(seen->seq));
	seen->seq[seen->n] = row->seq;
	(void)snprintf(seen->exec[seen->n], sizeof seen->exec[0], "%s", row->exec_id);
	seen->attempts = row->attempts;
	seen->n++;
	return seen->n != seen->stop_at;
}

static struct seen *
events(struct store *st, uint64_t after, unsigned stop_at)
{
	static struct seen seen;

	memset(&seen, 0, sizeof seen);
	seen.stop_at = stop_at;
	assert_int_equal(store_each_event(st, after, on_event, &seen, NULL), 0);
	return &seen;
}

static uint64_t
add(struct store *st, const char *exec_id, size_t len, enum event_class class)
{
	static char body[256 * 1024];
	struct row_event row = {.container = "c1",
	    .exec_id = exec_id,
	    .topic = "/tasks/x",
	    .type = "containerd.events.X",
	    .body = body,
	    .body_len = len,
	    .class = class,
	    .t = 7};

	assert_true(len <= sizeof body);
	return store_add_event(st, &row);
}

static bool
on_full_event(const struct row_event *row, void *arg)
{
	*(bool *)arg = true;
	assert_int_equal(row->seq, 1);
	assert_string_equal(row->container, "c1");
	assert_string_equal(row->exec_id, "e1");
	assert_string_equal(row->topic, "/tasks/exit");
	assert_string_equal(row->type, "containerd.events.TaskExit");
	assert_int_equal(row->body_len, 5);
	assert_memory_equal(row->body, "a\0b\0c", 5);
	assert_int_equal(row->class, EVENT_EXEC);
	assert_true(row->t == INT64_MAX);
	assert_int_equal(row->attempts, 0);
	return true;
}

static void
test_events_round_trip(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_event row = {.seq = 99,
	    .container = "c1",
	    .exec_id = "e1",
	    .topic = "/tasks/exit",
	    .type = "containerd.events.TaskExit",
	    .body = "a\0b\0c",
	    .body_len = 5,
	    .class = EVENT_EXEC,
	    .t = INT64_MAX,
	    .attempts = 4};
	bool called = false;

	assert_int_equal(store_add_event(st, &row), 1);
	assert_int_equal(store_each_event(st, 0, on_full_event, &called, NULL), 0);
	assert_true(called);
	store_close(st);
}

static void
test_events_come_in_order_and_survive_a_container(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct seen *seen;
	int i;

	store_begin(st);
	for (i = 1; i <= 5; i++)
		assert_int_equal(add(st, "", 10, EVENT_KEEP), i);
	commit_ok(st);
	store_delete_container(st, "c1");
	store_event_attempted(st, 5);
	store_event_attempted(st, 5);
	seen = events(st, 2, 0);
	assert_int_equal(seen->n, 3);
	assert_int_equal(seen->seq[0], 3);
	assert_int_equal(seen->seq[2], 5);
	assert_int_equal(seen->attempts, 2);
	assert_int_equal(events(st, 0, 2)->n, 2);
	store_close(st);
}

static void
on_sent(const struct row_sent *row, void *arg)
{
	unsigned *n = arg;

	++*n;
	if (row->seq != 2)
		return;
	assert_string_equal(row->container, "c1");
	assert_string_equal(row->topic, "/tasks/x");
	assert_string_equal(row->transport, "ttrpc");
	assert_int_equal(row->t, 7);
	assert_int_equal(row->attempts, 1);
	assert_true(row->sent_at > 0);
}

static void
test_events_done_go_to_the_ring(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct seen *seen;
	unsigned n = 0;
	int i;

	for (i = 0; i < 3; i++)
		(void)add(st, "", 10, EVENT_KEEP);
	store_event_attempted(st, 2);
	store_event_done(st, 2, "ttrpc");
	store_event_done(st, 2, "ttrpc"); /* again: harmless */
	store_event_done(st, 1000, "dropped");
	seen = events(st, 0, 0);
	assert_int_equal(seen->n, 2);
	assert_int_equal(seen->seq[1], 3);
	assert_int_equal(store_each_sent(st, 0, on_sent, &n, NULL), 0);
	assert_int_equal(n, 1);
	for (i = 0; i < STORE_SENT_ROWS * 2; i++)
		store_event_done(st, add(st, "", 1, EVENT_KEEP), "publish-binary");
	n = 0;
	assert_int_equal(store_each_sent(st, 0, on_sent, &n, NULL), 0);
	assert_int_equal(n, STORE_SENT_ROWS);
	store_close(st);
}

static void
test_events_numbers_never_repeat(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	uint64_t seq = add(st, "", 1, EVENT_KEEP);

	store_event_done(st, seq, "ttrpc");
	store_close(st);
	st = open_expect(*state, STORE_OPENED); /* its table is empty now */
	assert_int_equal(add(st, "", 1, EVENT_KEEP), seq + 1);
	store_begin(st);
	(void)add(st, "", 1, EVENT_KEEP);
	store_rollback(st);
	assert_int_equal(add(st, "", 1, EVENT_KEEP), seq + 3); /* a gap */
	store_close(st);
}

static void
test_events_done_in_the_backlog_are_not_shown(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);

	(void)add(st, "", 1, EVENT_KEEP);
	(void)add(st, "", 1, EVENT_KEEP);
	store_begin(st);
	store_event_done(st, 1, "ttrpc");
	assert_int_equal(events(st, 0, 0)->seq[0], 2);
	store_rollback(st);
	assert_int_equal(events(st, 0, 0)->seq[0], 1);
	store_close(st);
}

/* --- the cap -------------------------------------------------------------- */

static void
put_exec(struct store *st, const char *exec_id)
{
	struct row_process row = {
	    .container = "c1", .exec_id = exec_id, .state = TASK_RUNNING};

	store_put_process(st, &row);
}

/* Three events for each of n execs, and one that is kept now and then. */
static unsigned
fill(struct store *st, int n, size_t len)
{
	char id[16];
	unsigned kept = 0;
	int i;

	for (i = 0; i < n; i++) {
		(void)snprintf(id, sizeof id, "e%d", i);
		store_begin(st);
		put_exec(st, id);
		(void)add(st, id, len, EVENT_EXEC);
		(void)add(st, id, len, EVENT_EXEC);
		(void)add(st, id, len, EVENT_EXEC);
		if (i % 10 == 0) {
			(void)add(st, "", 10, EVENT_KEEP);
			kept++;
		}
		commit_ok(st);
	}
	return kept;
}

static void
test_events_cap_drops_whole_execs_oldest_first(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;
	struct seen *seen;
	unsigned i, execs = 0, keeps = 0, kept;
	int first = -1, e;

	kept = fill(st, 500, 1000);
	seen = events(st, 0, 0);
	for (i = 0; i < seen->n; i++) {
		if (seen->exec[i][0] == '\0') {
			keeps++;
			continue;
		}
		e = (int)strtol(seen->exec[i] + 1, NULL, 10);
		if (first == -1)
			first = e;
		assert_int_equal(e, first + (int)(execs / 3)); /* no hole, no half exec */
		execs++;
	}
	assert_int_equal(keeps, kept);
	assert_int_equal(execs % 3, 0);
	assert_int_equal(first + (int)(execs / 3), 500);
	assert_true(execs * 1000 <= STORE_EVENTS_MAX_BYTES);
	assert_true(execs * 1000 >= STORE_EVENTS_MAX_BYTES / 4 * 3);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.events_dropped, 500 * 3 - execs);
	assert_int_equal(n.events_pending, execs + keeps);
	store_close(st);
}

static unsigned
count_of(struct store *st, const char *exec_id)
{
	const struct seen *seen = events(st, 0, 0);
	unsigned i, n = 0;

	for (i = 0; i < seen->n; i++)
		n += strcmp(seen->exec[i], exec_id) == 0;
	return n;
}

/* An exec is as old as its first event, and its last one goes with that. */
static void
test_events_cap_drops_the_newest_of_the_oldest(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;

	(void)add(st, "old", 10, EVENT_EXEC);
	(void)fill(st, 300, 1000);
	(void)add(st, "old", 10, EVENT_EXEC);
	assert_int_equal(count_of(st, "old"), 2);
	assert_int_equal(count_of(st, "e0"), 3);
	(void)add(st, "new", 100000, EVENT_EXEC);
	assert_int_equal(count_of(st, "old"), 0);
	assert_int_equal(count_of(st, "e0"), 0);
	assert_int_equal(count_of(st, "e299"), 3);
	assert_int_equal(count_of(st, "new"), 1);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.events_dropped + n.events_pending, 300 * 3 + 3 + 30);
	store_close(st);
}

static void
test_events_of_a_dropped_exec_are_dropped_later_too(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts before, after;
	struct seen *seen;
	uint64_t seq;
	unsigned i;

	(void)fill(st, 500, 1000);
	assert_int_equal(store_count(st, &before, NULL), 0);
	store_begin(st);
	put_exec(st, "e0"); /* its row is written again: the mark stays */
	seq = add(st, "e0", 10, EVENT_EXEC);
	commit_ok(st);
	seen = events(st, 0, 0);
	for (i = 0; i < seen->n; i++)
		assert_string_not_equal(seen->exec[i], "e0");
	store_event_done(st, seq, "ttrpc");
	assert_int_equal(store_count(st, &after, NULL), 0);
	assert_int_equal(after.events_dropped, before.events_dropped + 1);

	store_delete_process(st, "c1", "e0"); /* a new one of that name */
	store_begin(st);
	put_exec(st, "e0");
	(void)add(st, "e0", 10, EVENT_EXEC);
	commit_ok(st);
	seen = events(st, seq, 0);
	assert_int_equal(seen->n, 1);
	store_close(st);
}

static void
test_events_that_are_kept_go_beyond_the_cap(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;
	int i;

	for (i = 0; i < 20; i++)
		(void)add(st, "", 100 * 1024, EVENT_KEEP);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.events_pending, 20);
	assert_int_equal(n.events_dropped, 0);
	store_begin(st);
	put_exec(st, "e");
	(void)add(st, "e", 100, EVENT_EXEC);
	commit_ok(st);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_in_range(n.events_pending, 20, 21);
	store_close(st);
}

/* Delivery works: nothing is dropped however many pass through. */
static void
test_events_delivered_do_not_count(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;
	int i;

	for (i = 0; i < 100; i++)
		store_event_done(st, add(st, "e", 100 * 1024, EVENT_EXEC), "ttrpc");
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.events_dropped, 0);
	assert_int_equal(n.events_pending, 0);
	store_close(st);
}

static void
test_events_cap_holds_after_reopening(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;
	int i;

	for (i = 0; i < 10; i++)
		(void)add(st, "e", 100 * 1024, EVENT_EXEC);
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	(void)add(st, "f", 100 * 1024, EVENT_EXEC);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.events_dropped, 10);
	assert_int_equal(n.events_pending, 1);
	store_close(st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_events_round_trip),
	    TEST_IN_DIR(test_events_come_in_order_and_survive_a_container),
	    TEST_IN_DIR(test_events_done_go_to_the_ring),
	    TEST_IN_DIR(test_events_numbers_never_repeat),
	    TEST_IN_DIR(test_events_done_in_the_backlog_are_not_shown),
	    TEST_IN_DIR(test_events_cap_drops_whole_execs_oldest_first),
	    TEST_IN_DIR(test_events_cap_drops_the_newest_of_the_oldest),
	    TEST_IN_DIR(test_events_of_a_dropped_exec_are_dropped_later_too),
	    TEST_IN_DIR(test_events_that_are_kept_go_beyond_the_cap),
	    TEST_IN_DIR(test_events_delivered_do_not_count),
	    TEST_IN_DIR(test_events_cap_holds_after_reopening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

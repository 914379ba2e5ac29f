/*
 * The disk takes no commit: what is told all the same is true for the next worker, too,
 * by memos in the keeper and exits that it keeps; and no longer than it takes to write it.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/status.h"
#include "state/store.h"
#include "worker/container.h"
#include "worker_help.h"

/* A container with an exec that has ended, and the disk is full. */
static void
begin_full(void)
{
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e1"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e1"), STATUS_OK);
	fk_exit(fk_command("exec", 0), 0);
	fk_run();
	fk.full = true;
}

static void
begin_full_and_stopped(void)
{
	begin_full();
	fk_exit(fk_command("create", 0), 3 << 8);
	fk_run();
}

static unsigned
memos_left(void)
{
	unsigned i, n = 0;

	for (i = 0; i < fk_count("memo"); i++)
		n += !fk_command("memo", i)->acked;
	return n;
}

static void
test_worker_full_deleted_is_gone(void **state)
{
	(void)state;
	begin_full_and_stopped();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	assert_int_equal(memos_left(), 1);
	fk_die();
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	fk_die();
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	fk.full = false;
	fk_expect(fk_create("c2", false), STATUS_OK); /* writes all */
	assert_int_equal(memos_left(), 0);
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
	fk_expect_clean();
}

/* Its runtime state may have been the first of it to go. */
static void
test_worker_full_rest_of_delete_cannot_fail(void **state)
{
	(void)state;
	begin_full_and_stopped();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_die();
	fk.fail = "delete";
	fk.full = false;
	fk_run();
	fk.fail = NULL;
	fk_expect_clean();
}

static void
test_worker_full_deleted_exec_is_gone(void **state)
{
	(void)state;
	begin_full();
	fk_expect(fk_simple("Delete", "c1", "e1"), STATUS_OK);
	fk_die();
	fk_expect(fk_simple("State", "c1", "e1"), STATUS_NOT_FOUND);
	fk_expect(fk_simple("State", "c1", ""), STATUS_OK);
	fk.full = false;
	fk_expect(fk_exec("c1", "e1"), STATUS_OK);
	assert_int_equal(memos_left(), 0);
	fk_die();
	fk_expect(fk_simple("State", "c1", "e1"), STATUS_OK);
}

/* A new one of that name is not taken for the one that was deleted. */
static void
test_worker_full_same_name_again(void **state)
{
	(void)state;
	begin_full_and_stopped();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk.full = false;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_die();
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_exit(fk_command("create", 1), 0);
	fk_run();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* What containerd's delete action took away has no last event, whoever asks. */
static void
test_worker_full_purged_is_silent(void **state)
{
	(void)state;
	begin_full();
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "c1", ""), STATUS_OK);
	fk_die();
	fk.full = false;
	fk_run();
	assert_null(strstr(fk_events(), "exit c1|"));
	assert_null(strstr(fk_events(), "delete c1"));
	assert_string_equal(fk_events(),
	    "create c1|start c1|exec-added c1/e1|exec-started c1/e1|exit c1/e1");
	fk_expect_clean();
}

/* Any commit that gets through writes the exits, too, and the keeper may forget them. */
static void
test_worker_full_exit_is_kept_until_written(void **state)
{
	(void)state;
	begin_full_and_stopped();
	assert_false(fk.exits[1].acked);
	fk.full = false;
	fk_expect(fk_simple("Delete", "c1", "e1"), STATUS_OK);
	assert_true(fk.exits[1].acked);
	assert_int_equal(fk.exits[1].n_acks, 1);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Nobody asks for anything, and the worker is a new one: it is written all the same. */
static void
test_worker_full_written_in_the_background(void **state)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;

	(void)state;
	begin_full();
	fk_die();
	fk_exit(fk_command("create", 0), 3 << 8);
	fk_run();
	assert_true(store_backlog(fk.pod.store) > 0);
	fk.full = false;
	while (store_backlog(fk.pod.store) > 0 && clock_boot_us() < end)
		fk_run();
	assert_int_equal(store_backlog(fk.pod.store), 0);
	assert_true(fk.exits[1].acked);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* No pod_commit(): the outbox's mark on what it has delivered. */
static void
test_worker_full_delivered_is_written_in_the_background(void **state)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.full = true;
	store_event_done(fk.pod.store, 1, "ttrpc");
	assert_true(store_backlog(fk.pod.store) > 0);
	fk.full = false;
	while (store_backlog(fk.pod.store) > 0 && clock_boot_us() < end)
		fk_run();
	assert_int_equal(store_backlog(fk.pod.store), 0);
}

/* Answers that have reached the keeper go with some commit, not with one that failed. */
static void
test_worker_full_spent_answers_go_later(void **state)
{
	AUTO_FREE void *answer = NULL;
	uint64_t n;
	size_t len;

	(void)state;
	n = fk_create("c1", false);
	fk_expect(n, STATUS_OK);
	fk.full = true;
	fk_expect(fk_exec("c1", "e1"), STATUS_RESOURCE_EXHAUSTED);
	fk.full = false;
	assert_int_equal(store_get_answer(fk.pod.store, n, &answer, &len), 0);
	fk_expect(fk_exec("c1", "e1"), STATUS_OK);
	free(steal_ptr(&answer));
	assert_int_equal(store_get_answer(fk.pod.store, n, &answer, &len), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_full_deleted_is_gone),
	    T(test_worker_full_rest_of_delete_cannot_fail),
	    T(test_worker_full_deleted_exec_is_gone),
	    T(test_worker_full_same_name_again),
	    T(test_worker_full_purged_is_silent),
	    T(test_worker_full_exit_is_kept_until_written),
	    T(test_worker_full_written_in_the_background),
	    T(test_worker_full_delivered_is_written_in_the_background),
	    T(test_worker_full_spent_answers_go_later),
	};

#undef T
	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

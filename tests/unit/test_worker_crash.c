/*
 * The worker dies at every moment at which it says something to its keeper or
 * commits, before and after, once and twice in a row; and a client does not
 * notice. Each story is told once undisturbed, to count its moments, and then
 * once per moment.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "proto/status.h"
#include "worker_help.h"

/* Of a story's requests each is answered once; effects are not repeated. */
static void
expect_once(void)
{
	size_t i;

	for (i = 0; i < fk.n_requests; i++)
		assert_int_equal(fk.requests[i].n_answers, 1);
}

static void
story_life(void)
{
	uint64_t wait, wait_e;

	fk_expect(fk_create("c1", true), STATUS_OK);
	wait = fk_simple("Wait", "c1", "");
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	wait_e = fk_simple("Wait", "c1", "e");
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_OK);
	fk_expect(fk_kill("c1", "e", SIGUSR1, false), STATUS_OK);
	fk_exit(fk_command("exec", 0), 3 << 8);
	fk_expect(wait_e, STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(wait, STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Shutdown", "c1", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|start c1|exec-added c1/e|exec-started c1/e|exit c1/e|exit c1|delete c1");
	assert_int_equal(fk_count("mount"), 1);
	assert_int_equal(fk_count("create"), 1);
	assert_int_equal(fk_count("start"), 1);
	assert_int_equal(fk_count("exec"), 1);
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_int_equal(fk_count("signal"), 2);
	expect_once();
}

/* Processes that are gone before their runtime command has returned. */
static void
story_early_exit(void)
{
	uint64_t wait;

	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk.dies_at_once = true;
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Wait", "c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	wait = fk_simple("Wait", "c2", "");
	fk_expect(wait, STATUS_OK);
	fk.dies_at_once = false;
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, true), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|start c1|exec-added c1/e|exec-started c1/e|exit c1/e|"
	    "create c2|exit c2|delete c2|exit c1|delete c1");
	expect_once();
}

static void
story_failures(void)
{
	fk.fail = "create";
	fk_expect(fk_create("c1", true), STATUS_UNKNOWN);
	fk.fail = "mount";
	fk_expect(fk_create("c1", true), STATUS_UNKNOWN);
	fk.fail = NULL;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c1", false), STATUS_ALREADY_EXISTS);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk.fail = "exec";
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_UNKNOWN);
	fk_expect(fk_simple("Wait", "c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_UNKNOWN);
	fk.fail = NULL;
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_exec("c1", "never"), STATUS_OK);
	fk_exit(fk_command("create", 1), SIGSEGV);
	fk_expect(fk_simple("Wait", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "f"), STATUS_UNKNOWN);
	fk_expect(fk_simple("Start", "c1", "never"), STATUS_FAILED_PRECONDITION);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|start c1|exec-added c1/e|exec-added c1/never|exit c1|delete c1");
	assert_int_equal(fk_count("exec"), 1);
	expect_once();
}

/* Created and never started; purged while it runs. */
static void
story_purge(void)
{
	fk_expect(fk_create("c1", true), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_create("c2", true), STATUS_OK);
	fk_expect(fk_simple("Start", "c2", ""), STATUS_OK);
	fk_expect(fk_exec("c2", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c2", "e"), STATUS_OK);
	(void)fk_simple("Wait", "c2", "e");
	fk_exit(fk_command("exec", 0), SIGKILL);
	fk_run();
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "c2", ""), STATUS_OK);
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "c2", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|exit c1|delete c1|"
	    "create c2|start c2|exec-added c2/e|exec-started c2/e|exit c2/e");
	expect_once();
}

static void
walk(void (*story)(void))
{
	void *state = NULL;
	long moments, i, j;

	assert_int_equal(fk_setup(&state), 0);
	story();
	moments = fk.ticks;
	assert_int_equal(fk.deaths, 0);
	assert_int_equal(fk_teardown(&state), 0);
	assert_true(moments > 50);
	for (i = 1; i <= moments; i++) {
		/* and again, j moments into the next life */
		for (j = 0; j <= 10; j += 5) {
			assert_int_equal(fk_setup(&state), 0);
			fk.die_at = i;
			fk.die_again_at = j > 0 ? i + j : 0;
			(void)fprintf(stderr, "\rmoment %ld of %ld, then %ld ", i, moments, j);
			story();
			assert_true(fk.deaths >= 1);
			assert_int_equal(fk_teardown(&state), 0);
		}
	}
	(void)fprintf(stderr, "\n");
}

static void
test_worker_crash_life(void **state)
{
	(void)state;
	walk(story_life);
}

static void
test_worker_crash_early_exit(void **state)
{
	(void)state;
	walk(story_early_exit);
}

static void
test_worker_crash_failures(void **state)
{
	(void)state;
	walk(story_failures);
}

static void
test_worker_crash_purge(void **state)
{
	(void)state;
	walk(story_purge);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_worker_crash_life),
	    cmocka_unit_test(test_worker_crash_early_exit),
	    cmocka_unit_test(test_worker_crash_failures),
	    cmocka_unit_test(test_worker_crash_purge),
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

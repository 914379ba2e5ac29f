/*
 * What a Create leaves that was told DeadlineExceeded, and whose worker died
 * then: the next one undoes it, all of it, and before the next Create of that id. And
 * a Start that nobody waits for any more.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "worker/container.h"
#include "worker_help.h"

/* A Create whose caller was told DeadlineExceeded. */
static void
create_too_late(const char *held)
{
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT,
				 *list[] = {&mount};
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	char id[] = "c1";

	m.id = id;
	m.bundle = fk.bundle;
	m.n_rootfs = 1;
	m.rootfs = list;
	/* long enough to get to the held step, also where all is slow */
	(void)fk_send_told("Create", &m.base, held, NS_PER_S);
}

/* The same, then the worker dies. */
static void
leave_create(const char *held)
{
	create_too_late(held);
	fk_die();
}

static void
test_worker_leftover_create(void **state)
{
	(void)state;
	leave_create("create");
	fk_expect_clean();
	assert_int_equal(fk_command("create", 0)->s.wait_status, SIGKILL);
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_string_equal(fk_events(), "");
}

static void
test_worker_leftover_mount(void **state)
{
	(void)state;
	leave_create("mount");
	fk_expect_clean();
	/* ended before its effect is undone */
	assert_int_equal(fk_command("mount", 0)->s.wait_status, SIGKILL);
	assert_int_equal(fk_count("create"), 0);
	assert_int_equal(fk_count("delete"), 0);
	assert_int_equal(fk_count("unmount"), 1);
}

/* How its create ended is known to the end: a cgroup hangs on it. */
static void
test_worker_leftover_undo_knows_that_it_was_killed(void **state)
{
	size_t i, n;

	(void)state;
	create_too_late("create");
	fk.hold = "delete";
	fk_end(fk_command("create", 0), SIGKILL);
	fk_run();
	assert_int_equal(fk_count("delete"), 1);
	fk_die();
	fk_up();
	fk_run();
	assert_int_equal(fk_command("create", 0)->s.wait_status, SIGKILL);
	assert_false(fk_command("create", 0)->acked);
	fk.hold = NULL;
	n = fk_count("delete");
	assert_int_equal(n, 2);
	for (i = 0; i < n; i++)
		fk_end(fk_command("delete", i), 0);
	fk_expect_clean();
	assert_true(fk_command("create", 0)->acked);
}

/* Another Create of that id waited behind it: that does not go on with what it left. */
static void
test_worker_leftover_before_a_create(void **state)
{
	static const char *const held[] = {"create", "mount"};
	uint64_t again;
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(held); i++) {
		create_too_late(held[i]);
		again = fk_create("c1", true);
		fk_run();
		assert_false(fk_request(again)->answered);
		fk_die();
		fk_expect(again, STATUS_OK);
		assert_int_equal(fk_command(held[i], 2 * i)->s.wait_status, SIGKILL);
		assert_int_equal(fk_count("unmount"), 2 * i + 1);
		fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
		fk_expect_clean();
	}
	assert_string_equal(
	    fk_events(), "create c1|exit c1|delete c1|create c1|exit c1|delete c1");
}

/* An undo that kills each worker is given up; nobody else is kept waiting by it. */
static void
test_worker_leftover_undo_that_kills(void **state)
{
	uint64_t del;

	(void)state;
	fk_expect(fk_create("other", false), STATUS_OK);
	leave_create("create");
	fk.poison = "unmount";
	fk.n_poison = 100;
	fk_run();
	assert_int_equal(fk.n_poison, 98);
	assert_null(container_get(&fk.pod, "c1"));
	assert_true(fk_meta_is("leaked", "c1"));
	assert_true(fk_meta_is("undo.c1", NULL));
	/* a worker that comes later lets it be */
	fk_die();
	fk_run();
	assert_int_equal(fk.n_poison, 98);
	assert_true(fk_meta_is("leaked", "c1"));
	fk_expect(fk_simple("Start", "other", ""), STATUS_OK);
	/* containerd's delete: it cleans by itself, for we know nothing */
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "other", ""), STATUS_OK);
	assert_true(fk_meta_is("leaked", "c1"));
	del = fk_simple("podshim.v1.Admin/Purge", "c1", "");
	fk_expect(del, STATUS_OK);
	assert_int_equal(fk_request(del)->payload_len, 0);
	assert_true(fk_meta_is("leaked", NULL));
	fk_expect_clean();
}

/* The same id again: its Create takes the name over. */
static void
test_worker_leftover_create_after_a_leak(void **state)
{
	(void)state;
	leave_create("mount");
	fk.poison = "unmount";
	fk.n_poison = 2;
	fk_run();
	assert_true(fk_meta_is("leaked", "c1"));
	fk_expect(fk_create("c1", false), STATUS_OK);
	assert_true(fk_meta_is("leaked", NULL));
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Workers that somebody kills in the middle of an undo do not count. */
static void
test_worker_leftover_undo_killed_from_outside(void **state)
{
	(void)state;
	leave_create("create");
	fk.poison = "unmount";
	fk.poison_outside = true;
	fk.n_poison = 7;
	fk_expect_clean();
	assert_int_equal(fk.n_poison, 0);
	assert_true(fk_meta_is("leaked", NULL));
	assert_true(fk_meta_is("undo.c1", NULL));
}

/* A Start of init that ended so when nobody looked, and is condemned. */
static void
condemn_start(int wait_status)
{
	uint64_t n;

	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	n = fk_simple("Start", "c1", "");
	fk_run();
	fk_end(fk_command("start", 0), wait_status);
	fk_die();
	fk.hold = NULL;
	fk_condemn(n);
	fk_run();
}

static void
test_worker_leftover_condemned_start(void **state)
{
	(void)state;
	condemn_start(0);
	assert_false(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "create c1|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_leftover_condemned_start_that_failed(void **state)
{
	(void)state;
	condemn_start(1 << 8);
	assert_true(fk_command("create", 0)->alive);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
}

/* Its command is slow to die; the container of that name is another one by then. */
static void
test_worker_leftover_condemned_start_of_an_old_name(void **state)
{
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	n = fk_simple("Start", "c1", "");
	fk_run();
	fk_die();
	fk.hold = NULL;
	fk_condemn(n);
	fk.survives = true;
	fk_run();
	assert_int_equal(fk_command("start", 0)->s.state, STEP_RUNNING);
	fk.survives = false;
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_end(fk_command("start", 0), SIGKILL);
	fk_run();
	assert_true(fk_command("create", 1)->alive);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_worker_leftover_create),
	    T(test_worker_leftover_mount),
	    T(test_worker_leftover_undo_knows_that_it_was_killed),
	    T(test_worker_leftover_before_a_create),
	    T(test_worker_leftover_undo_that_kills),
	    T(test_worker_leftover_create_after_a_leak),
	    T(test_worker_leftover_undo_killed_from_outside),
	    T(test_worker_leftover_condemned_start),
	    T(test_worker_leftover_condemned_start_that_failed),
	    T(test_worker_leftover_condemned_start_of_an_old_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

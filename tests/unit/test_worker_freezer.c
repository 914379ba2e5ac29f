/*
 * Containers that are frozen, or are not, when nobody is left who asked for it.
 */
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
#include "proto/task.pb-c.h"
#include "worker/container.h"
#include "worker_help.h"

/* A running container that has a cgroup. */
static void
begin_freezer(void)
{
	struct container *c;

	fk_expect(fk_create("c1", false), STATUS_OK);
	c = container_get(&fk.pod, "c1");
	free(c->cgroup);
	c->cgroup = mem_strdup("/no/cgroup");
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
}

/* Its caller was told DeadlineExceeded while it was under way, and the worker dies. */
static void
leave_told(const char *method, const char *held)
{
	Containerd__Task__V2__PauseRequest m = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
	char id[] = "c1";

	m.id = id;
	(void)fk_send_told(method, &m.base, held, NS_PER_S / 4);
	fk_die();
}

static void
end_freezer(void)
{
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_freezer_pause_too_late(void **state)
{
	(void)state;
	begin_freezer();
	leave_told("Pause", "pause");
	fk_run();
	assert_int_equal(fk_command("pause", 0)->s.wait_status, SIGKILL);
	assert_false(fk.frozen);
	assert_int_equal(container_get(&fk.pod, "c1")->state, TASK_RUNNING);
	end_freezer();
}

/* As before, but it ends while there is no worker. */
static void
test_worker_freezer_pause_without_a_worker(void **state)
{
	(void)state;
	begin_freezer();
	leave_told("Pause", "pause");
	fk_end(fk_command("pause", 0), 0);
	assert_true(fk.frozen);
	fk_run();
	assert_false(fk.frozen);
	end_freezer();
}

static void
test_worker_freezer_condemned_pause(void **state)
{
	uint64_t n;

	(void)state;
	begin_freezer();
	fk.hold = "pause";
	n = fk_simple("Pause", "c1", "");
	fk_run();
	fk_die();
	fk_condemn(n);
	fk.hold = NULL;
	fk_run();
	assert_false(fk.frozen);
	end_freezer();
}

/* Its answer, which is nobody's, takes with it what is known of it. */
static void
test_worker_freezer_condemned_pause_that_has_ended(void **state)
{
	uint64_t n;

	(void)state;
	begin_freezer();
	fk.hold = "pause";
	n = fk_simple("Pause", "c1", "");
	fk_run();
	fk_end(fk_command("pause", 0), 0);
	fk_die();
	fk_condemn(n);
	fk.hold = NULL;
	assert_true(fk.frozen);
	fk_run();
	assert_false(fk.frozen);
	end_freezer();
}

/* What was called back too late is told as it is. */
static void
test_worker_freezer_resume_too_late(void **state)
{
	(void)state;
	begin_freezer();
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_OK);
	leave_told("Resume", "resume");
	fk_end(fk_command("resume", 0), 0);
	fk_run();
	assert_int_equal(container_get(&fk.pod, "c1")->state, TASK_RUNNING);
	assert_non_null(strstr(fk_events(), "resumed c1"));
	/* or it did not get that far */
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_OK);
	fk_command("resume", 0)->verb[0] = '\0';
	leave_told("Resume", "resume");
	fk_run();
	assert_int_equal(container_get(&fk.pod, "c1")->state, TASK_PAUSED);
	assert_true(fk.frozen);
	end_freezer();
}

static void
test_worker_freezer_lost_store_of_a_paused(void **state)
{
	(void)state;
	begin_freezer();
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_OK);
	fk_die();
	fk_lose_store();
	fk_run();
	assert_int_equal(container_get(&fk.pod, "c1")->state, TASK_PAUSED);
	fk_expect(fk_simple("Resume", "c1", ""), STATUS_OK);
	assert_false(fk.frozen);
	end_freezer();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_freezer_pause_too_late),
	    T(test_worker_freezer_pause_without_a_worker),
	    T(test_worker_freezer_condemned_pause),
	    T(test_worker_freezer_condemned_pause_that_has_ended),
	    T(test_worker_freezer_resume_too_late),
	    T(test_worker_freezer_lost_store_of_a_paused),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Containers that containerd has given up: Purge, and the marks of a delete action
 * that had to act alone; and what of it must not reach the next one of that name.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "proto/admin.pb-c.h"
#include "proto/status.h"
#include "worker/container.h"
#include "worker_help.h"

static uint64_t
purge(const char *id)
{
	return fk_simple("podshim.v1.Admin/Purge", id, "");
}

/* The delete action waits no longer: it cleans by itself, and leaves a mark. */
static void
give_up(uint64_t n, const char *id)
{
	fk_cancel(n);
	fk_run();
	fk_mark(id);
}

/* Nobody has given it up: it ends as all do. */
static void
expect_plain_end(struct fk_step *create)
{
	assert_false(fk_has_mark("c1"));
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_exit(create, 3 << 8);
	fk_run();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	assert_non_null(strstr(fk_events(), "create c1|start c1|exit c1|delete c1"));
	fk_expect_clean();
}

static void
test_worker_purge_then_a_new_entry(void **state)
{
	uint64_t again, del;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "delete";
	del = purge("c1");
	fk_run();
	assert_int_equal(fk_count("delete"), 1);
	give_up(del, "c1");
	again = fk_create("c1", false);
	fk_run();
	fk.hold = NULL;
	fk_end(fk_command("delete", 0), 0);
	fk_expect(again, STATUS_OK);
	expect_plain_end(fk_command("create", 1));
}

static void
test_worker_purge_then_the_same_entry(void **state)
{
	uint64_t again, del;

	(void)state;
	fk.hold = "create";
	(void)fk_create("c1", false);
	fk_run();
	fk.hold = "delete";
	del = purge("c1");
	fk_run();
	assert_int_equal(fk_count("delete"), 1); /* that Create is being undone */
	give_up(del, "c1");
	again = fk_create("c1", false);
	fk_run();
	fk.hold = NULL;
	fk_end(fk_command("delete", 0), 0);
	fk_expect(again, STATUS_OK);
	expect_plain_end(fk_command("create", 1));
}

/* A Create outlives its Purge: nothing ran that the Purge could have killed. */
static void
test_worker_purge_of_one_that_waits_for_its_log(void **state)
{
	uint64_t create, del;

	(void)state;
	fk.unready = true;
	create = fk_create("c1", true);
	fk_run();
	assert_int_equal(fk_count("mount"), 1);
	del = purge("c1");
	fk_run();
	give_up(del, "c1");
	fk_cancel(create);
	fk_run();
	assert_false(fk_request(create)->answered);
	fk_logger_ready();
	fk_expect_clean();
	assert_int_equal(fk_count("create"), 0);
	assert_int_equal(fk_count("unmount"), 1);
	assert_true(fk_request(create)->nobody);
	assert_false(fk_has_mark("c1"));
}

/* The worker dies meanwhile, before or after the first step of that Create. */
static void
test_worker_purge_and_a_death_before_the_log(void **state)
{
	uint64_t create, del;
	int mounts;

	(void)state;
	for (mounts = 0; mounts < 2; mounts++) {
		fk.unready = true;
		create = fk_create("c1", mounts != 0);
		fk_run();
		del = purge("c1");
		fk_run();
		give_up(del, "c1");
		fk_cancel(create);
		fk_run();
		fk_die();
		fk_run();
		if (mounts == 0)
			fk_logger_ready(); /* it waits for a second one */
		fk_expect_clean();
		assert_int_equal(fk_count("create"), 0);
		assert_int_equal(fk_count("unmount"), mounts);
		assert_true(fk_request(create)->nobody);
		assert_false(fk_has_mark("c1"));
	}
}

/* The Purge never got as far as the worker. */
static void
test_worker_purge_that_only_a_mark_tells_of(void **state)
{
	static const char *const held[] = {"mount", "create"};
	uint64_t create;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		fk.hold = held[i];
		create = fk_create("c1", true);
		fk_run();
		fk_cancel(create);
		fk_mark("c1");
		fk.hold = NULL;
		fk_end(fk_command(held[i], 0), 0);
		fk_expect_clean();
		assert_true(fk_request(create)->nobody);
		assert_int_equal(fk_count("create"), i);
		assert_false(fk_has_mark("c1"));
	}
	assert_false(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "");
}

/* It was made, but the delete action did not know of it yet: nobody else will come. */
static void
test_worker_purge_of_one_that_lives(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", true), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_mark("c1");
	fk_die();
	fk_expect_clean();
	assert_false(fk_command("create", 0)->alive);
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_false(fk_has_mark("c1"));
	assert_string_equal(fk_events(), "create c1|start c1");
}

/* The pod has no room for a process: what is left is the delete action's to clean. */
static void
test_worker_purge_without_room(void **state)
{
	Podshim__V1__PurgeResponse *r;
	unsigned room;
	uint64_t del;

	(void)state;
	for (room = 0; room <= 2; room++) {
		fk_expect(fk_create("c1", true), STATUS_OK);
		fk.no_room = 2 - room;
		del = purge("c1");
		fk_expect(del, STATUS_OK);
		r = podshim__v1__purge_response__unpack(
		    NULL, fk_request(del)->payload_len, fk_request(del)->payload);
		assert_non_null(r);
		assert_int_equal(r->known, room == 2);
		assert_int_not_equal(r->pid, 0);
		assert_int_equal(r->exit_status, 128 + SIGKILL);
		assert_non_null(r->exited_at);
		podshim__v1__purge_response__free_unpacked(r, NULL);
		fk_expect_clean();
	}
}

static void
test_worker_purge_marks(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	fk_mark("c1");
	fk_mark("nobody");
	/* it lives: the delete action's kill is on its way, and ours, too */
	fk.survives = true;
	fk_expect(fk_simple("State", "c1", ""), STATUS_OK);
	assert_true(fk_has_mark("c1"));
	fk_exit(fk_command("create", 0), SIGKILL);
	fk_run();
	fk.survives = false;
	assert_false(fk_has_mark("c1"));
	assert_int_equal(fk_count("delete"), 1);
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	assert_null(strstr(fk_events(), "exit c1"));
	fk_expect(fk_create("c1", false), STATUS_OK);
	/* at READY */
	fk_exit(fk_command("create", 1), SIGKILL);
	fk_run();
	fk_mark("c2");
	fk_die();
	fk_run();
	assert_false(fk_has_mark("c2"));
	assert_false(fk_has_mark("nobody"));
	fk_expect(fk_simple("State", "c2", ""), STATUS_NOT_FOUND);
	assert_int_equal(fk_count("delete"), 1); /* of what was dead nothing is deleted */
	/* the delete action kills it while there is no worker */
	fk_expect(fk_create("c3", false), STATUS_OK);
	fk_mark("c3");
	fk_die();
	fk_exit(fk_command("create", 3), SIGKILL);
	fk_expect(fk_simple("State", "c3", ""), STATUS_NOT_FOUND);
	assert_null(strstr(fk_events(), "exit c3"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_purge_then_a_new_entry),
	    T(test_worker_purge_then_the_same_entry),
	    T(test_worker_purge_of_one_that_waits_for_its_log),
	    T(test_worker_purge_and_a_death_before_the_log),
	    T(test_worker_purge_that_only_a_mark_tells_of),
	    T(test_worker_purge_of_one_that_lives),
	    T(test_worker_purge_without_room),
	    T(test_worker_purge_marks),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

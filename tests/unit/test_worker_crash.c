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
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
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
	    "create c1|start c1|exec-added c1/e|exec-started c1/e|exit "
	    "c1/e|exit c1|delete c1");
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
	assert_int_equal(fk_kept("io/c1/e/"), 0);
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

static uint64_t
update(const char *id, const char *json)
{
	Containerd__Task__V2__UpdateTaskRequest r =
	    CONTAINERD__TASK__V2__UPDATE_TASK_REQUEST__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

	any.type_url =
	    (char *)(uintptr_t) "types.containerd.io/opencontainers/runtime-spec/1/"
				"LinuxResources";
	any.value.data = (uint8_t *)(uintptr_t)json;
	any.value.len = strlen(json);
	r.id = (char *)(uintptr_t)id;
	r.resources = &any;
	return fk_send("Update", &r.base);
}

static uint64_t
checkpoint(const char *id, const char *path)
{
	Containerd__Task__V2__CheckpointTaskRequest r =
	    CONTAINERD__TASK__V2__CHECKPOINT_TASK_REQUEST__INIT;

	r.id = (char *)(uintptr_t)id;
	r.path = (char *)(uintptr_t)path;
	return fk_send("Checkpoint", &r.base);
}

static void
story_frozen(void)
{
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Resume", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_exec("c1", "e"), STATUS_UNKNOWN);
	fk_expect(update("c1", "{}"), STATUS_OK);
	fk_expect(checkpoint("c1", "/nowhere/1"), STATUS_OK);
	fk_expect(fk_simple("Resume", "c1", ""), STATUS_OK);
	fk.fail = "pause";
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_UNKNOWN);
	fk.fail = "checkpoint";
	fk_expect(checkpoint("c1", "/nowhere/2"), STATUS_UNKNOWN);
	fk.fail = NULL;
	fk_expect(update("c1", "[]"), STATUS_INVALID_ARGUMENT);
	fk_expect(fk_simple("Pause", "c1", ""), STATUS_OK);
	fk_exit(fk_command("create", 0), SIGKILL);
	fk_expect(fk_simple("Wait", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Resume", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|start c1|paused c1|checkpointed "
	    "c1|resumed c1|paused c1|exit c1|delete c1");
	assert_int_equal(fk_count("pause"), 3);
	assert_int_equal(fk_count("resume"), 1);
	assert_int_equal(fk_count("update"), 1);
	assert_int_equal(fk_count("checkpoint"), 2);
	expect_once();
}

/* From a checkpoint: nothing is run before Start, which may be tried again. */
static uint64_t
create_from(const char *id, const char *path)
{
	Containerd__Task__V2__CreateTaskRequest r =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;

	r.id = (char *)(uintptr_t)id;
	r.bundle = fk.bundle;
	r.checkpoint = (char *)(uintptr_t)path;
	return fk_send("Create", &r.base);
}

static void
story_restored(void)
{
	uint64_t wait;

	fk_expect(create_from("c1", "/nowhere/at/all"), STATUS_INVALID_ARGUMENT);
	fk_expect(create_from("c1", fk.dir), STATUS_OK);
	assert_int_equal(fk_count("create"), 0);
	wait = fk_simple("Wait", "c1", "");
	fk_expect(fk_simple("Pids", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Stats", "c1", ""), STATUS_NOT_FOUND);
	fk_expect(fk_kill("c1", "", SIGTERM, false), STATUS_FAILED_PRECONDITION);
	fk.fail = "restore";
	fk_expect(fk_simple("Start", "c1", ""), STATUS_UNKNOWN);
	fk.fail = NULL;
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_UNKNOWN);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(wait, STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(create_from("c2", fk.dir), STATUS_OK);
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
	fk_expect(create_from("c3", fk.dir), STATUS_OK);
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "c3", ""), STATUS_OK);
	fk_expect(create_from("c4", fk.dir), STATUS_OK);
	fk.dies_at_once = true;
	fk_expect(fk_simple("Start", "c4", ""), STATUS_OK);
	fk.dies_at_once = false;
	fk_expect(fk_simple("Wait", "c4", ""), STATUS_OK);
	fk_expect(fk_simple("Delete", "c4", ""), STATUS_OK);
	fk_expect_clean();
	assert_string_equal(fk_events(),
	    "create c1|start c1|exit c1|delete c1|create c2|delete c2|create c3|"
	    "create c4|start c4|exit c4|delete c4");
	assert_int_equal(fk_count("restore"), 3);
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
			if (isatty(STDERR_FILENO)) /* by hand: which one was it? */
				(void)fprintf(stderr, "\rmoment %ld of %ld, then %ld ", i,
				    moments, j);
			story();
			assert_true(fk.deaths >= 1);
			assert_int_equal(fk_teardown(&state), 0);
		}
	}
}

/* A Start that is told it came too late while its command, held, still runs. */
static struct fk_step *
start_told(const char *verb, const char *exec_id)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1";

	m.id = id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	(void)fk_send_told("Start", &m.base, verb, NS_PER_S / 20);
	return fk_command(verb, 0);
}

/* Then the command ends well after all. Whenever a worker dies, what it has made is killed. */
static void
walk_told(const char *verb, const char *exec_id)
{
	bool restores = strcmp(verb, "restore") == 0, starts = strcmp(verb, "start") == 0;
	void *state = NULL;
	struct fk_step *cmd, *made;
	long i, left = 1;

	for (i = 1; left > 0; i++) {
		assert_int_equal(fk_setup(&state), 0);
		fk_expect(restores ? create_from("c1", fk.dir) : fk_create("c1", false),
		    STATUS_OK);
		if (exec_id[0] != '\0') {
			fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
			fk_expect(fk_exec("c1", exec_id), STATUS_OK);
		}
		cmd = start_told(verb, exec_id);
		made = starts ? fk_command("create", 0) : cmd;
		fk.die_at = fk.ticks + i;
		fk_end(cmd, 0);
		fk_run();
		left = fk.deaths;
		assert_false(made->alive);
		if (starts ||
		    strstr(fk_events(), exec_id[0] != '\0' ? "exec-started" : "start c1"))
			fk_expect(fk_simple("Wait", "c1", exec_id), STATUS_OK);
		assert_int_equal(fk_teardown(&state), 0);
	}
	assert_true(i > 4);
}

static void
test_worker_crash_told_exec(void **state)
{
	(void)state;
	walk_told("exec", "e");
}

static void
test_worker_crash_told_start(void **state)
{
	(void)state;
	walk_told("start", "");
}

static void
test_worker_crash_told_restore(void **state)
{
	(void)state;
	walk_told("restore", "");
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

static void
test_worker_crash_frozen(void **state)
{
	(void)state;
	walk(story_frozen);
}

static void
test_worker_crash_restored(void **state)
{
	(void)state;
	walk(story_restored);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_worker_crash_life),
	    cmocka_unit_test(test_worker_crash_early_exit),
	    cmocka_unit_test(test_worker_crash_failures),
	    cmocka_unit_test(test_worker_crash_purge),
	    cmocka_unit_test(test_worker_crash_frozen),
	    cmocka_unit_test(test_worker_crash_restored),
	    cmocka_unit_test(test_worker_crash_told_exec),
	    cmocka_unit_test(test_worker_crash_told_restore),
	    cmocka_unit_test(test_worker_crash_told_start),
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

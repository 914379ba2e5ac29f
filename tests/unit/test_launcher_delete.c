/*
 * The built launcher's `delete`: with a keeper that answers, lies or is dead,
 * with containers that run or have ended (launcher_pods.h).
 */
#include "launcher_pods.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/wire.h"

static void
test_delete_of_the_unknown(void **state)
{
	struct container c = {.id = "nobody", .bundle = mem_printf("%s/nobody", top)};

	(void)state;
	assert_int_equal(mkdir(c.bundle, 0700), 0);
	expect_delete(&c, 137);
	expect_delete(&c, 137);
	assert_false(is_there(runtime_log));
	expect_nothing_left();
	free(c.bundle);
}

static void
test_delete_asks_the_keeper(void **state)
{
	struct container c = container_new("asked");
	struct result r;
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	(void)setenv("FAKE_PURGE", "known", 1);
	r = start("asked", c.bundle);
	assert_int_equal(r.status, 0);
	pid = delete_launch("asked", c.bundle, out);
	told = delete_collect(pid, out);
	assert_int_equal(told.pid, 42);
	assert_int_equal(told.status, 7);
	assert_true(told.exited_at == 5 * NS_PER_S);
	assert_string_equal(told.err, "");
	/* all else is the keeper's */
	assert_true(container_is_alive(&c));
	expect_runtime_ran(&c, false);
	keeper_stop("asked");
	expect_nothing_left();
	free(told.err);
	result_fini(&r);
	container_end(&c);
}

static void
test_delete_tells_the_recorded_truth(void **state)
{
	struct container c = container_new("truth");

	(void)state;
	dead_pod(&c);
	record("truth", &c, TASK_STOPPED, 3);
	expect_delete(&c, 3);
	/* a row that says "stopped" is believed, not the number's new owner killed */
	assert_true(container_is_alive(&c));
	expect_runtime_ran(&c, true);
	forget_keeper("truth");
	expect_nothing_left();
	container_end(&c);
}

static void
test_delete_kills(void **state)
{
	struct container c = container_new("killed");

	(void)state;
	dead_pod(&c);
	record("killed", &c, TASK_RUNNING, 0);
	expect_delete(&c, 137);
	assert_false(container_is_alive(&c));
	expect_runtime_ran(&c, true);
	forget_keeper("killed");
	expect_nothing_left();
	container_end(&c);
}

static void
test_delete_does_not_invent(void **state)
{
	struct container c = container_new("unseen");

	(void)state;
	dead_pod(&c);
	(void)kill(c.pid, SIGTERM);
	assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
	record("unseen", &c, TASK_RUNNING, 0);
	expect_delete(&c, 255);
	expect_runtime_ran(&c, true);
	forget_keeper("unseen");
	expect_nothing_left();
	c.pid = 0;
	container_end(&c);
}

static void
test_delete_spares_a_reused_pid(void **state)
{
	struct container c = container_new("reused");

	(void)state;
	dead_pod(&c);
	c.start_time--;
	record("reused", &c, TASK_RUNNING, 0);
	expect_delete(&c, 255);
	assert_true(container_is_alive(&c));
	forget_keeper("reused");
	expect_nothing_left();
	container_end(&c);
}

static void
test_delete_with_a_silent_keeper(void **state)
{
	struct container c = container_new("silent");
	AUTO_FREE char *mark = pod_file("silent", "/purged/silent");
	struct result r;
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	(void)setenv("FAKE_PURGE", "silent", 1);
	r = start("silent", c.bundle);
	assert_int_equal(r.status, 0);
	record("silent", &c, TASK_RUNNING, 0);
	pid = delete_launch("silent", c.bundle, out);
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 137);
	assert_non_null(strstr(told.err, "ask the keeper"));
	assert_false(container_is_alive(&c));
	expect_runtime_ran(&c, true);
	/* its worker is to know, and the pod is not ours to remove */
	assert_true(is_there(mark));
	pid = keeper_pid("silent");
	assert_true(pid > 0);
	keeper_kill(pid);
	expect_delete(&c, 137);
	forget_keeper("silent");
	expect_nothing_left();
	free(told.err);
	result_fini(&r);
	container_end(&c);
}

static void
test_delete_with_a_keeper_that_refuses(void **state)
{
	static const char *const ways[] = {"error", "close", "unknown", "unswept"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ways); i++) {
		AUTO_FREE char *id = mem_printf("refuse-%s", ways[i]);
		struct container c = container_new(id);
		AUTO_FREE char *mark = mem_printf("/purged/%s", id);
		AUTO_FREE char *mark_path = pod_file(id, mark);
		AUTO_FREE char *binary = mem_printf("{\"root\":\"%s\"}", top);
		struct result r;
		struct told told;
		int out[2];
		pid_t pid;

		(void)setenv("FAKE_PURGE", ways[i], 1);
		/* no rows: what the bundle tells has to do */
		write_in(c.bundle, "runtime", runtime);
		write_in(c.bundle, "options.json", binary);
		r = start(id, c.bundle);
		assert_int_equal(r.status, 0);
		pid = delete_launch(id, c.bundle, out);
		told = delete_collect(pid, out);
		/* the last one has seen the end, but has no room to run a command */
		assert_int_equal(told.status, strcmp(ways[i], "unswept") == 0 ? 7 : 137);
		expect_runtime_ran(&c, true);
		/* never heard of: a mark would hit the next of that name */
		assert_false(is_there(mark_path));
		assert_true(keeper_pid(id) > 0);
		keeper_stop(id);
		expect_nothing_left();
		free(told.err);
		result_fini(&r);
		container_end(&c);
	}
}

static void
test_delete_is_bounded(void **state)
{
	struct container c = container_new("hung");
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	dead_pod(&c);
	runtime_is("exec sleep 60");
	record("hung", &c, TASK_RUNNING, 0);
	pid = delete_launch("hung", c.bundle, out);
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 137);
	assert_non_null(strstr(told.err, "Connection timed out"));
	assert_false(container_is_alive(&c));
	forget_keeper("hung");
	expect_nothing_left();
	free(told.err);
	container_end(&c);
}

static void
test_delete_says_why_the_runtime_failed(void **state)
{
	struct container c = container_new("fails");
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	dead_pod(&c);
	runtime_is("echo 'no such luck' >&2; exit 1");
	record("fails", &c, TASK_STOPPED, 3);
	pid = delete_launch("fails", c.bundle, out);
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 3);
	assert_non_null(strstr(told.err, "no such luck"));
	forget_keeper("fails");
	expect_nothing_left();
	free(told.err);
	container_end(&c);
}

static bool
has_ended(pid_t pid)
{
	siginfo_t si = {0};

	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT), 0);
	return si.si_pid == pid;
}

/* False if this machine has let the time pass for which a `delete` waits. */
static bool
last_words_are_waited_for(const char *id)
{
	struct container c = container_new(id);
	AUTO_FREE char *lock_path = pod_file(id, "/worker.lock");
	AUTO_CLOSE int lock = -1;
	struct store *st;
	struct told told;
	boot_us_t begin;
	bool early, in_time;
	int out[2];
	pid_t pid;

	dead_pod(&c);
	st = store_of(id);
	store_put(st, &c, TASK_RUNNING, 0);
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(lock >= 0 && flock(lock, LOCK_EX) == 0);
	begin = clock_boot_us();
	pid = delete_launch(id, c.bundle, out);
	delete_wait_open(pid, lock_path);
	(void)poll(NULL, 0, 200);
	early = has_ended(pid);
	store_put(st, &c, TASK_STOPPED, 11);
	store_close(st);
	fd_close(&lock);
	in_time = clock_boot_us() - begin < US_PER_S;
	told = delete_collect(pid, out);
	if (in_time) {
		assert_false(early);
		assert_int_equal(told.status, 11);
	}
	forget_keeper(id);
	expect_nothing_left();
	free(told.err);
	container_end(&c);
	return in_time;
}

/* The worker of a dead keeper holds its lock till its last row is written. */
static void
test_delete_waits_for_the_last_words(void **state)
{
	bool seen = false;
	int i;

	(void)state;
	for (i = 0; i < 20 && !seen; i++) {
		AUTO_FREE char *id = mem_printf("last-%d", i);

		seen = last_words_are_waited_for(id);
	}
	assert_true(seen);
}

/* The owner takes its members with it; each still gets its own true answer. */
static void
test_delete_of_the_owner_sweeps(void **state)
{
	struct container owner = container_new("owner"),
			 running = container_new("m-running"),
			 exited = container_new("m-exited");
	AUTO_FREE char *dir = pod_file("owner", "");
	AUTO_FREE char *address = NULL;
	struct store *st;

	(void)state;
	dead_pod(&owner);
	address = read_in(owner.bundle, "address");
	write_in(running.bundle, "address", address);
	write_in(exited.bundle, "address", address);
	st = store_of("owner");
	store_put(st, &owner, TASK_RUNNING, 0);
	store_put(st, &running, TASK_RUNNING, 0);
	store_put(st, &exited, TASK_STOPPED, 4);
	store_close(st);
	expect_delete(&owner, 137);
	assert_false(container_is_alive(&running));
	expect_runtime_ran(&running, true);
	/* the others have not asked yet */
	assert_true(is_there(dir));
	expect_delete(&running, 137);
	assert_true(is_there(dir));
	expect_delete(&exited, 4);
	forget_keeper("owner");
	expect_nothing_left();
	container_end(&owner);
	container_end(&running);
	container_end(&exited);
}

/* A member's end is nobody else's. */
static void
test_delete_of_a_member_spares_the_others(void **state)
{
	struct container owner = container_new("head"), member = container_new("limb");
	AUTO_FREE char *dir = pod_file("head", "");
	AUTO_FREE char *address = NULL;
	struct store *st;

	(void)state;
	dead_pod(&owner);
	address = read_in(owner.bundle, "address");
	write_in(member.bundle, "address", address);
	st = store_of("head");
	store_put(st, &owner, TASK_RUNNING, 0);
	store_put(st, &member, TASK_RUNNING, 0);
	store_close(st);
	expect_delete(&member, 137);
	assert_true(container_is_alive(&owner));
	assert_true(is_there(dir));
	/* under some containerds no `delete` comes for a member: its bundle is gone */
	expect_delete(&owner, 137);
	forget_keeper("head");
	expect_nothing_left();
	container_end(&owner);
	container_end(&member);
}

/* Full, say: a container alone in its pod needs no mark, but not in silence. */
static void
test_delete_without_its_mark(void **state)
{
	struct container c = container_new("unmarked");
	AUTO_FREE char *dir = pod_file("unmarked", "");
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	dead_pod(&c);
	record("unmarked", &c, TASK_RUNNING, 0);
	write_in(dir, "purged", "in the way");
	pid = delete_launch("unmarked", c.bundle, out);
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 137);
	assert_non_null(strstr(told.err, "mark 'purged/unmarked': Not a directory"));
	assert_false(container_is_alive(&c));
	forget_keeper("unmarked");
	expect_nothing_left();
	free(told.err);
	container_end(&c);
}

/* Marks are appended to, by several, and a write may end in the middle. */
static void
test_delete_reads_marks(void **state)
{
	static const struct {
		const char *before, *after;
		bool valid;
	} marks[] = {
	    {"killed ", "\n", true},
	    {"killed ", "\ndeleted\nkilled 17\ndeleted\n", true},
	    {"killed 12killed ", "\n", true},
	    {"killkilled ", "\ndele", true},
	    {"killed \nkilled killed ", "\n", true},
	    {"killed ", "", false},
	    {"killed ", "deleted\n", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(marks); i++) {
		AUTO_FREE char *id = mem_printf("marked-%zu", i);
		AUTO_FREE char *dir = pod_file(id, "/purged");
		AUTO_FREE char *text = NULL;
		struct container c = container_new(id);
		int64_t at = clock_real_ns() - 3 * NS_PER_S;
		struct told told;
		int out[2];
		pid_t pid;

		dead_pod(&c);
		(void)kill(c.pid, SIGTERM);
		assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
		record(id, &c, TASK_RUNNING, 0);
		assert_int_equal(dir_make(dir, 0700, NULL), 0);
		text = mem_printf("%s%" PRId64 "%s", marks[i].before, at, marks[i].after);
		write_in(dir, id, text);
		pid = delete_launch(id, c.bundle, out);
		told = delete_collect(pid, out);
		assert_int_equal(told.status, marks[i].valid ? 137 : 255);
		if (marks[i].valid)
			assert_true(told.exited_at == at);
		forget_keeper(id);
		expect_nothing_left();
		free(told.err);
		c.pid = 0;
		container_end(&c);
	}
}

static void
test_delete_unmounts(void **state)
{
	struct container c = {.id = "mounts", .bundle = mem_printf("%s/mounts", top)};
	AUTO_FREE char *rootfs = mem_printf("%s/rootfs", c.bundle);
	AUTO_FREE char *below = mem_printf("%s/below", rootfs);
	AUTO_FREE char *beside = mem_printf("%s/rootfs-not", c.bundle);

	(void)state;
	assert_int_equal(mkdir(c.bundle, 0700), 0);
	assert_int_equal(mkdir(rootfs, 0700), 0);
	assert_int_equal(mkdir(beside, 0700), 0);
	if (mount("none", rootfs, "tmpfs", 0, NULL) == -1) {
		free(c.bundle);
		skip();
	}
	assert_int_equal(mount("none", beside, "tmpfs", 0, NULL), 0);
	assert_int_equal(mkdir(below, 0700), 0);
	assert_int_equal(mount("none", below, "tmpfs", 0, NULL), 0);
	expect_delete(&c, 137);
	assert_false(is_there(below));
	assert_int_equal(umount(rootfs), -1);
	assert_int_equal(umount(beside), 0);
	free(c.bundle);
}

static void
test_delete_refuses_bad_names(void **state)
{
	struct result r =
	    run(WORDS("-namespace", "test", "-id", "../x", "delete"), "", 0, bundle);

	(void)state;
	assert_int_equal(r.status, 1);
	assert_int_equal(r.out_len, 0);
	assert_non_null(strstr(r.err, "not a valid identifier"));
	result_fini(&r);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_delete_of_the_unknown, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_asks_the_keeper, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_tells_the_recorded_truth, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_kills, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_does_not_invent, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_spares_a_reused_pid, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_with_a_silent_keeper, pods_each_setup),
	    cmocka_unit_test_setup(
		test_delete_with_a_keeper_that_refuses, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_is_bounded, pods_each_setup),
	    cmocka_unit_test_setup(
		test_delete_says_why_the_runtime_failed, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_waits_for_the_last_words, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_of_the_owner_sweeps, pods_each_setup),
	    cmocka_unit_test_setup(
		test_delete_of_a_member_spares_the_others, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_without_its_mark, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_reads_marks, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_unmounts, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_refuses_bad_names, pods_each_setup),
	};

	(void)argc;
	if (keeper_is_asked(argv[0]))
		return keeper_main(argv);
	return cmocka_run_group_tests(tests, pods_setup, pods_teardown);
}

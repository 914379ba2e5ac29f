/*
 * The built launcher's `delete`: with a keeper that answers, lies or is dead,
 * with containers that are processes of ours, and with a runtime that is a
 * script of ours. Rows are written by the real store.
 */
#include "launcher_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "state/store.h"

/* What containerd waits at most. */
#define PATIENCE_US (30 * US_PER_S)

/* --- containers of ours -------------------------------------------------------- */

static char *runtime, *runtime_root, *runtime_log;

struct container {
	const char *id;
	char *bundle;
	pid_t pid;
	uint64_t start_time;
};

/* A process to kill, a bundle, and a state directory as the runtime would have. */
static struct container
container_new(const char *id)
{
	struct container c = {.id = id, .bundle = mem_printf("%s/%s", top, id)};
	AUTO_FREE char *state = mem_printf("%s/%s", runtime_root, id);

	assert_int_equal(mkdir(c.bundle, 0700), 0);
	assert_int_equal(dir_make(state, 0700, NULL), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	c.start_time = start_time_of(c.pid);
	return c;
}

static bool
container_is_alive(const struct container *c)
{
	return waitpid(c->pid, NULL, WNOHANG) == 0;
}

static void
container_end(struct container *c)
{
	if (c->pid > 0 && container_is_alive(c)) {
		(void)kill(c->pid, SIGKILL);
		(void)waitpid(c->pid, NULL, 0);
	}
	free(c->bundle);
}

/* Rows as the worker of pod `pod` would have written them. */
static struct store *
store_of(const char *pod)
{
	struct store_identity id = {.ns = "test", .group = pod, .build = "test"};
	AUTO_FREE char *dir = pod_file(pod, "");
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc = store_open(dir, &id, false, &st, NULL, &err);

	if (rc < 0)
		(void)fprintf(stderr, "%s\n", err.text);
	assert_true(rc >= 0);
	assert_int_equal(store_commit_migration(st, NULL), 0);
	return st;
}

static void
store_put(
    struct store *st, const struct container *c, enum task_state state, uint32_t status)
{
	struct row_container row = {.id = c->id,
	    .bundle = c->bundle,
	    .runtime = runtime,
	    .runtime_root = runtime_root,
	    .state = state};
	struct row_process proc = {.container = c->id,
	    .pid = c->pid,
	    .start_time = c->start_time,
	    .state = state,
	    .exit_status = status,
	    .exited_at = state == TASK_STOPPED ? 9 * NS_PER_S : 0};

	store_begin(st);
	store_put_container(st, &row);
	store_put_process(st, &proc);
	assert_int_equal(store_commit(st, STORE_MUST, NULL), 0);
}

static void
record(const char *pod, const struct container *c, enum task_state state, uint32_t status)
{
	struct store *st = store_of(pod);

	store_put(st, c, state, status);
	store_close(st);
}

/* --- asking and reading ------------------------------------------------------------ */

static pid_t
delete_launch(const char *id, const char *cwd, int out[2])
{
	return launch(WORDS("-namespace", "test", "-address", grpc, "-publish-binary",
			  "/bin/true", "-id", id, "-bundle", cwd, "delete"),
	    "", 0, cwd, out);
}

struct told {
	uint32_t pid, status;
	int64_t exited_at;
	char *err;
};

static struct told
delete_collect(pid_t pid, int out[2])
{
	struct result r = collect(pid, out);
	Containerd__Task__V2__DeleteResponse *d;
	struct told told;

	assert_int_equal(r.status, 0);
	assert_true(r.took_us < PATIENCE_US);
	assert_true(r.out_len > 0);
	d = containerd__task__v2__delete_response__unpack(
	    NULL, r.out_len, (uint8_t *)r.out);
	assert_non_null(d);
	told = (struct told){.pid = d->pid,
	    .status = d->exit_status,
	    .exited_at = wire_timestamp_ns(d->exited_at),
	    .err = steal_ptr(&r.err)};
	containerd__task__v2__delete_response__free_unpacked(d, NULL);
	result_fini(&r);
	return told;
}

static void
expect_delete(const struct container *c, uint32_t status)
{
	int out[2];
	pid_t pid = delete_launch(c->id, c->bundle, out);
	struct told told = delete_collect(pid, out);

	if (told.err[0] != '\0')
		(void)fprintf(stderr, "# stderr: %s", told.err);
	assert_int_equal(told.pid, c->pid);
	assert_int_equal(told.status, status);
	assert_string_equal(told.err, "");
	if (status == 137 || status == 255)
		assert_true(told.exited_at > clock_real_ns() - 10 * NS_PER_S);
	else
		assert_true(told.exited_at == 9 * NS_PER_S);
	free(told.err);
}

static void
expect_runtime_ran(const struct container *c, bool ran)
{
	AUTO_FREE char *want =
	    mem_printf("--root %s/test --log %s/log.json --log-format json "
		       "delete --force %s\n",
		top, c->bundle, c->id);
	AUTO_FREE char *state = mem_printf("%s/%s", runtime_root, c->id);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)file_read(AT_FDCWD, runtime_log, 65536, &text, &len, NULL);
	assert_int_equal(text != NULL && strstr(text, want) != NULL, ran);
	assert_int_equal(is_there(state), !ran);
}

/* A pod whose keeper is killed. */
static void
dead_pod(struct container *c)
{
	AUTO_FREE char *dir = pod_file(c->id, "");
	struct result r = start(c->id, c->bundle);
	pid_t pid = keeper_pid(c->id);

	assert_int_equal(r.status, 0);
	result_fini(&r);
	write_in(dir, "worker.lock", ""); /* as a worker leaves it */
	keeper_kill(pid);
}

static void
forget_keeper(const char *id)
{
	AUTO_FREE char *confession = pod_file(id, ".confession");
	AUTO_FREE char *pid = pod_file(id, ".pid");

	(void)unlink(confession);
	(void)unlink(pid);
}

static void
runtime_is(const char *script)
{
	AUTO_FREE char *text =
	    mem_printf("#!/bin/sh\necho \"$@\" >>%s\n%s\n", runtime_log, script);

	assert_int_equal(
	    file_write(AT_FDCWD, runtime, text, strlen(text), 0700, NULL), 0);
}

#define RUNTIME_WORKS "for a; do :; done; rmdir \"$2/$a\""

static int
each_setup(void **state)
{
	(void)state;
	(void)unsetenv("FAKE_PURGE");
	(void)unlink(runtime_log);
	runtime_is(RUNTIME_WORKS);
	return 0;
}

/* --- tests ------------------------------------------------------------------------- */

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
	(void)kill(pid, SIGKILL);
	while (kill(pid, 0) == 0)
		(void)poll(NULL, 0, 2);
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
	static const char *const ways[] = {"error", "close", "unknown"};
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
		assert_int_equal(told.status, 137);
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

/* The worker of a dead keeper holds its lock till its last row is written. */
static void
test_delete_waits_for_the_last_words(void **state)
{
	struct container c = container_new("last");
	AUTO_FREE char *lock_path = pod_file("last", "/worker.lock");
	AUTO_CLOSE int lock = -1;
	struct told told;
	int out[2];
	pid_t pid;

	(void)state;
	dead_pod(&c);
	record("last", &c, TASK_RUNNING, 0);
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(lock >= 0 && flock(lock, LOCK_EX) == 0);
	pid = delete_launch("last", c.bundle, out);
	(void)poll(NULL, 0, 200);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	record("last", &c, TASK_STOPPED, 11);
	fd_close(&lock);
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 11);
	forget_keeper("last");
	expect_nothing_left();
	free(told.err);
	container_end(&c);
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

static void
test_delete_twice_at_once(void **state)
{
	int round, out[2][2], i;
	pid_t pid[2];

	(void)state;
	for (round = 0; round < 10; round++) {
		AUTO_FREE char *id = mem_printf("twice-%d", round);
		struct container c = container_new(id);

		dead_pod(&c);
		record(id, &c, TASK_RUNNING, 0);
		for (i = 0; i < 2; i++)
			pid[i] = delete_launch(id, c.bundle, out[i]);
		for (i = 0; i < 2; i++) {
			struct told told = delete_collect(pid[i], out[i]);

			assert_int_equal(told.status, 137);
			free(told.err);
		}
		assert_false(container_is_alive(&c));
		forget_keeper(id);
		expect_nothing_left();
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

/* ----------------------------------------------------------------------------------- */

static int
setup(void **state)
{
	/* mounts of ours are nobody else's business */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		(void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (launcher_setup(state) != 0)
		return -1;
	runtime = mem_printf("%s/runtime.sh", top);
	runtime_root = mem_printf("%s/test", top);
	runtime_log = mem_printf("%s/runtime.log", top);
	return 0;
}

static int
teardown(void **state)
{
	free(runtime);
	free(runtime_root);
	free(runtime_log);
	return launcher_teardown(state);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_delete_of_the_unknown, each_setup),
	    cmocka_unit_test_setup(test_delete_asks_the_keeper, each_setup),
	    cmocka_unit_test_setup(test_delete_tells_the_recorded_truth, each_setup),
	    cmocka_unit_test_setup(test_delete_kills, each_setup),
	    cmocka_unit_test_setup(test_delete_does_not_invent, each_setup),
	    cmocka_unit_test_setup(test_delete_spares_a_reused_pid, each_setup),
	    cmocka_unit_test_setup(test_delete_with_a_silent_keeper, each_setup),
	    cmocka_unit_test_setup(test_delete_with_a_keeper_that_refuses, each_setup),
	    cmocka_unit_test_setup(test_delete_is_bounded, each_setup),
	    cmocka_unit_test_setup(test_delete_says_why_the_runtime_failed, each_setup),
	    cmocka_unit_test_setup(test_delete_waits_for_the_last_words, each_setup),
	    cmocka_unit_test_setup(test_delete_of_the_owner_sweeps, each_setup),
	    cmocka_unit_test_setup(test_delete_of_a_member_spares_the_others, each_setup),
	    cmocka_unit_test_setup(test_delete_twice_at_once, each_setup),
	    cmocka_unit_test_setup(test_delete_unmounts, each_setup),
	    cmocka_unit_test_setup(test_delete_refuses_bad_names, each_setup),
	};

	(void)argc;
	if (keeper_is_asked(argv[0]))
		return keeper_main(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}

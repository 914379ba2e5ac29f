/*
 * The built launcher's `delete`, several at a time: of one container, of a whole pod; none may
 * lose what another has done (launcher/marks.h).
 */
#include "launcher_pods.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/poddir.h"

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

/* Nobody's mark is lost: the last of them, whoever it is, removes the pod. */
static void
test_delete_all_at_once(void **state)
{
	enum { N = 12, ROUNDS = 12 };
	int round, out[N][2], i, lock;
	pid_t pid[N];

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		AUTO_FREE char *address = NULL;
		AUTO_FREE char *dir = NULL;
		AUTO_FREE char *lock_path = NULL;
		char id[N][32];
		struct container c[N];
		struct store *st;

		for (i = 0; i < N; i++) {
			(void)snprintf(id[i], sizeof id[i], "all-%d-%d", round, i);
			c[i] = container_new(id[i]);
		}
		dir = pod_file(id[0], "");
		dead_pod(&c[0]);
		address = read_in(c[0].bundle, "address");
		st = store_of(id[0]);
		for (i = 0; i < N; i++) {
			AUTO_FREE char *state_path = NULL;

			write_in(c[i].bundle, "address", address);
			store_put(st, &c[i], TASK_STOPPED, 5);
			state_path = mem_printf("%s/%s", runtime_root, id[i]);
			assert_int_equal(rmdir(state_path), 0);
		}
		store_close(st);
		/* the last worker still writes: all wait for it, then all go on */
		lock_path = mem_printf("%s/worker.lock", dir);
		lock = open(lock_path, O_RDWR | O_CLOEXEC);
		assert_int_equal(flock(lock, LOCK_EX), 0);
		for (i = 0; i < N; i++)
			pid[i] = delete_launch(id[i], c[i].bundle, out[i]);
		for (i = 0; i < N; i++)
			delete_wait_open(pid[i], lock_path);
		(void)close(lock);
		for (i = 0; i < N; i++) {
			struct told told = delete_collect(pid[i], out[i]);

			assert_int_equal(told.status, 5);
			free(told.err);
		}
		assert_false(is_there(dir));
		forget_keeper(id[0]);
		expect_nothing_left();
		for (i = 0; i < N; i++)
			container_end(&c[i]);
	}
}

/* --- one that is stopped where another overtakes it -------------------------------- */

static bool
tracee_says(pid_t pid, uint64_t addr, const char *text)
{
	char there[64] = "";
	struct iovec to = {there, strlen(text) + 1};
	struct iovec from = {(void *)(uintptr_t)addr, strlen(text) + 1};

	assert_true(to.iov_len <= sizeof there);
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == (ssize_t)to.iov_len &&
	    strcmp(there, text) == 0;
}

/* Lets it go on until it has tried to open that name, and holds it there. False: it has ended. */
static bool
hold_behind_open(pid_t pid, const char *name)
{
	struct __ptrace_syscall_info info;
	bool opens = false, behind = false;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) == -1 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1)
		return false;
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && !behind) {
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid,
					(void *)sizeof info, &info) > 0);
			behind = opens && info.op == PTRACE_SYSCALL_INFO_EXIT;
			opens = info.op == PTRACE_SYSCALL_INFO_ENTRY &&
			    info.entry.nr == SYS_openat &&
			    tracee_says(pid, info.entry.args[1], name);
		}
		if (behind)
			return true;
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
	}
	return false;
}

/* False if it was too quick for us. */
static bool
overtaken(const char *id)
{
	struct container c = container_new(id);
	AUTO_FREE char *marks = pod_file(id, "/" POD_PURGED_DIR);
	AUTO_FREE char *mark = mem_printf("killed %" PRId64 "\n", c.made + NS_PER_S);
	struct told told;
	bool held;
	int out[2];
	pid_t pid;

	dead_pod(&c);
	record(id, &c, TASK_RUNNING, 0);
	assert_int_equal(mkdir(marks, 0700), 0);
	pid = delete_launch(id, c.bundle, out);
	/* it has looked for a mark and found none; now the other one marks, and kills */
	held = hold_behind_open(pid, id);
	if (held) {
		write_in(marks, id, mark);
		assert_int_equal(kill(c.pid, SIGKILL), 0);
		assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
		assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	}
	told = delete_collect(pid, out);
	assert_int_equal(told.status, 137);
	if (held)
		assert_true(told.exited_at == c.made + NS_PER_S);
	forget_keeper(id);
	expect_nothing_left();
	free(told.err);
	container_end(&c);
	return held;
}

static void
test_delete_overtaken_by_another(void **state)
{
	bool seen = false;
	int i;

	(void)state;
	if (getenv("PODSHIM_VALGRIND") != NULL)
		skip(); /* it does not know these ptrace requests */
	for (i = 0; i < 20 && !seen; i++) {
		AUTO_FREE char *id = mem_printf("overtaken-%d", i);

		seen = overtaken(id);
	}
	assert_true(seen);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_delete_twice_at_once, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_all_at_once, pods_each_setup),
	    cmocka_unit_test_setup(test_delete_overtaken_by_another, pods_each_setup),
	};

	(void)argc;
	if (keeper_is_asked(argv[0]))
		return keeper_main(argv);
	return cmocka_run_group_tests(tests, pods_setup, pods_teardown);
}

/*
 * Workers that do not come up, and what the keeper makes of it: whose fault it
 * is, what it costs those who wait, and when it is given up. With short times.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ipc/admin.h"
#include "keeper_rig.h"
#include "proto/status.h"

/* A child that asks for a restart and waits for the answer. */
static pid_t
ask_for_restart(struct rig *rig)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char *text = NULL;

		_exit(-admin_restart(rig->pod_dir_fd, RIG_WAIT_MS, &text, NULL));
	}
	return pid;
}

/* A worker that comes as far as its store, and then does this. */
static void
fail_boot(struct rig *rig, const char *command)
{
	rig_take_worker(rig);
	rig_hello(rig);
	rig->box->ask_ready = 1;
	rig_end_worker(rig, command);
}

/* It has run, and been given a Wait that is no longer young. */
static int
begin_with_wait(struct rig *rig)
{
	int c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 1, "wait");
	rig_expect_request(rig, 1, 0);
	client_expect_nothing(c, 400);
	return c;
}

/* The next worker has the Wait again. */
static void
end_with_wait(struct rig *rig, int c)
{
	rig_take_worker(rig);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	rig_ready(rig);
	rig_answer(rig, 1, "exited");
	client_expect_text(c, 1, "exited");
	(void)close(c);
}

/* --- whom it is told --------------------------------------------------------- */

/* Without hope, too: a Wait that failed is an exit to containerd. */
static void
test_keeper_never_refuses_an_old_wait(void **state)
{
	struct rig *rig = *state;
	int i, status, c = begin_with_wait(rig);
	pid_t asker;

	rig_kill_worker(rig);
	for (i = 0; i < 6; i++)
		fail_boot(rig, "x\116"); /* refuses: that takes no time */
	client_request(c, 3, "state");
	client_expect_status(c, 3, STATUS_UNAVAILABLE);
	client_expect_nothing(c, 300);
	assert_int_equal(rig_status(rig, "requests"), 1);
	asker = ask_for_restart(rig);
	end_with_wait(rig, c);
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_int_equal(status, 0);
}

/* A machine in need passes: six failures in a second are no reason to give up. */
static void
test_keeper_gives_up_only_after_some_time(void **state)
{
	struct rig *rig = *state;
	int i, c = begin_with_wait(rig);
	boot_us_t begun = clock_boot_us();

	rig_kill_worker(rig);
	for (i = 0; i < 6; i++) {
		rig_take_worker(rig);
		rig_end_worker(rig, "x\1");
	}
	client_request(c, 3, "state");
	rig_wait_status_from(rig, "failed_boots", 6);
	while (poll(&(struct pollfd){.fd = c, .events = POLLIN}, 1, 0) == 0) {
		struct pollfd pfd = {.fd = rig->control_fd, .events = POLLIN};

		if (poll(&pfd, 1, 10) == 0)
			continue;
		rig_take_worker(rig);
		rig_end_worker(rig, "x\1");
	}
	client_expect_status(c, 3, STATUS_UNAVAILABLE);
	assert_true(clock_boot_us() - begun >= 3 * US_PER_S);
	client_expect_nothing(c, 100); /* the Wait */
	(void)close(c);
}

/* Whom containerd has given up already, before the keeper gives up its worker. */
static void
test_keeper_ends_when_both_have_given_up(void **state)
{
	struct rig *rig = *state;
	struct pollfd pfd = {.fd = rig->control_fd, .events = POLLIN};
	boot_us_t begun = clock_boot_us();
	siginfo_t gone = {0};

	rig_boot(rig);
	rig_kill_worker(rig);
	assert_int_equal(admin_end(rig->pod_dir_fd, RIG_WAIT_MS, NULL), -EBUSY);
	while (gone.si_pid == 0) {
		if (poll(&pfd, 1, 10) == 1) {
			rig_take_worker(rig);
			rig_end_worker(rig, "x\1");
		}
		assert_true(clock_boot_us() - begun < RIG_WAIT_MS * US_PER_MS);
		assert_int_equal(
		    waitid(P_PID, (id_t)rig->keeper, &gone, WEXITED | WNOHANG | WNOWAIT),
		    0);
	}
	assert_true(clock_boot_us() - begun >= 3 * US_PER_S);
	rig_wait_keeper_gone(rig);
}

/* But not if somebody has come since. */
static void
test_keeper_stays_for_one_who_came_later(void **state)
{
	struct rig *rig = *state;
	int i, status, c = begin_with_wait(rig);
	pid_t asker;

	assert_int_equal(admin_end(rig->pod_dir_fd, RIG_WAIT_MS, NULL), -EBUSY);
	client_request(c, 3, "state");
	rig_expect_request(rig, 2, 0);
	rig_answer(rig, 2, "ok");
	client_expect_text(c, 3, "ok");
	rig_kill_worker(rig);
	for (i = 0; i < 6; i++)
		fail_boot(rig, "x\116");
	rig_wait_status_from(rig, "failed_boots", 6);
	asker = ask_for_restart(rig);
	end_with_wait(rig, c);
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_int_equal(status, 0);
}

/* --- whose fault ------------------------------------------------------------- */

/* It sits in the kernel, which waits for a disk: neither build nor store did that. */
static void
test_keeper_does_not_count_what_the_kernel_holds(void **state)
{
	struct rig *rig = *state;
	int i, c = begin_with_wait(rig);

	rig_kill_worker(rig);
	for (i = 0; i < 4; i++)
		fail_boot(rig, "d\0");
	rig_take_worker(rig);
	assert_int_equal(rig_status(rig, "failed_boots"), 0);
	rig_hello(rig);
	assert_int_equal(rig->welcome.mode, BOOT_NORMAL);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	(void)close(c);
}

/* The machine slept, and the worker with the keeper: it gets its time anew. */
static void
test_keeper_does_not_blame_for_what_it_slept_through(void **state)
{
	struct rig *rig = *state;

	rig_boot(rig);
	rig_kill_worker(rig);
	rig_take_worker(rig);
	assert_int_equal(kill(rig->keeper, SIGSTOP), 0);
	rig_recv_nothing(rig, 2500);
	assert_int_equal(kill(rig->keeper, SIGCONT), 0);
	assert_int_equal(rig_status(rig, "worker_pid"), rig->worker);
	rig_hello(rig);
	rig_ready(rig);
}

/* --- how long ---------------------------------------------------------------- */

/* Its recovery takes longer than the limit, and goes on all the time. */
static void
recover_slowly(struct rig *rig)
{
	boot_us_t begun;

	rig_take_worker(rig);
	begun = clock_boot_us();
	rig_hello(rig);
	while (clock_boot_us() - begun < 3 * US_PER_S / 2) {
		rig->box->loops++;
		(void)poll(NULL, 0, 50);
	}
}

static void
test_keeper_waits_for_one_that_recovers(void **state)
{
	struct rig *rig = *state;
	pid_t first;

	recover_slowly(rig);
	rig_ready(rig);
	rig_kill_worker(rig);
	/* not for one that stands still */
	rig_take_worker(rig);
	rig_hello(rig);
	rig->box->loops++;
	rig_take_worker(rig);
	assert_int_equal(rig_status(rig, "failed_boots"), 1);
	/* nor for ever for one that runs in a circle */
	first = rig->worker;
	rig_hello(rig);
	while (
	    poll(&(struct pollfd){.fd = rig->control_fd, .events = POLLIN}, 1, 50) == 0)
		rig->box->loops++;
	rig_take_worker(rig);
	assert_true(rig->worker != first);
	assert_int_equal(rig_status(rig, "failed_boots"), 2);
}

static void
test_keeper_waits_for_a_new_build_that_recovers(void **state)
{
	struct rig *rig = *state;
	char path[128], *text = NULL;
	int exe, status;
	pid_t asker;

	(void)snprintf(path, sizeof path, "%s/podshim-worker", rig->libexec);
	exe = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(exe >= 0);
	rig_boot(rig);
	asker = fork();
	assert_true(asker >= 0);
	if (asker == 0)
		_exit(-admin_upgrade(rig->pod_dir_fd, exe, RIG_WAIT_MS, &text, NULL));
	rig_expect_quiesce(rig, QUIESCE_UPGRADE);
	recover_slowly(rig);
	assert_int_equal(rig->welcome.mode, BOOT_UPGRADE);
	rig_ready(rig);
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_int_equal(status, 0);
	(void)close(exe);
}

/* --- those that do not die --------------------------------------------------- */

/*
 * The keeper kills it for what it says, and cannot reap it: a process that is
 * traced is first for its tracer, us, to wait for.
 */
static pid_t
leave_behind(struct rig *rig)
{
	struct msg_head head = {.type = MSG_SPAWN, .key = KEY_INTERNAL | 1};

	rig_take_worker(rig);
	rig_hello(rig);
	if (ptrace(PTRACE_SEIZE, rig->worker, NULL, NULL) == -1)
		skip();
	rig_send(rig, &head, NULL, NULL, 0);
	return rig->worker;
}

static void
expect_no_worker(struct rig *rig, int ms)
{
	struct pollfd pfd = {.fd = rig->control_fd, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, ms), 0);
}

static void
test_keeper_leaves_only_a_few_behind(void **state)
{
	struct rig *rig = *state;
	int i, c = begin_with_wait(rig);
	char *text = NULL;
	pid_t left[3];

	rig_kill_worker(rig);
	for (i = 0; i < 3; i++)
		left[i] = leave_behind(rig);
	/* the last is given up after 0.2 s, and who waits then waits on */
	rig_wait_status(rig, "left_behind", 3);
	expect_no_worker(rig, 700);
	client_request(c, 3, "state");
	expect_no_worker(rig, 1500);
	assert_int_equal(admin_status(rig->pod_dir_fd, RIG_WAIT_MS, &text, NULL), 0);
	assert_non_null(strstr(text, "\nworker_state=down\n"));
	assert_non_null(strstr(text, "\nleft_behind=3\n"));
	free(text);
	/* what held them lets one of them go: no reason to wait any longer */
	assert_int_equal(waitpid(left[0], NULL, __WALL), left[0]);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	rig_ready(rig);
	rig_expect_request(rig, 2, 0);
	/* they are no reason to be slow when one dies that can */
	rig_end_worker(rig, "x\1");
	rig_boot(rig);
	for (i = 1; i < 3; i++)
		assert_int_equal(waitpid(left[i], NULL, __WALL), left[i]);
	(void)close(c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup_hasty, rig_teardown)
#define B(name) cmocka_unit_test_setup_teardown(name, rig_setup_hasty_boot, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_never_refuses_an_old_wait),
	    T(test_keeper_gives_up_only_after_some_time),
	    T(test_keeper_ends_when_both_have_given_up),
	    T(test_keeper_stays_for_one_who_came_later),
	    B(test_keeper_does_not_count_what_the_kernel_holds),
	    B(test_keeper_does_not_blame_for_what_it_slept_through),
	    B(test_keeper_waits_for_one_that_recovers),
	    B(test_keeper_waits_for_a_new_build_that_recovers),
	    T(test_keeper_leaves_only_a_few_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

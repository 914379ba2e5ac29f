/*
 * The keeper's end: what it waits for, and that it leaves nothing.
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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/admin.h"
#include "keeper_rig.h"

static void
idle(struct rig *rig, uint64_t n)
{
	struct msg_head head = {.type = MSG_IDLE, .a = n};

	rig_send(rig, &head, NULL, NULL, 0);
}

static void
mark(struct rig *rig, const char *text)
{
	_Alignas(8) char buf[64];
	struct msg_head head = {.type = MSG_MARK};
	size_t len = 0;

	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_TEXT, text), 0);
	head.len = (uint32_t)len;
	rig_send(rig, &head, buf, NULL, 0);
	(void)rig_status(rig, "pins"); /* it has been read then */
	(void)rig_status(rig, "pins");
}

static void
expect_nothing_left(struct rig *rig)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/root", rig->dir);
	assert_int_equal(access(rig->socket_path, F_OK), -1);
	assert_int_equal(access(rig->lock_path, F_OK), -1);
	assert_int_equal(access(rig->pod_dir, F_OK), -1);
	assert_int_equal(access(path, F_OK), -1);
}

static void
test_keeper_end_leaves_nothing(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig), lock;
	struct msg_step step;

	assert_int_equal(mkdirat(rig->pod_dir_fd, "purged", 0700), 0);
	(void)close(
	    openat(rig->pod_dir_fd, "purged/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	idle(rig, 1); /* not with an unanswered request */
	rig_spawn_sh(
	    rig, KEY_INTERNAL | 1, 0, NULL, "while [ ! -e go ]; do sleep 0.01; done");
	rig_answer(rig, 1, "a");
	client_expect_text(c, 1, "a");
	rig_recv_nothing(rig, 150); /* nor with a child */
	assert_int_equal(admin_pin(rig->pod_dir_fd, "next", RIG_WAIT_MS, NULL), 0);
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_recv_step(rig, &step);
	rig_recv_nothing(rig, 150); /* nor pinned */
	lock = open(rig->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	rig_send_name(rig, MSG_UNPIN, "next", 0, -1);
	rig_recv_nothing(rig, 150); /* nor while a launcher holds the lock */
	assert_int_equal(flock(lock, LOCK_UN), 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
	client_expect_closed(c);
	(void)close(lock);
	(void)close(c);
}

static void
test_keeper_end_waits_for_news(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	rig_answer(rig, 1, "a");
	client_request(c, 3, "r");
	rig_expect_request(rig, 2, 0);
	rig_answer(rig, 2, "b");
	client_expect_text(c, 1, "a");
	client_expect_text(c, 3, "b");
	idle(rig, 1); /* it had not seen 2 when it said so */
	rig_recv_nothing(rig, 150);
	idle(rig, 2);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
	(void)close(c);
}

/* It has seen none of those that its predecessor answered, or that nobody got. */
static void
test_keeper_ends_with_a_later_worker(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	rig_answer(rig, 1, "a");
	client_expect_text(c, 1, "a");
	rig_kill_worker(rig);
	rig_take_worker(rig);
	client_request(c, 3, "r");
	rig_wait_status(rig, "requests", 1);
	(void)close(c);
	rig_wait_status(rig, "requests", 0);
	rig_hello(rig);
	rig_ready(rig);
	idle(rig, 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}

/* What one worker says of being idle is not another's. */
static void
test_keeper_end_asks_each_worker(void **state)
{
	struct rig *rig = *state;
	struct rig_packet p;

	rig_boot(rig);
	assert_int_equal(admin_pin(rig->pod_dir_fd, "next", RIG_WAIT_MS, NULL), 0);
	rig_recv_type(rig, MSG_PINNED, &p);
	idle(rig, 0);
	rig_kill_worker(rig);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv_type(rig, MSG_PINNED, &p);
	rig_ready(rig);
	rig_send_name(rig, MSG_UNPIN, "next", 0, -1);
	rig_recv_nothing(rig, 150);
	idle(rig, 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}

static void
test_keeper_ends_on_sigterm_without_children(void **state)
{
	struct rig *rig = *state;
	struct msg_step step;
	struct msg_exit ex;

	rig_boot(rig);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, SPAWN_ADOPT, "s.pid",
	    "sh -c 'while [ ! -e go ]; do sleep 0.01; done' & echo $! > s.pid");
	rig_recv_step(rig, &step);
	assert_int_equal(kill(rig->keeper, SIGTERM), 0);
	rig_recv_nothing(rig, 100);
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_recv_exit(rig, &ex);
	/* one that has ended may still be asked for its status */
	mark(rig, "c=stopped");
	assert_int_equal(kill(rig->keeper, SIGTERM), 0);
	rig_recv_nothing(rig, 100);
	mark(rig, "");
	assert_int_equal(kill(rig->keeper, SIGTERM), 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}

/* With the lock held, as by a launcher: the keeper wants to end, and cannot. */
static int
term_under_lock(struct rig *rig)
{
	int lock = open(rig->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(kill(rig->keeper, SIGTERM), 0);
	/* the first may be read in the same pass as the signal */
	(void)rig_status(rig, "pins");
	(void)rig_status(rig, "pins");
	return lock;
}

/* SIGTERM is about what was there: a container that comes after it stays. */
static void
test_keeper_sigterm_is_forgotten_for_a_pin(void **state)
{
	struct rig *rig = *state;
	struct rig_packet p;
	int lock;

	rig_boot(rig);
	lock = term_under_lock(rig);
	assert_int_equal(admin_pin(rig->pod_dir_fd, "late", RIG_WAIT_MS, NULL), 0);
	rig_recv_type(rig, MSG_PINNED, &p);
	(void)close(lock);
	rig_recv_nothing(rig, 250);
	rig_send_name(rig, MSG_UNPIN, "late", 0, -1);
	rig_recv_nothing(rig, 250);
	/* one that was there before it is waited for */
	assert_int_equal(admin_pin(rig->pod_dir_fd, "early", RIG_WAIT_MS, NULL), 0);
	rig_recv_type(rig, MSG_PINNED, &p);
	assert_int_equal(kill(rig->keeper, SIGTERM), 0);
	rig_recv_nothing(rig, 250);
	rig_send_name(rig, MSG_UNPIN, "early", 0, -1);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}

static void
test_keeper_sigterm_is_forgotten_for_a_request(void **state)
{
	struct rig *rig = *state;
	int lock, c = rig_connect(rig);
	struct msg_step step;
	struct msg_exit ex;

	rig_boot(rig);
	lock = term_under_lock(rig);
	client_request(c, 1, "create");
	rig_expect_request(rig, 1, 0);
	(void)close(lock);
	rig_recv_nothing(rig, 250); /* not with a request unanswered */
	rig_spawn_sh(rig, key_of_step(1, 1), SPAWN_ADOPT, "s.pid",
	    "sh -c 'while [ ! -e go ]; do sleep 0.01; done' & echo $! > s.pid");
	rig_recv_step(rig, &step);
	rig_answer(rig, 1, "ok");
	client_expect_text(c, 1, "ok");
	/* its exit is yet to be told: to the worker, and by it to containerd */
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_recv_exit(rig, &ex);
	rig_recv_nothing(rig, 250);
	rig_ack(rig, ex.key, ACK_EXIT);
	idle(rig, 1);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
	(void)close(c);
}
static void
test_keeper_end_kills_a_worker_that_stays(void **state)
{
	struct rig *rig = *state;
	struct rig_packet p;

	rig_boot(rig);
	idle(rig, 0);
	rig_recv_type(rig, MSG_QUIESCE, &p);
	rig_wait_keeper_gone(rig); /* 2 s later */
	expect_nothing_left(rig);
}

/* Somebody removed all of it: there is nothing left to guard. */
static void
test_keeper_ends_without_its_directory(void **state)
{
	struct rig *rig = *state;
	char from[128], to[128];

	rig_boot(rig);
	(void)snprintf(from, sizeof from, "%s/root", rig->dir);
	(void)snprintf(to, sizeof to, "%s/away", rig->dir);
	assert_int_equal(rename(from, to), 0);
	idle(rig, 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}

/* A lock that cannot be had for another reason: tried again, not told again. */
static void
test_keeper_tells_once_that_it_cannot_end(void **state)
{
	struct rig *rig = *state;
	boot_us_t end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;

	rig_boot(rig);
	assert_int_equal(symlink("elsewhere", rig->lock_path), 0);
	idle(rig, 0);
	while (rig_log_says("pod.lock': ") == 0) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 5);
	}
	rig_recv_nothing(rig, 600);
	assert_int_equal(rig_log_says("pod.lock': "), 1);
	assert_int_equal(unlink(rig->lock_path), 0);
	rig_expect_quiesce(rig, QUIESCE_END);
	rig_wait_keeper_gone(rig);
	expect_nothing_left(rig);
}
/* What a delete call asks for is refused while there is a worker to see to it. */
static void
test_keeper_end_is_not_for_the_asking(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(admin_end(rig->pod_dir_fd, RIG_WAIT_MS, NULL), -EBUSY);
	rig_boot(rig);
	assert_int_equal(admin_end(rig->pod_dir_fd, RIG_WAIT_MS, NULL), -EBUSY);
	rig_kill_worker(rig);
	assert_int_equal(admin_end(rig->pod_dir_fd, RIG_WAIT_MS, NULL), -EBUSY);
	rig_boot(rig); /* it goes on as if nothing had been asked */
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_end_leaves_nothing),
	    T(test_keeper_end_waits_for_news),
	    T(test_keeper_ends_with_a_later_worker),
	    T(test_keeper_end_asks_each_worker),
	    T(test_keeper_ends_on_sigterm_without_children),
	    T(test_keeper_sigterm_is_forgotten_for_a_pin),
	    T(test_keeper_sigterm_is_forgotten_for_a_request),
	    T(test_keeper_end_kills_a_worker_that_stays),
	    T(test_keeper_ends_without_its_directory),
	    T(test_keeper_end_is_not_for_the_asking),
	    cmocka_unit_test_setup_teardown(test_keeper_tells_once_that_it_cannot_end,
		rig_setup_logged, rig_teardown_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

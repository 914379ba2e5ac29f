/*
 * A keeper that is short of memory or of descriptors, or whose worker stands
 * still: it answers, remembers and goes on, and is well again afterwards.
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "keeper_rig.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "sanitized.h"

static void
limit(struct rig *rig, int what, rlim_t soft, struct rlimit *old)
{
	struct rlimit now;

	assert_int_equal(prlimit(rig->keeper, (__rlimit_resource_t)what, NULL, old), 0);
	now = *old;
	now.rlim_cur = soft;
	assert_int_equal(prlimit(rig->keeper, (__rlimit_resource_t)what, &now, NULL), 0);
}

static void
unlimit(struct rig *rig, int what, const struct rlimit *old)
{
	assert_int_equal(prlimit(rig->keeper, (__rlimit_resource_t)what, old, NULL), 0);
}

static rlim_t
fds_open(struct rig *rig)
{
	char path[64];
	rlim_t n = 3; /* the highest number may be beyond the count */
	int i;

	for (i = 0; i < 200; i++) {
		(void)snprintf(
		    path, sizeof path, "/proc/%ld/fd/%d", (long)rig->keeper, i);
		if (access(path, F_OK) == 0)
			n = (rlim_t)i + 1;
	}
	return n;
}

static rlim_t
memory_size(struct rig *rig)
{
	char path[64], *text = NULL, *p;
	size_t len;
	rlim_t kb;

	(void)snprintf(path, sizeof path, "/proc/%ld/status", (long)rig->keeper);
	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	p = strstr(text, "VmSize:");
	assert_non_null(p);
	kb = strtoull(p + 7, NULL, 10);
	free(text);
	return kb * 1024;
}

static void
test_keeper_short_of_descriptors(void **state)
{
	static char big[60000];
	struct rig *rig = *state;
	int c = rig_connect(rig), d, null = open("/dev/null", O_RDONLY | O_CLOEXEC), k;
	struct msg_step step;
	struct rlimit old;
	struct rig_packet p;

	rig_boot(rig);
	assert_int_equal(rig_status(rig, "connections"), 1);
	/* what STATUS used is closed again once somebody else was served */
	client_request(c, 1, "r");
	rig_recv_type(rig, MSG_REQUEST, &p);
	for (k = 0; k < 100; k++) { /* fill the holes below the limit */
		rig_send_name(rig, MSG_FD_PUT, "hole", 0, null);
		rig_send_name(rig, MSG_FD_DROP, "hole", 0, -1);
	}
	rig_send_name(rig, MSG_FD_GET, "x", 0, -1);
	rig_recv_type(rig, MSG_FD, &p);
	limit(rig, RLIMIT_NOFILE, 3, &old);
	/* a descriptor that cannot be received: said, not lost silently */
	rig_send_name(rig, MSG_FD_PUT, "lost", 0, null);
	rig_recv_type(rig, MSG_FD, &p);
	assert_true(p.head.key == 1 && p.head.b == EMFILE);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, 0, NULL, "echo no >> no");
	rig_recv_step(rig, &step);
	assert_true(step.state == STEP_FAILED && step.error == EMFILE);
	/* no memfd for it */
	client_frame(c, 3, FRAME_REQUEST, big, sizeof big);
	client_expect_status(c, 3, STATUS_RESOURCE_EXHAUSTED);
	client_request(c, 5, "small");
	rig_recv_type(rig, MSG_REQUEST, &p);
	assert_int_equal(p.head.key, 2);
	/* a connection waits, it is not closed */
	d = rig_connect(rig);
	client_request(d, 1, "patience");
	client_expect_nothing(d, 100);
	unlimit(rig, RLIMIT_NOFILE, &old);
	rig_recv_type(rig, MSG_REQUEST, &p); /* within a second */
	assert_int_equal(p.head.key, 3);
	rig_spawn_sh(rig, KEY_INTERNAL | 2, 0, NULL, "true");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	assert_int_equal(rig_lines(rig, "no"), 0);
	(void)close(c);
	(void)close(d);
	(void)close(null);
}

/* Nor is it the worker's fault that its start finds no descriptor. */
static void
test_keeper_short_of_descriptors_for_a_worker(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct rlimit old;

	rig_boot(rig);
	client_request(c, 1, "wait");
	rig_expect_request(rig, 1, 0);
	/* enough for the keeper; its child moves them above 255 first */
	limit(rig, RLIMIT_NOFILE, 257, &old);
	rig_kill_worker(rig);
	rig_wait_status_from(rig, "deaths", 7);
	assert_int_equal(rig_status(rig, "failed_boots"), 0);
	client_expect_nothing(c, 0);
	unlimit(rig, RLIMIT_NOFILE, &old);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	(void)close(c);
}

static bool
ignores(pid_t pid, int signo)
{
	char path[64], *text = NULL, *p;
	uint64_t set;
	size_t len;

	(void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	p = strstr(text, "\nSigIgn:");
	assert_non_null(p);
	set = strtoull(p + strlen("\nSigIgn:"), NULL, 16);
	free(text);
	return (set >> (signo - 1) & 1) != 0;
}

/* A limit on files, as containerd's unit may have one, is for memfds, too. */
static void
test_keeper_short_of_file_size(void **state)
{
	static char big[1 << 20];
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct msg_step step;
	struct rlimit old;

	rig_boot(rig);
	limit(rig, RLIMIT_FSIZE, 256 << 10, &old);
	client_frame(c, 1, FRAME_REQUEST, big, sizeof big);
	client_expect_status(c, 1, STATUS_RESOURCE_EXHAUSTED);
	client_request(c, 3, "small");
	rig_expect_request(rig, 1, 0);
	unlimit(rig, RLIMIT_FSIZE, &old);
	/* children are as mortal as anywhere */
	assert_true(ignores(rig->keeper, SIGXFSZ));
	rig_spawn_sh(rig, KEY_INTERNAL | 1, SPAWN_ADOPT, "p", "sleep 1000 & echo $! > p");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	assert_false(ignores(step.child_pid, SIGXFSZ));
	assert_int_equal(kill(step.child_pid, SIGKILL), 0);
	(void)close(c);
}

static void
test_keeper_short_of_memory(void **state)
{
	static char frame[20000];
	struct rig *rig = *state;
	int c = rig_connect(rig), refused = 0, i;
	struct msg_step step;
	struct rlimit old;
	uint32_t stream = 1, got;
	const char *text;
	size_t len;

	if (SANITIZED)
		skip();
	rig_boot(rig);
	rig_kill_worker(rig);
	rig_take_worker(rig);
	limit(rig, RLIMIT_AS, memory_size(rig), &old);
	/* nobody takes them, so they are kept, until there is no memory for one */
	while (refused < 10) {
		struct pollfd pfd = {.fd = c, .events = POLLIN};

		client_frame(c, stream, FRAME_REQUEST, frame, sizeof frame);
		stream += 2;
		assert_true(stream < 10000);
		if (poll(&pfd, 1, 5) == 0)
			continue;
		len = client_response(c, &got, &text);
		assert_true(len > 4);
		refused++;
	}
	/* its memory is at an end; its life is not */
	rig_hello(rig);
	rig_ready(rig);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, 0, NULL, "true");
	rig_recv_step(rig, &step);
	unlimit(rig, RLIMIT_AS, &old);
	if (step.state == STEP_FAILED)
		assert_int_equal(step.error, ENOMEM);
	for (i = 2; i < 5; i++) {
		rig_spawn_sh(rig, KEY_INTERNAL | (uint64_t)i, 0, NULL, "true");
		rig_recv_step(rig, &step);
		assert_int_equal(step.state, STEP_DONE);
	}
	assert_true(rig_status(rig, "requests") > 0);
	(void)close(c);
}

static void
test_keeper_leaves_a_stopped_worker_alone(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	pid_t worker;

	rig_boot(rig);
	worker = rig->worker;
	assert_int_equal(kill(worker, SIGSTOP), 0);
	client_request(c, 1, "r"); /* stays unread, as a debugger's patient leaves it */
	client_expect_nothing(c, 6500);
	assert_int_equal(rig_status(rig, "worker_pid"), worker);
	assert_int_equal(kill(worker, SIGCONT), 0);
	/* goes on, and still does not read: now it hangs */
	rig_take_worker(rig);
	assert_true(rig->worker != worker);
	(void)close(c);
}

/* Some deaths, and everything that comes and goes: nothing is left behind. */
static void
test_keeper_does_not_leak(void **state)
{
	struct rig *rig = *state;
	rlim_t before = 0;
	int i, c;

	for (i = 0; i < 6; i++) {
		struct msg_step step;
		struct msg_exit ex;

		rig_boot(rig);
		c = rig_connect(rig);
		client_request(c, 1, "r");
		rig_spawn_sh(rig, KEY_INTERNAL | (unsigned)(i + 1), SPAWN_ADOPT, "p",
		    "rm -f go; (sh -c 'while [ ! -e go ]; do :; done' & echo $! > t); "
		    "mv t p; : > go");
		rig_recv_step(rig, &step);
		if (step.state != STEP_DONE)
			fail_msg("round %d: %s (%d)", i, step.text, step.error);
		rig_recv_exit(rig, &ex);
		rig_ack(rig, step.key, ACK_EXIT);
		(void)close(c);
		if (i == 1)
			before = fds_open(rig);
		rig_kill_worker(rig);
	}
	rig_boot(rig);
	rig_wait_status(rig, "connections", 0);
	assert_true(fds_open(rig) <= before + 1);
}

static long
wake_ups(struct rig *rig)
{
	char path[64], *text = NULL, *p;
	size_t len;
	long n;

	(void)snprintf(path, sizeof path, "/proc/%ld/status", (long)rig->keeper);
	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	p = strstr(text, "\nvoluntary_ctxt_switches:");
	assert_non_null(p);
	n = strtol(p + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
	free(text);
	return n;
}

/* With a Wait outstanding and a process running, as a pod stands for months. */
static void
test_keeper_sleeps_when_idle(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct msg_step step;
	struct rig_packet p;
	long before;

	rig_boot(rig);
	client_request(c, 1, "wait");
	rig_recv_type(rig, MSG_REQUEST, &p);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, SPAWN_ADOPT, "p", "sleep 1000 & echo $! > p");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	client_expect_nothing(c, 6000); /* the look after the worker is over */
	before = wake_ups(rig);
	client_expect_nothing(c, 3000);
	assert_int_equal(wake_ups(rig), before);
	assert_int_equal(kill(step.child_pid, SIGKILL), 0);
	(void)close(c);
}

static void
wait_requests(struct rig *rig, int n)
{
	rig_wait_status(rig, "requests", n);
}

/* Who announces bytes and does not send them takes nobody's place; who sends them, does. */
static void
test_keeper_counts_what_has_come(void **state)
{
	enum { MANY = 8 };
	static char big[FRAME_PAYLOAD_MAX];
	const struct frame_head head = {
	    .len = sizeof big, .stream = 1, .type = FRAME_REQUEST};
	struct rig *rig = *state;
	uint8_t buf[FRAME_HEAD_LEN];
	int c[MANY], i;

	/* no worker takes them */
	frame_head_encode(buf, &head);
	for (i = 0; i < MANY; i++) {
		c[i] = rig_connect(rig);
		assert_int_equal(fd_write_all(c[i], buf, sizeof buf), 0);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(fd_write_all(c[i], big, sizeof big), 0);
		wait_requests(rig, i + 1);
	}
	/* the fourth is one too many: what it had taken is given back */
	assert_int_equal(fd_write_all(c[i], big, sizeof big), 0);
	client_expect_status(c[i], 1, STATUS_RESOURCE_EXHAUSTED);
	(void)close(c[0]);
	wait_requests(rig, 2);
	assert_int_equal(fd_write_all(c[i + 1], big, sizeof big), 0);
	wait_requests(rig, 3);
	for (i = 1; i < MANY; i++)
		(void)close(c[i]);
	rig_wait_status(rig, "request_bytes", 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_short_of_descriptors),
	    T(test_keeper_short_of_descriptors_for_a_worker),
	    T(test_keeper_short_of_file_size),
	    T(test_keeper_short_of_memory),
	    T(test_keeper_counts_what_has_come),
	    T(test_keeper_leaves_a_stopped_worker_alone),
	    T(test_keeper_does_not_leak),
	    T(test_keeper_sleeps_when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

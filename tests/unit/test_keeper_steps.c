/*
 * Steps, processes and descriptors through the deaths of workers: nothing is
 * done twice, no exit is lost, nothing stored goes away.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/admin.h"
#include "keeper_rig.h"

static uint64_t
begin_request(struct rig *rig, int client, uint32_t stream)
{
	struct rig_packet p;

	client_request(client, stream, "do");
	rig_recv_type(rig, MSG_REQUEST, &p);
	return p.head.key;
}

static void
test_keeper_does_a_step_once(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct msg_step step;
	struct rig_packet p;
	uint64_t n, key;

	rig_boot(rig);
	n = begin_request(rig, c, 1);
	key = key_of_step(n, 1);
	rig_spawn_sh(rig, key, 0, NULL, "echo once >> done; exit 3");
	rig_recv_step(rig, &step);
	assert_true(step.key == key && step.state == STEP_DONE && !step.snapshot);
	assert_true(WIFEXITED(step.wait_status) && WEXITSTATUS(step.wait_status) == 3);
	assert_memory_equal(step.tag.p, "tag", 3);
	rig_spawn_sh(rig, key, 0, NULL, "echo twice >> done");
	rig_recv_step(rig, &step);
	assert_int_equal(WEXITSTATUS(step.wait_status), 3);
	rig_kill_worker(rig);
	/* the next worker is told, and asks again all the same */
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv_step(rig, &step);
	assert_true(step.key == key && step.snapshot && step.state == STEP_DONE);
	rig_ready(rig);
	rig_spawn_sh(rig, key, 0, NULL, "echo twice >> done");
	rig_recv_step(rig, &step);
	assert_int_equal(rig_lines(rig, "done"), 1);
	/* answered: forgotten */
	rig_answer(rig, n, "a");
	client_expect_text(c, 1, "a");
	assert_int_equal(rig_status(rig, "steps"), 0);
	rig_kill_worker(rig);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv(rig, &p);
	assert_int_equal(p.head.type, MSG_SYNC);
	(void)close(c);
}

static void
test_keeper_finishes_steps_without_a_worker(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct msg_step step;
	uint64_t key;

	rig_boot(rig);
	key = key_of_step(begin_request(rig, c, 1), 1);
	/* its last words: the command begins after its death, or before */
	rig_spawn_sh(rig, key, 0, NULL, "echo begun >> done; read x < fifo; exit 5");
	rig_kill_worker(rig);
	rig_wait_lines(rig, "done", 1);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv_step(rig, &step);
	assert_true(step.key == key && step.snapshot);
	if (step.state == STEP_RUNNING) /* there is no fifo: it may have ended by now */
		rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	assert_int_equal(rig_lines(rig, "done"), 1);
	(void)close(c);
}

static void
test_keeper_running_step_turns_internal(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct msg_step step;
	uint64_t n, key;

	rig_boot(rig);
	n = begin_request(rig, c, 1);
	key = key_of_step(n, 1);
	rig_spawn_sh(
	    rig, key, 0, NULL, "echo $$ >> pid; while [ ! -e go ]; do sleep 0.01; done");
	rig_wait_lines(rig, "pid", 1);
	rig_answer(rig, n, "too late");
	client_expect_text(c, 1, "too late");
	assert_int_equal(rig_status(rig, "steps"), 1);
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_recv_step(rig, &step);
	assert_true(step.key == key && step.state == STEP_DONE);
	assert_int_equal(rig_status(rig, "steps"), 1);
	rig_ack(rig, key, ACK_STEP);
	rig_wait_status(rig, "steps", 0);
	(void)close(c);
}

/* A process is adopted, dies while there is no worker, and is not forgotten. */
static void
test_keeper_keeps_exits_until_acknowledged(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig), round;
	struct msg_step step;
	struct msg_exit ex;
	uint64_t n, key;
	boot_us_t end;
	pid_t pid;

	rig_boot(rig);
	n = begin_request(rig, c, 1);
	key = key_of_step(n, 2);
	rig_spawn_sh(rig, key, SPAWN_ADOPT, "p.pid",
	    "sh -c 'while [ ! -e go ]; do sleep 0.01; done; exit 7' & echo $! > p.pid");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	assert_true(step.child_pid > 0 && step.child_start > 0);
	pid = step.child_pid;
	assert_int_equal(faccessat(rig->pod_dir_fd, "p.pid", F_OK, 0), -1);
	rig_answer(rig, n, "started");
	client_expect_text(c, 1, "started");
	rig_kill_worker(rig);
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;
	while (kill(pid, 0) == 0) { /* reaped without a worker */
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 2);
	}
	for (round = 0; round < 2; round++) {
		rig_take_worker(rig);
		rig_hello(rig);
		rig_recv_step(rig, &step); /* it adopted: kept as long as its process */
		assert_int_equal(step.child_pid, pid);
		rig_recv_exit(rig, &ex);
		assert_true(ex.key == key && ex.seq == 1 && ex.pid == pid);
		assert_true(ex.start == step.child_start);
		assert_true(
		    WIFEXITED(ex.wait_status) && WEXITSTATUS(ex.wait_status) == 7);
		assert_true(ex.t_real_ns > 0 && ex.t_boot > 0);
		assert_memory_equal(ex.tag.p, "tag", 3);
		if (round == 0)
			rig_kill_worker(rig);
	}
	rig_ready(rig);
	rig_ack(rig, key, ACK_EXIT);
	rig_wait_status(rig, "steps", 0);
	(void)close(c);
}

static void
test_keeper_exits_in_order_and_at_once(void **state)
{
	struct rig *rig = *state;
	struct msg_step step;
	struct msg_exit ex;
	uint64_t i;

	rig_boot(rig);
	for (i = 1; i <= 20; i++) {
		rig_spawn_sh(rig, KEY_INTERNAL | i, SPAWN_ADOPT, "q.pid", "true");
		rig_recv_step(rig, &step);
		assert_int_equal(
		    step.state, STEP_FAILED); /* no pid file: nobody to adopt */
		assert_int_equal(step.error, ENOENT);
		rig_ack(rig, KEY_INTERNAL | i, ACK_STEP);
	}
	for (i = 1; i <= 20; i++) {
		/* an orphan that is dead and reaped before the command leaves */
		rig_spawn_sh(rig, KEY_INTERNAL | i, SPAWN_ADOPT, "q.pid",
		    "(sh -c 'while [ ! -e q.pid ]; do :; done; exit 4' & echo $! > "
		    "q.tmp); "
		    "mv q.tmp q.pid; while kill -0 $(cat q.pid); do sleep 0.01; done");
		rig_recv_step(rig, &step);
		assert_int_equal(step.state, STEP_DONE);
		rig_recv_exit(rig, &ex); /* after its STEP, never before */
		assert_true(ex.key == (KEY_INTERNAL | i) && ex.seq == i);
		assert_int_equal(WEXITSTATUS(ex.wait_status), 4);
	}
	assert_int_equal(rig_status(rig, "children"), 0);
}

static void
test_keeper_signals_once(void **state)
{
	struct rig *rig = *state;
	struct msg_head head = {.type = MSG_SIGNAL,
	    .key = KEY_INTERNAL | 2,
	    .a = KEY_INTERNAL | 1,
	    .b = SIGUSR1};
	struct msg_step step;
	struct msg_exit ex;
	int i;

	rig_boot(rig);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, SPAWN_ADOPT, "s.pid",
	    "sh -c 'trap \"echo usr1 >> sig\" USR1; echo up >> up; "
	    "while [ ! -e go ]; do sleep 0.01; done' & echo $! > s.pid");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	rig_wait_lines(rig, "up", 1);
	for (i = 0; i < 3; i++) {
		rig_send(rig, &head, NULL, NULL, 0);
		rig_recv_step(rig, &step);
		assert_true(step.kind == STEP_SIGNAL && step.state == STEP_DONE);
		if (i == 1) {
			rig_kill_worker(rig);
			rig_boot(rig);
		}
	}
	rig_wait_lines(rig, "sig", 1);
	head.key++;
	head.b = 0;
	rig_send(rig, &head, NULL, NULL, 0);
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	(void)close(openat(rig->pod_dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	rig_recv_exit(rig, &ex);
	assert_int_equal(rig_lines(rig, "sig"), 1);
	head.key++;
	rig_send(rig, &head, NULL, NULL, 0);
	rig_recv_step(rig, &step);
	assert_true(step.state == STEP_FAILED && step.error == ESRCH);
	head.key++;
	head.a = 12345;
	rig_send(rig, &head, NULL, NULL, 0);
	rig_recv_step(rig, &step);
	assert_true(step.state == STEP_FAILED && step.error == ESRCH);
}

static void
test_keeper_stores_descriptors(void **state)
{
	struct rig *rig = *state;
	struct rig_packet p;
	int fds[2], i;
	char buf[8];

	rig_boot(rig);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	rig_send_name(rig, MSG_FD_PUT, "io/a/-/out", 0, fds[1]);
	rig_send_name(rig, MSG_FD_PUT, "io/a/x/out", 0, fds[0]);
	rig_send_name(rig, MSG_FD_PUT, "io/ab/-/out", 0, fds[0]);
	(void)close(fds[1]);
	for (i = 0; i < 2; i++) {
		rig_kill_worker(rig);
		rig_take_worker(rig);
		rig_hello(rig);
		rig_recv(rig, &p);
		assert_int_equal(p.head.type, MSG_FDNAME);
		rig_ready(rig);
		rig_send_name(rig, MSG_FD_GET, "io/a/-/out", 0, -1);
		rig_recv_type(rig, MSG_FD, &p);
		assert_true(p.head.b == 0 && p.head.key == 0 && p.n_fds == 1);
		assert_string_equal(
		    msg_get_str(&p.head, p.payload, MF_NAME), "io/a/-/out");
		assert_int_equal(write(p.fds[0], "x", 1), 1);
		(void)close(p.fds[0]); /* a duplicate: the stored one stays */
		assert_int_equal(read(fds[0], buf, sizeof buf), 1);
	}
	rig_send_name(rig, MSG_FD_GET, "nothing", 0, -1);
	rig_recv_type(rig, MSG_FD, &p);
	assert_true(p.head.b == ENOENT && p.n_fds == 0);
	rig_send_name(rig, MSG_FD_DROP, "io/a/", 1, -1);
	assert_int_equal(read(fds[0], buf, sizeof buf), 0); /* the last writer is gone */
	assert_int_equal(rig_status(rig, "fds"), 1);
	rig_send_name(rig, MSG_FD_DROP, "io/a", 0, -1); /* a name, not a prefix */
	rig_send_name(rig, MSG_FD_PUT, "", 0, fds[0]);
	rig_recv_type(rig, MSG_FD, &p);
	assert_true(p.head.b == EINVAL && p.head.key == 1);
	assert_int_equal(rig_status(rig, "fds"), 1);
	(void)close(fds[0]);
}

static void
put_fifo(struct rig *rig, const char *name, enum fd_put_how how, int fd)
{
	_Alignas(8) char buf[128];
	struct msg_head head = {.type = MSG_FD_PUT, .a = (uint64_t)how};
	size_t len = 0;

	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_NAME, name), 0);
	head.len = (uint32_t)len;
	rig_send(rig, &head, buf, &fd, 1);
}

/* It opens the ends of a FIFO itself, and nothing else. */
static void
test_keeper_opens_fifos(void **state)
{
	struct rig *rig = *state;
	struct rig_packet p;
	int fifo, file, reader;
	char c;

	rig_boot(rig);
	assert_int_equal(mkfifoat(rig->pod_dir_fd, "fifo", 0600), 0);
	fifo = openat(rig->pod_dir_fd, "fifo", O_PATH | O_CLOEXEC);
	file = openat(rig->pod_dir_fd, ADMIN_SOCKET, O_PATH | O_CLOEXEC);
	put_fifo(rig, "w", FD_PUT_OPEN_WRITE, fifo); /* nobody reads it yet */
	rig_recv_type(rig, MSG_FD, &p);
	assert_true(p.head.key == 1 && p.head.b == ENXIO);
	put_fifo(rig, "r", FD_PUT_OPEN_READ, fifo);
	put_fifo(rig, "w", FD_PUT_OPEN_WRITE, fifo);
	put_fifo(rig, "x", FD_PUT_OPEN_READ, file);
	rig_recv_type(rig, MSG_FD, &p);
	assert_true(p.head.key == 1 && p.head.b == EINVAL);
	assert_int_equal(rig_status(rig, "fds"), 2);
	reader = openat(rig->pod_dir_fd, "fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	rig_send_name(rig, MSG_FD_GET, "w", 0, -1);
	rig_recv_type(rig, MSG_FD, &p);
	assert_true((fcntl(p.fds[0], F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(write(p.fds[0], "x", 1), 1);
	assert_int_equal(read(reader, &c, 1), 1);
	(void)close(p.fds[0]);
	(void)close(reader);
	(void)close(fifo);
	(void)close(file);
}

/* Descriptors of a command: at their numbers, nothing else, null for the rest. */
static void
test_keeper_child_has_what_it_was_given(void **state)
{
	static const uint32_t nums[] = {1, 9, 3};
	struct rig *rig = *state;
	_Alignas(8) char buf[4096];
	char sh[] = "sh", c[] = "-c", env[] = "ONLY=this",
	     script[] =
		 "echo $ONLY; for i in /proc/self/fd/*; do echo ${i##*/} $(readlink $i); "
		 "done; ulimit -n; sed -n 's/^Sig[BI].*:\t//p' /proc/self/status";
	char *argv[] = {sh, c, script, NULL}, *envp[] = {env, NULL}, *text = NULL;
	int out = openat(rig->pod_dir_fd, "out", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	int null = open("/dev/zero", O_RDONLY | O_CLOEXEC), fds[3] = {out, null, null};
	struct msg_spawn m = {.key = KEY_INTERNAL | 1,
	    .argv = argv,
	    .envp = envp,
	    .fd_nums = nums,
	    .n_fds = 3};
	struct msg_head head;
	struct msg_step step;
	size_t len;

	rig_boot(rig);
	assert_true(msg_encode_spawn(&head, buf, sizeof buf, &m) > 0);
	rig_send(rig, &head, buf, fds, 3);
	rig_recv_step(rig, &step);
	assert_int_equal(step.wait_status, 0);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(out, 65536, &text, &len, NULL), 0);
	assert_memory_equal(text, "this\n", 5);
	assert_non_null(strstr(text, "\n0 /dev/null\n"));
	assert_non_null(strstr(text, "\n2 /dev/null\n"));
	assert_non_null(strstr(text, "\n3 /dev/zero\n"));
	assert_non_null(strstr(text, "\n9 /dev/zero\n"));
	assert_null(strstr(text, "socket:"));
	assert_null(strstr(text, "memfd:"));
	assert_null(strstr(text, "anon_inode:"));
	/* no blocked, no ignored signals */
	assert_non_null(strstr(text, "\n0000000000000000\n0000000000000000\n"));
	free(text);
	(void)close(out);
	(void)close(null);
}

/* Does each line begin as one of the keeper's own does? */
static void
expect_own_lines(char *text)
{
	char *save = NULL, *line;

	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		assert_true(strncmp(line, "step key=", 9) == 0 ||
		    strncmp(line, "request n=", 10) == 0 ||
		    strncmp(line, "stored ", 7) == 0);
		assert_null(strstr(line, "\x1b"));
	}
}

/* The name of a program is what a client chose. */
static void
test_keeper_says_nothing_that_others_made_up(void **state)
{
	_Alignas(8) char buf[8192];
	struct rig *rig = *state;
	char name[] = "no\nsuch\x1b[1m", *argv[] = {name, NULL}, *text = NULL;
	int c = rig_connect(rig);
	struct msg_spawn m = {.argv = argv, .cwd = rig->pod_dir};
	struct msg_head head;
	struct msg_step step;

	rig_boot(rig);
	m.key = key_of_step(begin_request(rig, c, 1), 1);
	assert_true(msg_encode_spawn(&head, buf, sizeof buf, &m) > 0);
	rig_send(rig, &head, buf, NULL, 0);
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_FAILED);
	assert_int_equal(admin_detail(rig->pod_dir_fd, RIG_WAIT_MS, &text, NULL), 0);
	assert_non_null(strstr(text, "no?such?[1m"));
	expect_own_lines(text);
	free(text);
	(void)close(c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_does_a_step_once),
	    T(test_keeper_finishes_steps_without_a_worker),
	    T(test_keeper_running_step_turns_internal),
	    T(test_keeper_keeps_exits_until_acknowledged),
	    T(test_keeper_exits_in_order_and_at_once),
	    T(test_keeper_signals_once),
	    T(test_keeper_stores_descriptors),
	    T(test_keeper_opens_fifos),
	    T(test_keeper_child_has_what_it_was_given),
	    T(test_keeper_says_nothing_that_others_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * worker/io under dying workers: this process is the keeper and holds the
 * store; the pumping side is forked anew and killed hundreds of times in
 * mid-copy, while stopped, and while it ends streams. Every byte is compared.
 */
#include "io_fix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "sanitized.h"

#define KILLS	 (SANITIZED ? 100 : 300)
/* Most die before they have moved anything; on a busy machine nearly all do. */
#define MOVING	 (KILLS / 10)
#define LIMIT_MS (600 * 1000)

/* What all processes of a test see. */
struct shared {
	_Atomic bool stop; /* writers: enough */
	_Atomic bool written[3], close_stdin, exited;
	_Atomic uint64_t wrote[3];
	_Atomic int64_t got[3];
	_Atomic unsigned moving; /* workers that have moved something */
};
static struct shared *sh;

/* One end of a stream, for proc_run(). */
struct end {
	int i;
	const char *path; /* or */
	int fd;
	unsigned piece; /* bytes per write */
};

static void
run_writer(void *arg)
{
	static char buf[64 * 1024];
	struct end *e = arg;
	uint64_t at = 0;
	size_t len;

	if (e->path != NULL)
		e->fd = open(e->path, O_WRONLY | O_CLOEXEC);
	while (!sh->stop) {
		len = 1 + random_below(e->piece);
		pattern_fill((uint64_t)e->i, at, buf, len);
		if (fd_write_all(e->fd, buf, len) < 0)
			_exit(1);
		at += len;
	}
	sh->wrote[e->i] = at;
	sh->written[e->i] = true;
}

static void
run_reader(void *arg)
{
	struct end *e = arg;

	if (e->path != NULL) {
		e->fd = open(e->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		(void)fd_set_nonblock(e->fd, false);
	}
	sh->got[e->i] = pattern_read(e->fd, (uint64_t)e->i, 0, UINT64_MAX);
}

/* Of a terminal: there is no end of file, so until all that was written is here. */
static void
run_tty_reader(void *arg)
{
	struct end *e = arg;
	struct pollfd pfd = {.fd = e->fd, .events = POLLIN};
	int64_t at = 0;

	while (at >= 0 && !(sh->written[e->i] && (uint64_t)at >= sh->wrote[e->i])) {
		if (poll(&pfd, 1, 5) == 1)
			at = pattern_read(
			    e->fd, (uint64_t)e->i, (uint64_t)at, (uint64_t)at + 1);
	}
	sh->got[e->i] = at;
}

static void
worker_main(int sock, const char *tty_name)
{
	struct loop *loop = loop_new();
	uint64_t before[3] = {0}, bytes[3];
	struct io *io;

	fake_become_remote(fx.lk, loop, sock);
	io = io_resume(loop, fx.lk, &fx.spec, tty_name);
	if (sh->close_stdin)
		io_close_stdin(io);
	if (sh->exited)
		io_process_exited(io);
	for (;;) {
		loop_once(loop, 0);
		io_counts(io, bytes);
		if (memcmp(before, bytes, sizeof bytes) != 0 && before[1] == 0) {
			sh->moving++;
			before[1] = 1;
		}
	}
}

/*
 * Start a worker, serve it for a moment, kill it, and read its last words. On a busy
 * machine moments grow until workers come so far as to move something.
 */
static void
worker_life(const char *tty_name)
{
	static unsigned stretch = 1;
	unsigned moving = sh->moving;
	int sv[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(sv[0]);
		worker_main(sv[1], tty_name);
		_exit(1);
	}
	fd_close(&sv[1]);
	(void)fake_serve(fx.lk, sv[0], (int)random_below(5 * stretch));
	pause_us(random_below(1500 * stretch));
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	while (fake_serve(fx.lk, sv[0], 1000))
		;
	fd_close(&sv[0]);
	if (sh->moving == moving)
		stretch = stretch < 64 ? stretch * 2 : stretch;
	else if (stretch > 1)
		stretch /= 2;
}

static int
death_setup(void **state)
{
	sh = mmap(
	    NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return sh == MAP_FAILED ? -1 : fix_setup(state);
}

static int
death_teardown(void **state)
{
	int rc = fix_teardown(state);

	(void)munmap(sh, sizeof *sh);
	return rc;
}

static void
check_streams(int first, int last)
{
	int i;

	for (i = first; i <= last; i++) {
		print_message(
		    "stream %d: %llu bytes\n", i, (unsigned long long)sh->wrote[i]);
		assert_true(sh->wrote[i] > 100000);
		assert_int_equal(sh->got[i], sh->wrote[i]);
	}
	print_message("%u workers moved bytes\n", sh->moving);
	assert_true(sh->moving > MOVING);
}

static void
test_io_death_of_workers_loses_no_byte_of_pipes(void **state)
{
	struct end client[3], container[3];
	struct proc client_p[3], container_p[3];
	const int none[3] = {-1, -1, -1};
	int64_t limit = now_ms() + LIMIT_MS;
	unsigned lives = 0;
	bool ended;
	int i;

	(void)state;
	use_all();
	open_io();
	io_abandon(steal_ptr(&fx.io));
	for (i = 0; i < 3; i++) {
		const int keep[3] = {fx.child[i], -1, -1};

		client[i] = (struct end){.i = i, .path = fx.path[i], .piece = 30000};
		container[i] = (struct end){.i = i, .fd = fx.child[i], .piece = 5000};
		proc_run(
		    &client_p[i], none, i == 0 ? run_writer : run_reader, &client[i]);
		proc_run(&container_p[i], keep, i == 0 ? run_reader : run_writer,
		    &container[i]);
	}
	close_child_ends();
	do {
		worker_life(NULL);
		if (++lives >= KILLS && sh->moving > MOVING)
			sh->stop = true;
		if (sh->written[0])
			sh->close_stdin = true;
		ended = true;
		for (i = 0; i < 3; i++)
			ended = ended && proc_ended(&client_p[i]) &&
			    proc_ended(&container_p[i]);
	} while (!ended && now_ms() < limit);
	assert_true(ended);
	for (i = 0; i < 3; i++) {
		assert_int_equal(proc_status(&client_p[i]), 0);
		assert_int_equal(proc_status(&container_p[i]), 0);
	}
	print_message("%u workers killed\n", lives);
	check_streams(0, 2);
	/* one quiet life to drop the names that the dead did not get to */
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	assert_true(until_over(IO_IN) && until_over(IO_OUT) && until_over(IO_ERR));
	assert_int_equal(fake_count(fx.lk, ""), 2);
}

static void
test_io_death_of_workers_loses_no_byte_of_a_terminal(void **state)
{
	struct end client[2], container[2];
	struct proc client_p[2], container_p[2];
	const int none[3] = {-1, -1, -1};
	int64_t limit = now_ms() + LIMIT_MS;
	int master, slave, i;
	unsigned lives = 0;
	struct termios raw;

	(void)state;
	fx.spec.stdin_path = fx.path[0];
	fx.spec.stdout_path = fx.path[1];
	fx.spec.terminal = true;
	open_io();
	io_abandon(steal_ptr(&fx.io));
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	link_fd_put(fx.lk, "tty/1", master);
	fd_close(&master);
	for (i = 0; i < 2; i++) {
		const int keep[3] = {slave, -1, -1};

		client[i] = (struct end){.i = i, .path = fx.path[i], .piece = 6000};
		container[i] = (struct end){.i = i, .fd = slave, .piece = 1000};
		proc_run(
		    &client_p[i], none, i == 0 ? run_writer : run_reader, &client[i]);
		proc_run(&container_p[i], keep, i == 0 ? run_tty_reader : run_writer,
		    &container[i]);
	}
	fd_close(&slave);
	do {
		worker_life("tty/1");
		if (++lives >= KILLS && sh->moving > MOVING)
			sh->stop = true;
		if (proc_ended(&container_p[0]) && proc_ended(&container_p[1]))
			sh->exited = true;
	} while (!proc_ended(&client_p[1]) && now_ms() < limit);
	assert_true(proc_ended(&client_p[1]));
	for (i = 0; i < 2; i++) {
		assert_int_equal(proc_status(&client_p[i]), 0);
		assert_int_equal(proc_status(&container_p[i]), 0);
	}
	print_message("%u workers killed\n", lives);
	check_streams(0, 1);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, "tty/1");
	io_process_exited(fx.io);
	assert_true(until_over(IO_OUT));
	assert_int_equal(fake_count(fx.lk, "io/"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, death_setup, death_teardown)
	    T(test_io_death_of_workers_loses_no_byte_of_pipes),
	    T(test_io_death_of_workers_loses_no_byte_of_a_terminal),
#undef T
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

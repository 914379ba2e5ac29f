/*
 * worker/io with terminals: real ptys, a shell and children behind them. Each
 * test that moves bytes runs twice, the second time without splice, as on
 * kernels that cannot splice terminals.
 */
#include "io_fix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <event2/event.h>

static bool without_splice;
static int slave = -1;
static char slave_name[64];

ssize_t __real_splice(
    int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags);
ssize_t __wrap_splice(
    int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags);

ssize_t
__wrap_splice(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags)
{
	if (without_splice) {
		errno = EINVAL;
		return -1;
	}
	return __real_splice(in, in_off, out, out_off, len, flags);
}

static int
setup(void **state)
{
	without_splice = false;
	return fix_setup(state);
}

static int
setup_without_splice(void **state)
{
	without_splice = true;
	return fix_setup(state);
}

static int
teardown(void **state)
{
	fd_close(&slave);
	return fix_teardown(state);
}

/* As the keeper: the master lies in the store, the runtime has the slave. */
static void
make_tty(bool is_raw)
{
	struct termios raw;
	int master;

	assert_int_equal(openpty(&master, &slave, slave_name, NULL, NULL), 0);
	(void)fd_set_cloexec(slave, true);
	if (is_raw) {
		assert_int_equal(tcgetattr(slave, &raw), 0);
		cfmakeraw(&raw);
		assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	}
	link_fd_put(fx.lk, "tty/1", master);
	fd_close(&master);
}

static void
open_tty_io(void)
{
	fx.spec.stdin_path = fx.path[0];
	fx.spec.stdout_path = fx.path[1];
	fx.spec.terminal = true;
	open_io();
	assert_int_equal(fx.child[0], -1);
	assert_int_equal(fx.child[1], -1);
	assert_int_equal(fx.child[2], -1);
}

static bool
cond_arrived(void *arg)
{
	(void)arg;
	return fx.io->s[IO_OUT].state == STREAM_PUMPING;
}

static void
start_tty_io(void)
{
	io_start(fx.io, "tty/1");
	assert_true(loop_until(fx.loop, cond_arrived, NULL));
}

static int
out_open(void)
{
	int fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool
cond_out_got(void *arg)
{
	uint64_t bytes[3];

	io_counts(fx.io, bytes);
	return bytes[IO_OUT] >= *(uint64_t *)arg;
}

static void
until_out(uint64_t n)
{
	assert_true(loop_until(fx.loop, cond_out_got, &n));
}

static uint16_t
columns(void)
{
	struct winsize ws = {0};

	assert_int_equal(ioctl(slave, TIOCGWINSZ, &ws), 0);
	return ws.ws_col;
}

/* --- bytes -------------------------------------------------------------------------- */

static void
test_console_output_arrives_whole(void **state)
{
	struct proc client, container;
	uint64_t bytes[3];

	(void)state;
	open_tty_io();
	make_tty(true);
	start_tty_io();
	proc_read(&client, fx.path[1], -1, 7, 0, 3 * MIB, true, 0);
	proc_write(&container, NULL, slave, 7, 0, 3 * MIB);
	fd_close(&slave);
	assert_int_equal(end_of(&container), 0);
	io_process_exited(fx.io);
	assert_int_equal(end_of(&client), 0);
	io_counts(fx.io, bytes);
	assert_int_equal(bytes[IO_OUT], 3 * MIB);
	assert_int_equal(fake_count(fx.lk, "tty/"), 1); /* until Delete */
}

static void
test_console_input_arrives_whole(void **state)
{
	struct proc client, container;

	(void)state;
	open_tty_io();
	make_tty(true);
	start_tty_io();
	proc_write(&client, fx.path[0], -1, 7, 0, MIB);
	proc_read(&container, NULL, slave, 7, 0, MIB, false, 300);
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(end_of(&container), 0);
}

/* The last words are in the terminal, the FIFO is full, its reader is late. */
static void
test_console_last_words_after_exit(void **state)
{
	struct proc client, container;
	int i;

	(void)state;
	open_tty_io();
	make_tty(true);
	start_tty_io();
	/* small FIFO: the rest stays in the terminal */
	(void)fcntl(pump_dst(fx.io->s[IO_OUT].pump), F_SETPIPE_SZ, 4096);
	proc_write(&container, NULL, slave, 7, 0, 5000);
	fd_close(&slave);
	assert_int_equal(end_of(&container), 0);
	io_process_exited(fx.io);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	for (i = 0; i < 5; i++)
		loop_once(fx.loop, 1);
	assert_int_equal(fx.drained, 0);
	proc_read(&client, fx.path[1], -1, 7, 0, 5000, true, 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
	assert_int_equal(end_of(&client), 0);
}

static void
test_console_short_lives(void **state)
{
	struct proc container, client;
	uint64_t len;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		open_tty_io();
		make_tty(true);
		io_start(fx.io, "tty/1");
		len = 1 + random_below(3000);
		proc_read(&client, fx.path[1], -1, 7, 0, len, true, 0);
		proc_write(&container, NULL, slave, 7, 0, len);
		fd_close(&slave);
		assert_int_equal(end_of(&container), 0);
		io_process_exited(fx.io);
		assert_true(until_over(IO_OUT));
		assert_int_equal(end_of(&client), 0);
		io_free(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
		assert_int_equal(fake_count(fx.lk, ""), 0); /* tty/1 as well */
	}
}

static void
test_console_without_stdout_is_read_all_the_same(void **state)
{
	struct proc container;

	(void)state;
	fx.spec.terminal = true;
	open_io();
	make_tty(true);
	start_tty_io();
	proc_write(&container, NULL, slave, 7, 0, MIB);
	fd_close(&slave);
	assert_int_equal(end_of(&container), 0);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

static void
run_shell(void *arg)
{
	(void)arg;
	(void)setsid();
	(void)ioctl(slave, TIOCSCTTY, 0);
	(void)dup2(slave, 0);
	(void)dup2(slave, 1);
	(void)dup2(slave, 2);
	(void)execl(
	    "/bin/sh", "sh", "-c", "read x; stty size; echo got $x; exit 3", NULL);
}

static void
test_console_shell_session(void **state)
{
	struct proc shell;
	char buf[256];
	ssize_t n;
	int out, client;

	(void)state;
	open_tty_io();
	assert_int_equal(io_resize(fx.io, 132, 43, NULL), 0); /* before there is one */
	make_tty(false);
	out = out_open();
	start_tty_io();
	proc_run(&shell, (const int[3]){slave, -1, -1}, run_shell, NULL);
	client = client_open();
	assert_int_equal(write(client, "abc\n", 4), 4);
	assert_int_equal(end_of(&shell), 3);
	fd_close(&slave);
	io_process_exited(fx.io);
	assert_true(until_over(IO_OUT));
	n = read(out, buf, sizeof buf - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, "abc\r\n43 132\r\ngot abc\r\n");
	assert_int_equal(read(out, buf, sizeof buf), 0);
	fd_close(&client);
	fd_close(&out);
}

/* --- ends --------------------------------------------------------------------------- */

/* systemd as init closes the console and opens it again: no end, no spin. */
static void
test_console_without_users_may_come_back(void **state)
{
	uint64_t passes;
	char buf[16];
	int out, i;

	(void)state;
	open_tty_io();
	make_tty(true);
	out = out_open();
	start_tty_io();
	for (i = 1; i <= 5; i++) {
		assert_int_equal(write(slave, "hello", 5), 5);
		fd_close(&slave);
		until_out((uint64_t)i * 5);
		loop_passes(fx.loop, 10);
		passes = passes_of(IO_OUT);
		loop_passes(fx.loop, 50);
		assert_int_equal(passes_of(IO_OUT), passes);
		assert_int_equal(read(out, buf, sizeof buf), 5);
		slave = open(slave_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(slave >= 0);
	}
	fd_close(&slave);
	loop_passes(fx.loop, 5);
	assert_int_equal(fx.io->s[IO_OUT].state, STREAM_PUMPING);
	io_process_exited(fx.io);
	assert_true(until_over(IO_OUT));
	assert_int_equal(read(out, buf, sizeof buf), 0);
	fd_close(&out);
}

static void
test_console_input_waits_for_a_user(void **state)
{
	struct pollfd pfd;
	char buf[16];
	int client;

	(void)state;
	open_tty_io();
	make_tty(true);
	fd_close(&slave);
	start_tty_io();
	client = client_open();
	assert_int_equal(write(client, "hello", 5), 5);
	loop_passes(fx.loop, 50);
	assert_true(passes_of(IO_IN) < 10);
	slave = open(slave_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	pfd = (struct pollfd){.fd = slave, .events = POLLIN};
	while (poll(&pfd, 1, 0) == 0)
		loop_passes(fx.loop, 1);
	assert_int_equal(read(slave, buf, sizeof buf), 5);
	fd_close(&client);
}

/* A job in the background has the terminal and stays, silent or chatty. */
static void
test_console_background_job_does_not_block_the_end(void **state)
{
	char buf[16];
	int out;

	(void)state;
	open_tty_io();
	make_tty(true);
	out = out_open();
	start_tty_io();
	assert_int_equal(write(slave, "last", 4), 4);
	io_process_exited(fx.io); /* slave stays open */
	assert_true(until_over(IO_OUT));
	assert_int_equal(read(out, buf, sizeof buf), 4);
	assert_int_equal(read(out, buf, sizeof buf), 0);
	fd_close(&out);
	/* and it is not hung up before Delete */
	assert_int_equal(tcgetattr(slave, &(struct termios){0}), 0);
}

static void
run_yes(void *arg)
{
	char buf[100];

	(void)arg;
	memset(buf, 'y', sizeof buf);
	while (write(slave, buf, sizeof buf) > 0)
		;
}

static void
run_eat(void *arg)
{
	char buf[4096];
	int fd = open(fx.path[1], O_RDONLY);

	(void)arg;
	while (read(fd, buf, sizeof buf) > 0)
		;
}

static void
test_console_chatty_background_job_does_not_block_the_end(void **state)
{
	const int none[3] = {-1, -1, -1};
	struct proc yes, client;

	(void)state;
	open_tty_io();
	make_tty(true);
	proc_run(&client, none, run_eat, NULL);
	start_tty_io();
	proc_run(&yes, (const int[3]){slave, -1, -1}, run_yes, NULL);
	until_out(MIB);
	io_process_exited(fx.io);
	assert_int_equal(end_of(&client), 0);
	assert_false(proc_ended(&yes));
	fd_close(&slave);
	io_free(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	(void)end_of(&yes); /* the terminal is gone now */
}

static void
test_console_stdin_end_sends_nothing(void **state)
{
	struct pollfd pfd;
	int client;

	(void)state;
	open_tty_io();
	make_tty(false);
	start_tty_io();
	client = client_open();
	fd_close(&client);
	io_close_stdin(fx.io);
	assert_true(until_over(IO_IN));
	pfd = (struct pollfd){.fd = slave, .events = POLLIN};
	assert_int_equal(poll(&pfd, 1, 0), 0);
	/* output goes on */
	assert_int_equal(write(slave, "hello", 5), 5);
	until_out(5);
}

static void
test_console_idle_is_quiet(void **state)
{
	uint64_t passes[2];

	(void)state;
	open_tty_io();
	make_tty(false);
	start_tty_io();
	assert_int_equal(write(slave, "hello", 5), 5);
	until_out(5);
	loop_passes(fx.loop, 5);
	passes[0] = passes_of(IO_IN);
	passes[1] = passes_of(IO_OUT);
	loop_passes(fx.loop, 100);
	assert_int_equal(passes_of(IO_IN), passes[0]);
	assert_int_equal(passes_of(IO_OUT), passes[1]);
}

/* Nobody reads the terminal: 13 KiB fit, then the client is made to wait. */
static void
test_console_unread_input_is_quiet(void **state)
{
	uint64_t passes;
	struct proc client;
	struct still still = {.which = IO_IN, .who = &client};

	(void)state;
	open_tty_io();
	make_tty(true);
	start_tty_io();
	proc_write(&client, fx.path[0], -1, 7, 0, MIB);
	assert_true(loop_until(fx.loop, cond_still, &still));
	passes = passes_of(IO_IN);
	loop_passes(fx.loop, 100);
	assert_true(passes_of(IO_IN) <= passes + 2);
	assert_false(proc_ended(&client));
	proc_kill(&client);
}

/* --- sizes, resume, failures ------------------------------------------------------------- */

static void
test_console_resize(void **state)
{
	(void)state;
	open_tty_io();
	make_tty(false);
	assert_int_equal(io_resize(fx.io, 100, 30, NULL), 0);
	io_start(fx.io, "tty/1");
	assert_int_equal(io_resize(fx.io, 101, 31, NULL), 0); /* it is on its way */
	assert_true(loop_until(fx.loop, cond_arrived, NULL));
	assert_int_equal(columns(), 101);
	assert_int_equal(io_resize(fx.io, 102, 32, NULL), 0);
	assert_int_equal(columns(), 102);
	io_process_exited(fx.io);
	assert_int_equal(io_resize(fx.io, 103, 33, NULL), 0);
	assert_int_equal(columns(), 102);
}

static void
test_console_resume(void **state)
{
	char buf[16];
	int out, client;

	(void)state;
	open_tty_io();
	make_tty(true);
	out = out_open();
	client = client_open();
	start_tty_io();
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	/* while the runtime command still runs: it is not there yet */
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, "tty/2");
	loop_passes(fx.loop, 5);
	assert_int_equal(fx.io->s[IO_OUT].state, STREAM_WAITING);
	start_tty_io();
	assert_int_equal(write(slave, "hello", 5), 5);
	until_out(5);
	assert_int_equal(read(out, buf, sizeof buf), 5);
	assert_int_equal(write(client, "abc", 3), 3);
	while (ioctl(slave, FIONREAD, buf) == 0 && *(int *)(void *)buf == 0)
		loop_passes(fx.loop, 1);
	assert_int_equal(read(slave, buf, sizeof buf), 3);
	assert_int_equal(io_resize(fx.io, 99, 9, NULL), 0);
	assert_int_equal(columns(), 99);
	fd_close(&client);
	fd_close(&out);
}

static void
test_console_exit_before_the_terminal_is_here(void **state)
{
	int out;

	(void)state;
	open_tty_io();
	make_tty(true);
	out = out_open();
	assert_int_equal(write(slave, "early", 5), 5);
	fd_close(&slave);
	io_start(fx.io, "tty/1");
	io_process_exited(fx.io);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
	assert_int_equal(read(out, (char[16]){0}, 16), 5);
	fd_close(&out);
}

static void
on_read(void *arg)
{
	*(bool *)arg = true;
}

static bool
cond_true(void *arg)
{
	return *(bool *)arg;
}

/* So is what nobody has moved yet: it is in a terminal that is on its way. */
static void
test_console_readers_are_awaited_before_the_terminal_is_here(void **state)
{
	bool is_read = false;
	int fd;

	(void)state;
	clock_set_for_test(1000 * US_PER_S); /* patience without end */
	open_tty_io();
	make_tty(true);
	assert_int_equal(pattern_write(slave, 7, 0, 1000), 0);
	fd_close(&slave);
	fd = out_open();
	io_start(fx.io, "tty/1");
	assert_false(cond_arrived(NULL));
	io_process_exited(fx.io);
	assert_true(io_await_readers(fx.io, 10 * US_PER_S, on_read, &is_read));
	loop_passes(fx.loop, 30);
	assert_false(is_read);
	assert_int_equal(pattern_read(fd, 7, 0, 1000), 1000);
	assert_true(loop_until(fx.loop, cond_true, &is_read));
	fd_close(&fd);
	clock_set_for_test(0);
}

static void
test_console_that_is_not_in_the_store(void **state)
{
	(void)state;
	open_tty_io();
	io_start(fx.io, "tty/7");
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T2(name)                                                                         \
	T(name), {#name " without splice", name, setup_without_splice, teardown, NULL}
	    T2(test_console_output_arrives_whole),
	    T2(test_console_input_arrives_whole),
	    T2(test_console_last_words_after_exit),
	    T2(test_console_short_lives),
	    T2(test_console_without_stdout_is_read_all_the_same),
	    T2(test_console_shell_session),
	    T2(test_console_without_users_may_come_back),
	    T2(test_console_input_waits_for_a_user),
	    T2(test_console_background_job_does_not_block_the_end),
	    T2(test_console_chatty_background_job_does_not_block_the_end),
	    T2(test_console_stdin_end_sends_nothing),
	    T2(test_console_idle_is_quiet),
	    T2(test_console_unread_input_is_quiet),
	    T(test_console_resize),
	    T(test_console_resume),
	    T(test_console_exit_before_the_terminal_is_here),
	    T2(test_console_readers_are_awaited_before_the_terminal_is_here),
	    T(test_console_that_is_not_in_the_store),
#undef T2
#undef T
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * worker/io: what a container writes. Every byte arrives, the client sees the
 * end, nothing spins, nothing stays open. The other direction is in test_io_in.c,
 * terminals in test_console.c, dying workers in test_io_death.c.
 */
#include "io_fix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- output ------------------------------------------------------------------------ */

static void
move_out(uint64_t len, unsigned reader_pause_us)
{
	struct proc client, container;
	uint64_t bytes[3];

	fx.spec.stdout_path = fx.path[1];
	open_io();
	assert_int_equal(fx.child[0], -1);
	assert_int_equal(fx.child[2], -1);
	assert_int_equal(fcntl(fx.child[1], F_GETFL) & O_NONBLOCK, 0);
	proc_read(&client, fx.path[1], -1, 7, 0, len, true, reader_pause_us);
	proc_write(&container, NULL, fx.child[1], 7, 0, len);
	close_child_ends();
	io_start(fx.io, NULL);
	/* the client sees the end while the io is still there */
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(end_of(&container), 0);
	io_counts(fx.io, bytes);
	assert_int_equal(bytes[IO_OUT], len);
	assert_true(until_over(IO_OUT));
	assert_int_equal(fake_count(fx.lk, "io/c1/-/out.keep"), 1);
	assert_int_equal(fake_count(fx.lk, ""), 1);
	io_free(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
}

static void
test_io_output_of_every_size_arrives(void **state)
{
	static const uint64_t sizes[] = {
	    0, 1, 4095, 4096, 65536, 65537, MIB + 1, 64 * MIB};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		move_out(sizes[i], 0);
}

static void
test_io_output_waits_for_a_slow_reader(void **state)
{
	(void)state;
	move_out(3 * MIB, 2000);
}

static void
test_io_output_waits_for_an_absent_reader(void **state)
{
	struct proc client, container;
	struct still still = {.which = IO_OUT, .who = &container};
	uint64_t passes;

	(void)state;
	fx.spec.stdout_path = fx.path[1];
	open_io();
	proc_write(&container, NULL, fx.child[1], 7, 0, 5 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_true(loop_until(fx.loop, cond_still, &still));
	assert_false(proc_ended(&container)); /* it blocks, as it must */
	passes = passes_of(IO_OUT);
	loop_passes(fx.loop, 100);
	assert_int_equal(passes_of(IO_OUT), passes); /* and we sleep */
	proc_read(&client, fx.path[1], -1, 7, 0, 5 * MIB, true, 0);
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(end_of(&container), 0);
}

static void
test_io_output_survives_its_reader(void **state)
{
	struct proc client, container;
	uint64_t at = 0;

	(void)state;
	fx.spec.stdout_path = fx.path[1];
	open_io();
	proc_write(&container, NULL, fx.child[1], 7, 0, 8 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	while (at < 7 * MIB) {
		uint64_t next = at + 1 + random_below(MIB);

		proc_read(&client, fx.path[1], -1, 7, at, next, false, 0);
		assert_int_equal(end_of(&client), 0);
		loop_passes(fx.loop, 3); /* alone for a while */
		at = next;
	}
	proc_read(&client, fx.path[1], -1, 7, at, 8 * MIB, true, 0);
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(end_of(&container), 0);
}

/*
 * containerd is away when a container writes its last words: they wait in the
 * FIFO, held by the kept read end, and then comes end of file.
 */
static void
test_io_last_words_wait_for_a_late_reader(void **state)
{
	int fd;

	(void)state;
	fx.spec.stdout_path = fx.path[1];
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 1000), 0);
	close_child_ends();
	assert_true(until_over(IO_OUT));
	io_process_exited(fx.io);
	loop_passes(fx.loop, 3);
	fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
	    pattern_read(fd, 7, 0, 5000), 1000); /* end of file, not EAGAIN */
	fd_close(&fd);
}

static bool
cond_left(void *arg)
{
	(void)arg;
	return fx.io->s[IO_OUT].state == STREAM_LEFT;
}

/* Its open(2) would wait for a writer for ever. */
static void
test_io_client_that_opens_late_reads_all(void **state)
{
	struct proc client;

	(void)state;
	clock_set_for_test(1000 * US_PER_S); /* patience without end */
	fx.spec.stdout_path = fx.path[1];
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 1000), 0);
	close_child_ends();
	io_process_exited(fx.io);
	assert_true(loop_until(fx.loop, cond_left, NULL));
	loop_passes(fx.loop, 30);
	assert_true(cond_left(NULL));
	io_drain(fx.io, 1000 * US_PER_S, on_drained, NULL);
	loop_passes(fx.loop, 3);
	assert_false(cond_drained(NULL));
	proc_read(&client, fx.path[1], -1, 7, 0, 1000, true, 0);
	assert_int_equal(end_of(&client), 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
	assert_true(until_over(IO_OUT));
	clock_set_for_test(0);
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

/* both: of a process that has ended, and of one whose child goes on writing */
static void
await_readers(bool held)
{
	bool is_read = false;
	int fd;

	clock_set_for_test(1000 * US_PER_S);
	fx.spec.stdout_path = fx.path[1];
	open_io();
	/* refused beyond a user's share */
	if (fcntl(fx.child[1], F_GETPIPE_SZ) < 256 << 10) {
		clock_set_for_test(0);
		skip();
	}
	io_start(fx.io, NULL);
	fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 3 * 65536), 0);
	loop_passes(fx.loop, 10);
	if (!held)
		close_child_ends();
	io_process_exited(fx.io);
	assert_true(io_await_readers(fx.io, 10 * US_PER_S, on_read, &is_read));
	loop_passes(fx.loop, 30);
	assert_int_equal(pattern_read(fd, 7, 0, 65536), 65536);
	loop_passes(fx.loop, 30);
	assert_false(is_read);
	if (held) /* is not waited for */
		assert_int_equal(pattern_write(fx.child[1], 7, 3 * 65536, 200000), 0);
	assert_int_equal(pattern_read(fd, 7, 65536, 3 * 65536), 3 * 65536);
	assert_true(loop_until(fx.loop, cond_true, &is_read));
	if (!held) {
		assert_true(until_over(IO_OUT));
		assert_false(io_await_readers(fx.io, US_PER_S, on_read, &is_read));
	}
	fd_close(&fd);
	close_child_ends();
	io_free(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	clock_set_for_test(0);
}

static void
test_io_readers_are_awaited(void **state)
{
	(void)state;
	await_readers(false);
	await_readers(true);
}

/* Nobody reads; somebody reads, but without end. */
static void
test_io_readers_are_not_awaited_for_ever(void **state)
{
	bool is_read = false, again = false;
	int fd, i;

	(void)state;
	clock_set_for_test(1000 * US_PER_S);
	fx.spec.stdout_path = fx.path[1];
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 1000), 0);
	loop_passes(fx.loop, 10);
	io_process_exited(fx.io);
	assert_true(io_await_readers(fx.io, 10 * US_PER_S, on_read, &is_read));
	clock_set_for_test(1000 * US_PER_S + IO_STALL_US - 1);
	loop_passes(fx.loop, 30);
	assert_false(is_read);
	clock_set_for_test(1000 * US_PER_S + IO_STALL_US);
	assert_true(loop_until(fx.loop, cond_true, &is_read));

	assert_true(io_await_readers(fx.io, US_PER_S, on_read, &again));
	fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	for (i = 0; i < 9; i++) {
		clock_set_for_test(clock_boot_us() + 100 * US_PER_MS);
		assert_int_equal(
		    pattern_read(fd, 7, (uint64_t)i, (uint64_t)i + 1), i + 1);
		loop_passes(fx.loop, 30);
		assert_false(again);
	}
	clock_set_for_test(clock_boot_us() + 100 * US_PER_MS);
	assert_true(loop_until(fx.loop, cond_true, &again));
	fd_close(&fd);
	clock_set_for_test(0);
}

static void
test_io_three_streams_at_once(void **state)
{
	struct proc client[3], container[3];
	uint64_t bytes[3];
	int i;

	(void)state;
	use_all();
	open_io();
	proc_write(&client[0], fx.path[0], -1, 1, 0, 20 * MIB);
	proc_read(&client[1], fx.path[1], -1, 2, 0, 30 * MIB, true, 0);
	proc_read(&client[2], fx.path[2], -1, 3, 0, 10 * MIB, true, 0);
	proc_read(&container[0], NULL, fx.child[0], 1, 0, 20 * MIB, true, 0);
	proc_write(&container[1], NULL, fx.child[1], 2, 0, 30 * MIB);
	proc_write(&container[2], NULL, fx.child[2], 3, 0, 10 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_int_equal(end_of(&client[0]), 0);
	io_close_stdin(fx.io);
	for (i = 0; i < 3; i++) {
		assert_int_equal(end_of(&container[i]), 0);
		if (i > 0)
			assert_int_equal(end_of(&client[i]), 0);
	}
	io_counts(fx.io, bytes);
	assert_int_equal(bytes[0], 20 * MIB);
	assert_int_equal(bytes[1], 30 * MIB);
	assert_int_equal(bytes[2], 10 * MIB);
}

static void
test_io_equal_paths_keep_the_order(void **state)
{
	char got[64] = "";
	int fd, i;

	(void)state;
	fx.spec.stdout_path = fx.spec.stderr_path = fx.path[1];
	open_io();
	fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	for (i = 0; i < 10; i++)
		assert_int_equal(write(fx.child[1 + i % 2], &"0123456789"[i], 1), 1);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_true(until_over(IO_OUT));
	assert_int_equal(read(fd, got, sizeof got), 10);
	assert_string_equal(got, "0123456789");
	fd_close(&fd);
}

static void
test_io_sink_that_fails_does_not_block_the_container(void **state)
{
	struct proc container;

	(void)state;
	fx.spec.stdout_path = "/dev/full"; /* every write: ENOSPC */
	open_io();
	proc_write(&container, NULL, fx.child[1], 7, 0, MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_int_equal(end_of(&container), 0);
	assert_true(until_over(IO_OUT));
}

/* A FIFO whose read ends are all gone, as after a lost store. */
static void
test_io_sink_without_reader_does_not_block_the_container(void **state)
{
	struct proc container;

	(void)state;
	fx.spec.stdout_path = fx.path[1];
	open_io();
	fd_close(&fx.io->s[IO_OUT].fd[IO_KEEP]);
	link_fd_drop(fx.lk, "io/c1/-/out.keep", false);
	proc_write(&container, NULL, fx.child[1], 7, 0, 3 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_int_equal(end_of(&container), 0);
	assert_true(until_over(IO_OUT));
}

static void
test_io_direct_hands_the_fifo_over(void **state)
{
	struct proc client, container;
	struct stat a, b;

	(void)state;
	if (geteuid() != 0) /* it is given away */
		skip();
	fx.spec.stdout_path = fx.path[1];
	fx.spec.direct = true;
	fx.spec.uid = fx.spec.gid = 1000;
	open_io();
	assert_int_equal(fstat(fx.child[1], &a), 0);
	assert_int_equal(stat(fx.path[1], &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	assert_int_equal(b.st_uid, 1000);
	assert_int_equal(
	    fcntl(fx.child[1], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
	proc_read(&client, fx.path[1], -1, 7, 0, 4 * MIB, true, 0);
	proc_write(&container, NULL, fx.child[1], 7, 0, 4 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_int_equal(end_of(&container), 0);
	assert_int_equal(end_of(&client), 0); /* our end of it was the container's */
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

static void
test_io_direct_is_not_for_execs(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid() != 0) /* as above */
		skip();
	fx.spec.exec_id = "e1";
	fx.spec.stdout_path = fx.path[1];
	fx.spec.direct = true;
	fx.spec.uid = fx.spec.gid = 1000;
	open_io();
	assert_int_equal(fake_count(fx.lk, "io/c1/e1/out.src"), 1);
	assert_int_equal(fstat(fx.child[1], &st), 0);
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(stat(fx.path[1], &st), 0);
	assert_int_equal(st.st_uid, getuid());
}

/* --- what cannot be opened ----------------------------------------------------------- */

static void
test_io_open_refuses(void **state)
{
	static const struct {
		const char *path;
		int rc;
	} bad[] = {
	    {"/nowhere/at/all", -ENOENT},
	    {"ttrpc+unix:///run/x?streaming_id=a", -EINVAL},
	    {"nonsense://x", -EINVAL},
	    {"/tmp", -EINVAL},
	};
	struct err err = ERR_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		int before = fd_count();

		use_all();
		fx.spec.stderr_path = bad[i].path;
		assert_int_equal(
		    io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err), bad[i].rc);
		assert_non_null(strstr(err.text, "stderr: "));
		assert_non_null(strstr(err.text, bad[i].path));
		assert_null(fx.io);
		assert_int_equal(fx.child[0], -1);
		loop_once(fx.loop, 1);
		assert_int_equal(fd_count(), before);
		assert_int_equal(fake_count(fx.lk, ""), 0);
	}
}

static void
test_io_without_paths_is_null(void **state)
{
	(void)state;
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(fx.child[0], -1);
	assert_int_equal(fx.child[1], -1);
	assert_int_equal(fx.child[2], -1);
	assert_int_equal(fake_count(fx.lk, ""), 0);
	io_close_stdin(fx.io);
	assert_int_equal(io_resize(fx.io, 80, 25, NULL), 0);
	io_process_exited(fx.io);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_int_equal(fx.drained, 0); /* from the loop, never from the call */
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

static void
test_io_fifo_scheme(void **state)
{
	char uri[80];

	(void)state;
	(void)snprintf(uri, sizeof uri, "fifo://%s", fx.path[1]);
	fx.spec.stdout_path = uri;
	open_io();
	assert_true(fx.child[1] >= 0);
}

static void
test_io_stdin_from_a_file_goes_to_the_container(void **state)
{
	char c;

	(void)state;
	fx.spec.stdin_path = "/dev/zero";
	open_io();
	assert_int_equal(
	    fcntl(fx.child[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY);
	assert_int_equal(read(fx.child[0], &c, 1), 1);
	assert_int_equal(fake_count(fx.lk, ""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    FIX_TEST(test_io_output_of_every_size_arrives),
	    FIX_TEST(test_io_output_waits_for_a_slow_reader),
	    FIX_TEST(test_io_output_waits_for_an_absent_reader),
	    FIX_TEST(test_io_output_survives_its_reader),
	    FIX_TEST(test_io_last_words_wait_for_a_late_reader),
	    FIX_TEST(test_io_client_that_opens_late_reads_all),
	    FIX_TEST(test_io_readers_are_awaited),
	    FIX_TEST(test_io_readers_are_not_awaited_for_ever),
	    FIX_TEST(test_io_three_streams_at_once),
	    FIX_TEST(test_io_equal_paths_keep_the_order),
	    FIX_TEST(test_io_sink_that_fails_does_not_block_the_container),
	    FIX_TEST(test_io_sink_without_reader_does_not_block_the_container),
	    FIX_TEST(test_io_direct_hands_the_fifo_over),
	    FIX_TEST(test_io_direct_is_not_for_execs),
	    FIX_TEST(test_io_open_refuses),
	    FIX_TEST(test_io_without_paths_is_null),
	    FIX_TEST(test_io_fifo_scheme),
	    FIX_TEST(test_io_stdin_from_a_file_goes_to_the_container),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

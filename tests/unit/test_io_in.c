/*
 * worker/io: stdin and CloseIO, idling, a second worker that takes up, draining.
 */
#include "io_fix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

/* --- stdin ------------------------------------------------------------------------------ */

static void
test_io_stdin_ends_only_after_closeio(void **state)
{
	char buf[16];
	int client;

	(void)state;
	use_all();
	open_io();
	io_start(fx.io, NULL);
	client = client_open();
	assert_int_equal(write(client, "one", 3), 3);
	fd_close(&client);
	assert_true(loop_until(fx.loop, cond_readable, &fx.child[0]));
	assert_int_equal(read(fx.child[0], buf, sizeof buf), 3);
	loop_passes(fx.loop, 50); /* a client that left may come back */
	assert_false(cond_readable(&fx.child[0]));
	assert_int_equal(passes_of(IO_IN), 1);
	client = client_open();
	assert_int_equal(write(client, "two", 3), 3);
	io_close_stdin(fx.io);
	assert_true(loop_until(fx.loop, cond_readable, &fx.child[0]));
	assert_int_equal(read(fx.child[0], buf, sizeof buf), 3);
	loop_passes(fx.loop, 50); /* closed, but the client still writes */
	assert_false(cond_readable(&fx.child[0]));
	assert_int_equal(write(client, "three", 5), 5);
	fd_close(&client);
	assert_true(loop_until(fx.loop, cond_readable, &fx.child[0]));
	assert_int_equal(read(fx.child[0], buf, sizeof buf), 5);
	assert_true(loop_until(fx.loop, cond_hup, &fx.child[0]));
	io_close_stdin(fx.io); /* again: fine */
	assert_int_equal(fake_count(fx.lk, "io/c1/-/in."), 0);
}

static bool
cond_moves_in(void *arg)
{
	uint64_t bytes[3];

	(void)arg;
	io_counts(fx.io, bytes);
	return bytes[IO_IN] > 0;
}

static void
test_io_stdin_data_before_closeio_is_delivered(void **state)
{
	struct proc client, container;

	(void)state;
	use_all();
	open_io();
	/* more than FIFO and pipe hold: the rest is still on its way at CloseIO */
	proc_write(&client, fx.path[0], -1, 7, 0, 3 * MIB);
	io_start(fx.io, NULL);
	assert_true(loop_until(fx.loop, cond_moves_in, NULL));
	io_close_stdin(fx.io);
	loop_passes(fx.loop, 20);
	proc_read(&container, NULL, fx.child[0], 7, 0, 3 * MIB, true, 0);
	fd_close(&fx.child[0]);
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(end_of(&container), 0);
}

static void
test_io_stdin_closed_before_start(void **state)
{
	char buf[16];
	int client;

	(void)state;
	use_all();
	open_io();
	client = client_open();
	assert_int_equal(write(client, "early", 5), 5);
	fd_close(&client);
	io_close_stdin(fx.io);
	io_close_stdin(fx.io);
	io_start(fx.io, NULL);
	assert_true(loop_until(fx.loop, cond_readable, &fx.child[0]));
	assert_int_equal(read(fx.child[0], buf, sizeof buf), 5);
	assert_true(loop_until(fx.loop, cond_hup, &fx.child[0]));
}

static void
test_io_stdin_that_the_container_closed(void **state)
{
	int client;

	(void)state;
	use_all();
	open_io();
	client = client_open();
	io_start(fx.io, NULL);
	fd_close(&fx.child[0]);
	assert_int_equal(write(client, "nobody", 6), 6);
	assert_true(until_over(IO_IN));
	/* the client learns of it as with any pipe */
	assert_int_equal(write(client, "nobody", 6), -1);
	assert_int_equal(errno, EPIPE);
	fd_close(&client);
	assert_int_equal(fake_count(fx.lk, "io/c1/-/in."), 0);
	io_close_stdin(fx.io);
}

static void
test_io_stdin_that_the_container_does_not_read(void **state)
{
	uint64_t passes;
	char c = 'x';
	int client, n = 0;

	(void)state;
	use_all();
	open_io();
	client = client_open();
	io_start(fx.io, NULL);
	while (n < 50) {
		while (write(client, &c, 1) == 1)
			n = 0;
		loop_passes(fx.loop, 1);
		n++;
	}
	passes = passes_of(IO_IN);
	loop_passes(fx.loop, 100);
	assert_int_equal(passes_of(IO_IN), passes);
	io_process_exited(fx.io);
	assert_int_equal(write(client, &c, 1), -1);
	assert_int_equal(errno, EPIPE);
	io_close_stdin(fx.io); /* after exit */
	fd_close(&client);
}

/* --- idle, resume, drain ------------------------------------------------------------------ */

static void
test_io_idle_is_quiet(void **state)
{
	struct proc client;
	int fd;

	(void)state;
	use_all();
	open_io();
	io_start(fx.io, NULL);
	fd = client_open();
	loop_passes(fx.loop, 100);
	assert_int_equal(passes_of(IO_IN), 0);
	assert_int_equal(passes_of(IO_OUT), 0);
	assert_int_equal(passes_of(IO_ERR), 0);
	/* half-closed: the client's reader is gone, its writer too */
	proc_read(&client, fx.path[1], -1, 7, 0, 0, false, 0);
	assert_int_equal(end_of(&client), 0);
	fd_close(&fd);
	fd_close(&fx.child[0]);
	fd_close(&fx.child[2]);
	assert_true(until_over(IO_ERR));
	loop_passes(fx.loop, 100);
	assert_int_equal(passes_of(IO_IN), 0);
	assert_int_equal(passes_of(IO_OUT), 0);
}

static void
test_io_resume_takes_up_all_streams(void **state)
{
	char buf[16];
	int out, client;

	(void)state;
	use_all();
	open_io();
	out = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	assert_int_equal(write(fx.child[1], "out", 3), 3);
	assert_true(loop_until(fx.loop, cond_readable, &out));
	assert_int_equal(read(out, buf, sizeof buf), 3);
	client = client_open();
	assert_int_equal(write(client, "in", 2), 2);
	fd_close(&client);
	assert_true(loop_until(fx.loop, cond_readable, &fx.child[0]));
	assert_int_equal(read(fx.child[0], buf, sizeof buf), 2);
	loop_passes(fx.loop, 20);
	assert_false(cond_readable(&fx.child[0])); /* the holder is in the store */
	io_close_stdin(fx.io);
	assert_true(loop_until(fx.loop, cond_hup, &fx.child[0]));
	close_child_ends();
	assert_true(until_over(IO_OUT));
	assert_int_equal(read(out, buf, sizeof buf), 0);
	fd_close(&out);
}

static void
test_io_resume_knows_a_closed_stdin(void **state)
{
	int client;

	(void)state;
	use_all();
	open_io();
	client = client_open();
	io_start(fx.io, NULL);
	io_close_stdin(fx.io);
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	loop_passes(fx.loop, 20);
	assert_false(cond_readable(&fx.child[0]));
	fd_close(&client);
	assert_true(loop_until(fx.loop, cond_hup, &fx.child[0]));
}

static void
test_io_resume_after_the_end_waits_for_nothing(void **state)
{
	(void)state;
	use_all();
	open_io();
	close_child_ends();
	io_start(fx.io, NULL);
	assert_true(until_over(IO_OUT));
	assert_true(until_over(IO_ERR));
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

/* A worker died between two drops: the names that are left are no stream. */
static void
test_io_resume_with_half_of_the_names(void **state)
{
	char c;
	int out;

	(void)state;
	use_all();
	open_io();
	out = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	link_fd_drop(fx.lk, "io/c1/-/out.src", false);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	loop_passes(fx.loop, 5);
	assert_int_equal(fake_count(fx.lk, "io/c1/-/out.dst"), 0);
	assert_int_equal(read(out, &c, 1), 0);
	fd_close(&out);
}

static void
test_io_resume_birth_pumps_nothing_yet(void **state)
{
	char buf[16];
	int out;

	(void)state;
	use_all();
	open_io();
	out = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = io_resume_birth(fx.loop, fx.lk, &fx.spec);
	assert_true(io_is_kept(fx.io));
	assert_int_equal(write(fx.child[1], "out", 3), 3);
	loop_passes(fx.loop, 20);
	assert_false(cond_readable(&out));
	io_start(fx.io, NULL);
	assert_true(loop_until(fx.loop, cond_readable, &out));
	assert_int_equal(read(out, buf, sizeof buf), 3);
	fd_close(&out);
}

/* The keeper had no room for it, and told only the worker before us. */
static void
test_io_resume_birth_misses_what_was_not_taken(void **state)
{
	static const char *const names[] = {"out.src", "out.dst", "err.src", "err.dst"};
	size_t i;

	(void)state;
	use_all();
	for (i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *name = mem_printf("io/c1/-/%s", names[i]);

		open_io();
		close_child_ends();
		io_abandon(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
		assert_int_equal(fake_count(fx.lk, name), 1);
		link_fd_drop(fx.lk, name, false);
		fx.io = io_resume_birth(fx.loop, fx.lk, &fx.spec);
		assert_false(io_is_kept(fx.io));
		io_free(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
	}
}

/* Fewer names than streams: one pipe for both, none where nobody asks for any. */
static void
test_io_resume_birth_misses_nothing_else(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		fx.spec.stdout_path = i == 2 ? "" : fx.path[1];
		fx.spec.stderr_path = i == 0 ? fx.path[1] : "";
		fx.spec.direct = i == 1;
		open_io();
		close_child_ends();
		io_abandon(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
		fx.io = io_resume_birth(fx.loop, fx.lk, &fx.spec);
		assert_true(io_is_kept(fx.io));
		io_free(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
	}
}

/* A worker dies before its SPAWN, and the FIFOs are gone when the next one comes to it. */
static void
test_io_open_that_fails_takes_the_old_names_along(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	use_all();
	open_io();
	close_child_ends();
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	assert_true(fake_count(fx.lk, "io/c1/") > 0);
	assert_int_equal(unlink(fx.path[1]), 0);
	assert_int_equal(
	    io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err), -ENOENT);
	assert_int_equal(fake_count(fx.lk, "io/c1/"), 0);
}

static void
test_io_free_while_descriptors_are_on_their_way(void **state)
{
	(void)state;
	use_all();
	open_io();
	io_abandon(steal_ptr(&fx.io));
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	io_free(steal_ptr(&fx.io));
	loop_passes(fx.loop, 5); /* teardown counts descriptors */
}

static void
test_io_drain_gives_up_in_time(void **state)
{
	boot_us_t begin;

	(void)state;
	use_all();
	open_io();
	io_start(fx.io, NULL);
	/* a grandchild has stdout: fx.child[1] stays open */
	io_process_exited(fx.io);
	begin = clock_boot_us();
	io_drain(fx.io, 20 * US_PER_MS, on_drained, NULL);
	assert_int_equal(fx.drained, 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
	assert_true(clock_boot_us() - begin >= 19 * US_PER_MS);
	loop_passes(fx.loop, 5);
	assert_int_equal(fx.drained, 1);
}

static void
test_io_drain_waits_for_what_is_underway(void **state)
{
	struct proc client, container;

	(void)state;
	use_all();
	open_io();
	proc_write(&container, NULL, fx.child[1], 7, 0, 4 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	loop_passes(fx.loop, 5);
	io_process_exited(fx.io);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	loop_passes(fx.loop, 20);
	assert_int_equal(fx.drained, 0);
	proc_read(&client, fx.path[1], -1, 7, 0, 4 * MIB, true, 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
	assert_int_equal(end_of(&container), 0);
	assert_int_equal(end_of(&client), 0);
	assert_int_equal(fx.drained, 1);
}

static void
free_io(void *arg)
{
	(void)arg;
	io_free(steal_ptr(&fx.io));
	fx.drained++;
}

static void
test_io_free_from_the_drain_callback(void **state)
{
	(void)state;
	use_all();
	open_io();
	io_start(fx.io, NULL);
	io_drain(fx.io, 0, free_io, NULL); /* at once, though nothing has ended */
	assert_int_equal(fx.drained, 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

/* Many end in one batch, and are freed in it. */
static void
test_io_many_end_at_once(void **state)
{
	struct io *ios[20];
	int child[20][3], i, j;

	(void)state;
	use_all();
	for (i = 0; i < 20; i++) {
		char id[8];

		(void)snprintf(id, sizeof id, "e%d", i);
		fx.spec.exec_id = id;
		assert_int_equal(
		    io_open(fx.loop, fx.lk, &fx.spec, &ios[i], child[i], NULL), 0);
		io_start(ios[i], NULL);
		assert_int_equal(write(child[i][1], "bye", 3), 3);
	}
	for (i = 0; i < 20; i++) {
		for (j = 0; j < 3; j++)
			fd_close(&child[i][j]);
	}
	loop_once(fx.loop, 1);
	for (i = 0; i < 20; i++)
		io_free(ios[i]);
	loop_passes(fx.loop, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    FIX_TEST(test_io_stdin_ends_only_after_closeio),
	    FIX_TEST(test_io_stdin_data_before_closeio_is_delivered),
	    FIX_TEST(test_io_stdin_closed_before_start),
	    FIX_TEST(test_io_stdin_that_the_container_closed),
	    FIX_TEST(test_io_stdin_that_the_container_does_not_read),
	    FIX_TEST(test_io_idle_is_quiet),
	    FIX_TEST(test_io_resume_takes_up_all_streams),
	    FIX_TEST(test_io_resume_knows_a_closed_stdin),
	    FIX_TEST(test_io_resume_after_the_end_waits_for_nothing),
	    FIX_TEST(test_io_resume_with_half_of_the_names),
	    FIX_TEST(test_io_open_that_fails_takes_the_old_names_along),
	    FIX_TEST(test_io_resume_birth_pumps_nothing_yet),
	    FIX_TEST(test_io_resume_birth_misses_what_was_not_taken),
	    FIX_TEST(test_io_resume_birth_misses_nothing_else),
	    FIX_TEST(test_io_free_while_descriptors_are_on_their_way),
	    FIX_TEST(test_io_drain_gives_up_in_time),
	    FIX_TEST(test_io_drain_waits_for_what_is_underway),
	    FIX_TEST(test_io_free_from_the_drain_callback),
	    FIX_TEST(test_io_many_end_at_once),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

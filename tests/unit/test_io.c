/*
 * worker/io with pipes and FIFOs: every byte arrives, ends are seen on both
 * sides, nothing spins, nothing stays open. Terminals are in test_console.c,
 * dying workers in test_io_death.c.
 */
#include "worker/io.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "io_help.h"
#include "worker/io_int.h"
#include "worker/link.h"
#include "worker/pump.h"

#define MIB (1024u * 1024u)

static struct fix {
	struct loop *loop;
	struct link *lk;
	struct io *io;
	struct io_spec spec;
	char dir[32];
	char path[3][64];
	int child[3];
	int fds_before;
	unsigned drained;
} fx;

static int
setup(void **state)
{
	static const char *const names[3] = {"in", "out", "err"};
	int i;

	(void)state;
	memset(&fx, 0, sizeof fx);
	fx.fds_before = fd_count();
	(void)strcpy(fx.dir, "/tmp/podshim-io.XXXXXX");
	assert_non_null(mkdtemp(fx.dir));
	for (i = 0; i < 3; i++) {
		(void)snprintf(fx.path[i], sizeof fx.path[i], "%s/%s", fx.dir, names[i]);
		assert_int_equal(mkfifo(fx.path[i], 0700), 0);
		fx.child[i] = -1;
	}
	fx.loop = loop_new();
	fx.lk = fake_new(fx.loop);
	fx.spec = (struct io_spec){
	    .container = "c1",
	    .exec_id = "",
	    .stdin_path = "",
	    .stdout_path = "",
	    .stderr_path = "",
	    .ns = "test",
	};
	return 0;
}

static int
teardown(void **state)
{
	char extra[64];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		fd_close(&fx.child[i]);
	io_free(fx.io);
	loop_once(fx.loop, 1);
	assert_int_equal(fake_count(fx.lk, ""), 0);
	fake_free(fx.lk);
	loop_free(fx.loop);
	for (i = 0; i < 3; i++)
		(void)unlink(fx.path[i]);
	(void)snprintf(extra, sizeof extra, "%s/file", fx.dir);
	(void)unlink(extra);
	assert_int_equal(rmdir(fx.dir), 0);
	assert_int_equal(fd_count(), fx.fds_before);
	return 0;
}

static void
use_all(void)
{
	fx.spec.stdin_path = fx.path[0];
	fx.spec.stdout_path = fx.path[1];
	fx.spec.stderr_path = fx.path[2];
}

static void
open_io(void)
{
	struct err err = ERR_INIT;

	if (io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err) != 0)
		fail_msg("%s", err.text);
}

static void
close_child_ends(void)
{
	int i;

	for (i = 0; i < 3; i++)
		fd_close(&fx.child[i]);
}

static void
on_drained(void *arg)
{
	(void)arg;
	fx.drained++;
}

static bool
cond_drained(void *arg)
{
	(void)arg;
	return fx.drained > 0;
}

static bool
cond_over(void *arg)
{
	return fx.io->s[*(enum io_which *)arg].state == STREAM_OVER;
}

static bool
until_over(enum io_which which)
{
	return loop_until(fx.loop, cond_over, &which);
}

/* Bytes that fit into whatever is there: all of a stream has come to rest. */
static bool
cond_still(void *arg)
{
	static uint64_t last[2];
	uint64_t bytes[3], *passes = arg;
	bool still;

	io_counts(fx.io, bytes);
	still = bytes[IO_OUT] == last[0] && last[1]++ > 20;
	if (bytes[IO_OUT] != last[0])
		last[1] = 0;
	last[0] = bytes[IO_OUT];
	*passes = pump_passes(fx.io->s[IO_OUT].pump);
	return still;
}

static uint64_t
passes_of(enum io_which which)
{
	return pump_passes(fx.io->s[which].pump);
}

static int
end_of(struct proc *p)
{
	assert_true(loop_until_proc(fx.loop, p));
	return proc_status(p);
}

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
	uint64_t passes, later;

	(void)state;
	fx.spec.stdout_path = fx.path[1];
	open_io();
	proc_write(&container, NULL, fx.child[1], 7, 0, 5 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	assert_true(loop_until(fx.loop, cond_still, &passes));
	assert_false(proc_ended(&container)); /* it blocks, as it must */
	loop_passes(fx.loop, 100);
	later = passes_of(IO_OUT);
	assert_int_equal(later, passes); /* and we sleep */
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
test_io_output_to_a_file_is_appended(void **state)
{
	char path[64];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/file", fx.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pattern_write(fd, 7, 0, 1000), 0);
	fd_close(&fd);
	fx.spec.stdout_path = path;
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 1000, 30000), 0);
	close_child_ends();
	assert_true(until_over(IO_OUT));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pattern_read(fd, 7, 0, 50000), 30000);
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

/* --- stdin ------------------------------------------------------------------------------ */

static int
client_open(void)
{
	int fd = open(fx.path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool
cond_hup(void *arg)
{
	struct pollfd pfd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1 && pfd.revents == POLLHUP;
}

static bool
cond_readable(void *arg)
{
	struct pollfd pfd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

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
	loop_passes(fx.loop, 20);
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
	(void)state;
	use_all();
	open_io();
	io_start(fx.io, NULL);
	/* a grandchild has stdout: fx.child[1] stays open */
	io_process_exited(fx.io);
	io_drain(fx.io, 20000, on_drained, NULL);
	loop_once(fx.loop, 1);
	assert_int_equal(fx.drained, 0);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    T(test_io_output_of_every_size_arrives),
	    T(test_io_output_waits_for_a_slow_reader),
	    T(test_io_output_waits_for_an_absent_reader),
	    T(test_io_output_survives_its_reader),
	    T(test_io_last_words_wait_for_a_late_reader),
	    T(test_io_three_streams_at_once),
	    T(test_io_equal_paths_keep_the_order),
	    T(test_io_output_to_a_file_is_appended),
	    T(test_io_sink_that_fails_does_not_block_the_container),
	    T(test_io_sink_without_reader_does_not_block_the_container),
	    T(test_io_direct_hands_the_fifo_over),
	    T(test_io_direct_is_not_for_execs),
	    T(test_io_open_refuses),
	    T(test_io_without_paths_is_null),
	    T(test_io_fifo_scheme),
	    T(test_io_stdin_from_a_file_goes_to_the_container),
	    T(test_io_stdin_ends_only_after_closeio),
	    T(test_io_stdin_data_before_closeio_is_delivered),
	    T(test_io_stdin_closed_before_start),
	    T(test_io_stdin_that_the_container_closed),
	    T(test_io_stdin_that_the_container_does_not_read),
	    T(test_io_idle_is_quiet),
	    T(test_io_resume_takes_up_all_streams),
	    T(test_io_resume_knows_a_closed_stdin),
	    T(test_io_resume_after_the_end_waits_for_nothing),
	    T(test_io_resume_with_half_of_the_names),
	    T(test_io_free_while_descriptors_are_on_their_way),
	    T(test_io_drain_gives_up_in_time),
	    T(test_io_drain_waits_for_what_is_underway),
	    T(test_io_free_from_the_drain_callback),
	    T(test_io_many_end_at_once),
#undef T
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

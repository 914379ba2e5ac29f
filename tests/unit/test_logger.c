/*
 * Output to log programs: URIs, our own for files (this very program, as
 * podshim-worker is in life), and shell scripts for binary:. They must outlive
 * workers, lose nothing, and never block the container.
 */
#include "logger_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/logger.h"

static void
file_text(const char *path, char text[256])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, 255);

	assert_true(n >= 0);
	text[n] = '\0';
	fd_close(&fd);
}

/* A root-owned program, whose text sees the file's path as $F. */
static void
use_script(const char *scheme, const char *text, mode_t mode)
{
	char path[64], all[1024];
	int fd, n;

	if (geteuid() != 0)
		skip();
	(void)snprintf(path, sizeof path, "%s/script", fx.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	n = snprintf(all, sizeof all, "#!/bin/sh\nF=%s\n%s", file_path, text);
	assert_int_equal(write(fd, all, (size_t)n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	fd_close(&fd);
	(void)snprintf(uri, sizeof uri, "%s://%s?a=b%%20c&flag&a=second", scheme, path);
	fx.spec.stdout_path = fx.spec.stderr_path = uri;
}

/* --- files ------------------------------------------------------------------------------ */

static void
test_logger_file_is_made_and_gets_both_outputs(void **state)
{
	char path[64], text[256];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/sub/dir/file", fx.dir);
	(void)snprintf(uri, sizeof uri, "file://%s", path);
	fx.spec.stdout_path = uri; /* and stderr, whatever it says */
	open_io();
	until_ready();
	assert_string_equal(ready_error, "");
	assert_int_equal(write(fx.child[1], "one ", 4), 4);
	assert_int_equal(write(fx.child[2], "two ", 4), 4);
	assert_int_equal(write(fx.child[1], "three", 5), 5);
	io_start(fx.io, NULL);
	close_child_ends();
	drain();
	file_text(path, text);
	assert_string_equal(text, "one two three");
}

static void
test_logger_plain_files_are_appended(void **state)
{
	char path[64], text[256];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/file2", fx.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	fd_close(&fd);
	fd = open(file_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pattern_write(fd, 7, 0, 1000), 0);
	fd_close(&fd);
	fx.spec.stdout_path = file_path;
	fx.spec.stderr_path = path;
	open_io();
	until_ready();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 1000, 30000), 0);
	assert_int_equal(write(fx.child[2], "error", 5), 5);
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 30000);
	file_text(path, text);
	assert_string_equal(text, "error");
}

static void
test_logger_fifo_and_file_side_by_side(void **state)
{
	char text[256];
	int fd, out;

	(void)state;
	fd = open(file_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	fd_close(&fd);
	fx.spec.stdout_path = fx.path[1];
	fx.spec.stderr_path = file_path;
	open_io();
	out = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	until_ready();
	io_start(fx.io, NULL);
	assert_int_equal(write(fx.child[1], "out", 3), 3);
	assert_int_equal(write(fx.child[2], "err", 3), 3);
	close_child_ends();
	drain();
	file_text(file_path, text);
	assert_string_equal(text, "err");
	assert_int_equal(read(out, text, sizeof text), 3);
	fd_close(&out);
}

static void
test_logger_file_for_stderr_alone(void **state)
{
	char text[256];
	int fd;

	(void)state;
	fd = open(file_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	fd_close(&fd);
	fx.spec.stderr_path = file_path;
	open_io();
	until_ready();
	io_start(fx.io, NULL);
	assert_int_equal(fx.child[1], -1);
	assert_int_equal(write(fx.child[2], "err", 3), 3);
	close_child_ends();
	drain();
	file_text(file_path, text);
	assert_string_equal(text, "err");
}

static void
test_logger_file_that_cannot_be_made(void **state)
{
	(void)state;
	fx.spec.stdout_path = "file:///proc/nowhere/file";
	open_io();
	until_ready();
	assert_non_null(strstr(ready_error, "/proc/nowhere"));
	/* it may start all the same, and is not held up */
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 10000), 0);
	close_child_ends();
	drain();
}

/* What stands in the file's place is left alone, and waited for by nobody. */
static void
refused(const char *path, const char *why)
{
	(void)snprintf(uri, sizeof uri, "file://%s", path);
	fx.spec.stdout_path = uri;
	n_ready = 0;
	open_io();
	until_ready();
	assert_non_null(strstr(ready_error, path));
	assert_non_null(strstr(ready_error, why));
	io_free(steal_ptr(&fx.io));
	close_child_ends();
	assert_true(loop_until(fx.loop, cond_no_steps, NULL));
}

static void
test_logger_file_that_is_something_else(void **state)
{
	char path[64], text[256];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/file2", fx.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "another's", 9), 9);
	fd_close(&fd);
	assert_int_equal(symlink(path, file_path), 0);
	refused(file_path, "symbolic link");
	file_text(path, text);
	assert_string_equal(text, "another's");
	assert_int_equal(unlink(file_path), 0);
	/* nor to what is not there yet */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(path, file_path), 0);
	refused(file_path, "symbolic link");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unlink(file_path), 0);
	/* with a reader, and without one */
	refused(fx.path[1], "regular file");
	fd = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	refused(fx.path[1], "regular file");
	assert_true(read(fd, text, sizeof text) <= 0);
	fd_close(&fd);
}

static void
test_logger_file_that_is_dev_null(void **state)
{
	struct proc container;
	char path[64];

	(void)state;
	fx.spec.stdout_path = "file:///dev/null";
	open_io();
	until_ready();
	assert_string_equal(ready_error, "");
	io_start(fx.io, NULL);
	proc_write(&container, NULL, fx.child[1], 7, 0, MIB);
	close_child_ends();
	assert_int_equal(end_of(&container), 0);
	drain();
	io_free(steal_ptr(&fx.io));
	/* a device in another place was not put there by whoever made the host */
	(void)snprintf(path, sizeof path, "%s/file2", fx.dir);
	if (mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0 && access(path, W_OK) == 0)
		refused(path, "regular file");
}

static void
test_logger_takes_all_before_it_ends(void **state)
{
	struct proc container;

	(void)state;
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	io_start(fx.io, NULL);
	proc_write(&container, NULL, fx.child[1], 7, 0, 30 * MIB);
	close_child_ends();
	assert_int_equal(end_of(&container), 0);
	drain();
	assert_int_equal(file_pattern(file_path), 30 * MIB);
}

/* SIGTERM while a grandchild has the pipe: what is in it is still written. */
static void
test_logger_terminated_takes_what_is_there(void **state)
{
	(void)state;
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	until_ready();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 50000), 0);
	io_free(steal_ptr(&fx.io));
	assert_true(loop_until(fx.loop, cond_no_steps, NULL));
	assert_int_equal(file_pattern(file_path), 50000);
}

static void
worker_dies(void)
{
	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	io_sweep(fx.loop, fx.lk);
}

/* --- a disk that refuses ------------------------------------------------------------ */

/* RLIMIT_FSIZE is a disk of our own: with SIGXFSZ ignored, write(2) says EFBIG. */
static void
begin_small_file(void)
{
	struct rlimit was, limit;
	unsigned char buf[1500];

	log_begin();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = was;
	limit.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	until_ready();
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	io_start(fx.io, NULL);
	/* in one piece: the disk takes 1000 of it */
	pattern_fill(7, 0, buf, sizeof buf);
	assert_int_equal(write(fx.child[1], buf, sizeof buf), sizeof buf);
}

static void
test_logger_says_what_the_disk_refuses(void **state)
{
	(void)state;
	begin_small_file();
	assert_true(loop_until(fx.loop, cond_logged,
	    (void *)(uintptr_t) "File too large, output is dropped"));
	/* the next worker hears it as well */
	worker_dies();
	assert_int_equal(truncate(file_path, 0), 0);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 900), 0);
	assert_true(loop_until(fx.loop, cond_logged,
	    (void *)(uintptr_t) "takes output again, 500 bytes were lost"));
	assert_int_equal(pattern_write(fx.child[1], 7, 900, 1100), 0);
	close_child_ends();
	drain();
	assert_true(cond_logged((void *)(uintptr_t) ": 100 bytes were lost"));
}

/* Its last word comes after its container is gone. */
static void
test_logger_says_what_was_lost_at_its_end(void **state)
{
	(void)state;
	begin_small_file();
	io_free(steal_ptr(&fx.io));
	assert_true(loop_until(fx.loop, cond_no_steps, NULL));
	assert_true(cond_logged((void *)(uintptr_t) "File too large, output is dropped"));
	assert_true(cond_logged((void *)(uintptr_t) ": 500 bytes were lost"));
}

/* --- workers that die ---------------------------------------------------------------------- */

static void
test_logger_outlives_workers(void **state)
{
	struct proc container;
	pid_t pid;

	(void)state;
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	pid = fake_steps_pid();
	proc_write(&container, NULL, fx.child[1], 7, 0, 30 * MIB);
	close_child_ends();
	io_start(fx.io, NULL);
	while (!proc_ended(&container)) {
		worker_dies();
		loop_passes(fx.loop, 2);
	}
	assert_int_equal(proc_status(&container), 0);
	if (fake_steps_pid() != 0)
		assert_int_equal(fake_steps_pid(), pid); /* the same all the time */
	worker_dies();
	drain();
	assert_int_equal(file_pattern(file_path), 30 * MIB);
}

/* Its end was acknowledged, but not acted upon: what comes is dropped. */
static void
test_logger_that_the_keeper_has_forgotten(void **state)
{
	struct proc container;

	(void)state;
	use_script("binary", "exit 1\n", 0700);
	open_io();
	io_start(fx.io, NULL);
	loop_passes(fx.loop, 5);
	worker_dies();
	loop_passes(fx.loop, 50);
	worker_dies();
	proc_write(&container, NULL, fx.child[1], 7, 0, MIB);
	close_child_ends();
	assert_int_equal(end_of(&container), 0);
	drain();
}

static void
test_logger_of_nobody_is_ended(void **state)
{
	(void)state;
	use_script("binary", "exec sleep 1000\n", 0700);
	open_io();
	io_abandon(steal_ptr(&fx.io));
	link_fd_drop(fx.lk, "io/", true);
	loop_passes(fx.loop, 20);
	assert_int_equal(fake_steps_count(), 1);
	io_sweep(fx.loop, fx.lk);
	assert_true(loop_until(fx.loop, cond_no_steps, NULL));
}

/* --- binary: -------------------------------------------------------------------------------- */

static void
test_logger_binary_contract(void **state)
{
	char text[256], want[256];

	(void)state;
	/* arguments, environment, which descriptors; the ready byte; both outputs */
	use_script("binary",
	    "printf '%s|' \"$@\" >$F\n"
	    "printf '%s|' \"$CONTAINER_ID\" \"$CONTAINER_NAMESPACE\" \"$HOME\" >>$F\n"
	    "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && n=$n$i; done\n"
	    "echo $n >>$F\n"
	    "printf x >&5; exec 5>&-\n"
	    "cat <&3 >>$F; cat <&4 >>$F\n",
	    0755);
	fx.spec.exec_id = "e1";
	open_io();
	until_ready();
	assert_string_equal(ready_error, "");
	io_start(fx.io, NULL);
	assert_int_equal(write(fx.child[1], "out ", 4), 4);
	assert_int_equal(write(fx.child[2], "err", 3), 3);
	close_child_ends();
	drain();
	file_text(file_path, text);
	(void)snprintf(want, sizeof want, "a|b c|flag||e1|test||012345\nout err");
	assert_string_equal(text, want);
}

static void
test_logger_binary_ready_by_end(void **state)
{
	(void)state;
	use_script("binary", "exec 5>&-\ncat <&3 >$F\n", 0700);
	open_io();
	until_ready();
	assert_string_equal(ready_error, "");
}

/* Its end of the pipe is closed then, too; but it is not ready. */
static void
test_logger_binary_that_cannot_be_executed(void **state)
{
	static const char *const schemes[] = {"binary", "binary-v2"};
	size_t i;

	(void)state;
	if (getenv("PODSHIM_VALGRIND") != NULL)
		skip(); /* its execve(2) does not come back from a missing interpreter */
	for (i = 0; i < ARRAY_LEN(schemes); i++) {
		char path[64], want[160];
		int fd;

		use_script(schemes[i], "", 0700);
		(void)snprintf(path, sizeof path, "%s/script", fx.dir);
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		assert_int_equal(write(fd, "#!/nowhere/sh\n", 14), 14);
		fd_close(&fd);
		(void)snprintf(
		    want, sizeof want, "exec '%s': No such file or directory", path);
		n_ready = 0;
		open_io();
		until_ready();
		assert_string_equal(ready_error, want);
		io_free(steal_ptr(&fx.io));
		close_child_ends();
	}
}

static void
test_logger_binary_v2_needs_the_byte(void **state)
{
	(void)state;
	use_script("binary-v2", "exec 5>&-\ncat <&3 >$F\n", 0700);
	open_io();
	until_ready();
	assert_string_not_equal(ready_error, "");
}

static void
test_logger_binary_that_others_may_write(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	use_script("binary", "cat <&3 >$F\n", 0777);
	assert_int_equal(
	    io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is not root's, or others may write to it"));
	assert_int_equal(fx.child[1], -1);
	fx.spec.stdout_path = fx.spec.stderr_path = "binary:///nowhere";
	assert_int_equal(
	    io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err), -ENOENT);
}

static void
test_logger_binary_that_dies_does_not_block_the_container(void **state)
{
	struct proc container;

	(void)state;
	use_script("binary", "head -c 1000 <&3 >$F\nexit 3\n", 0700);
	open_io();
	io_start(fx.io, NULL);
	proc_write(&container, NULL, fx.child[1], 7, 0, 5 * MIB);
	close_child_ends();
	assert_int_equal(end_of(&container), 0); /* no SIGPIPE */
	drain();
	assert_int_equal(file_pattern(file_path), 1000);
}

/* It has read all, but does not end by itself: no waiting for the full time. */
static void
test_logger_binary_that_stays_does_not_block_delete(void **state)
{
	int64_t t = now_ms();

	(void)state;
	use_script("binary", "cat <&3 >$F; cat <&4 >>$F; exec sleep 1000\n", 0700);
	open_io();
	io_start(fx.io, NULL);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 1000), 0);
	close_child_ends();
	drain();
	assert_true(now_ms() - t < 30000);
	assert_int_equal(file_pattern(file_path), 1000);
	/* teardown waits for SIGTERM to end it */
}

/* --- terminals --------------------------------------------------------------------------------- */

static void
log_a_tty(unsigned deaths, uint64_t len)
{
	struct termios raw;
	struct proc container;
	int master, slave;

	fx.spec.terminal = true;
	open_io();
	until_ready();
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	link_fd_put(fx.lk, "tty/1", master);
	fd_close(&master);
	io_start(fx.io, "tty/1");
	proc_write(&container, NULL, slave, 7, 0, len);
	fd_close(&slave);
	while (deaths-- > 0) {
		loop_passes(fx.loop, 3);
		io_abandon(steal_ptr(&fx.io));
		loop_once(fx.loop, 1);
		fx.io = io_resume(fx.loop, fx.lk, &fx.spec, "tty/1");
	}
	assert_int_equal(end_of(&container), 0);
	drain();
}

static void
test_logger_file_of_a_terminal(void **state)
{
	(void)state;
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	log_a_tty(5, MIB);
	assert_int_equal(file_pattern(file_path), MIB);
}

static void
test_logger_binary_of_a_terminal_that_dies(void **state)
{
	(void)state;
	use_script("binary", "exec 5>&-; head -c 1000 <&3 >$F\n", 0700);
	log_a_tty(0, MIB);
	assert_int_equal(file_pattern(file_path), 1000);
}

static void
test_logger_ready_without_one(void **state)
{
	(void)state;
	open_io();
	until_ready();
	assert_string_equal(ready_error, "");
}

static void
on_ready_free(const char *error, void *arg)
{
	io_free(steal_ptr(&fx.io));
	on_ready(error, arg);
}

static void
test_logger_freed_when_it_fails(void **state)
{
	(void)state;
	fx.spec.stdout_path = "file:///proc/nowhere/file";
	open_io();
	io_when_ready(fx.io, on_ready_free, NULL);
	assert_true(loop_until(fx.loop, cond_ready, NULL));
	assert_non_null(strstr(ready_error, "/proc/nowhere"));
}

static void
test_logger_freed_before_it_is_ready(void **state)
{
	(void)state;
	open_io();
	io_when_ready(fx.io, on_ready, NULL);
	io_free(steal_ptr(&fx.io));
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	io_when_ready(fx.io, on_ready, NULL);
	io_free(steal_ptr(&fx.io));
	loop_passes(fx.loop, 20);
	assert_int_equal(n_ready, 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    LOGGER_TEST(test_logger_file_is_made_and_gets_both_outputs),
	    LOGGER_TEST(test_logger_plain_files_are_appended),
	    LOGGER_TEST(test_logger_fifo_and_file_side_by_side),
	    LOGGER_TEST(test_logger_file_for_stderr_alone),
	    LOGGER_TEST(test_logger_file_that_cannot_be_made),
	    LOGGER_TEST(test_logger_file_that_is_something_else),
	    LOGGER_TEST(test_logger_file_that_is_dev_null),
	    LOGGER_TEST(test_logger_takes_all_before_it_ends),
	    LOGGER_TEST(test_logger_terminated_takes_what_is_there),
	    LOGGER_TEST(test_logger_says_what_the_disk_refuses),
	    LOGGER_TEST(test_logger_says_what_was_lost_at_its_end),
	    LOGGER_TEST(test_logger_outlives_workers),
	    LOGGER_TEST(test_logger_that_the_keeper_has_forgotten),
	    LOGGER_TEST(test_logger_of_nobody_is_ended),
	    LOGGER_TEST(test_logger_binary_contract),
	    LOGGER_TEST(test_logger_binary_ready_by_end),
	    LOGGER_TEST(test_logger_binary_that_cannot_be_executed),
	    LOGGER_TEST(test_logger_binary_v2_needs_the_byte),
	    LOGGER_TEST(test_logger_binary_that_others_may_write),
	    LOGGER_TEST(test_logger_binary_that_dies_does_not_block_the_container),
	    LOGGER_TEST(test_logger_binary_that_stays_does_not_block_delete),
	    LOGGER_TEST(test_logger_file_of_a_terminal),
	    LOGGER_TEST(test_logger_binary_of_a_terminal_that_dies),
	    LOGGER_TEST(test_logger_ready_without_one),
	    LOGGER_TEST(test_logger_freed_when_it_fails),
	    LOGGER_TEST(test_logger_freed_before_it_is_ready),
	};

	return helper_main(argc, argv) ? log_file_main(argc, argv)
				       : cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * base/fd: whole reads and writes, replacing files as a whole, bounded and
 * sealed memfds. Everything in a directory of the test's own.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

static char dir[] = "/tmp/podshim-test-fd-XXXXXX";

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir); /* each test leaves it empty */
}

static void
test_fd_close_takes_minus_one_and_keeps_errno(void **state)
{
	int fd = -1;

	(void)state;
	errno = ENOTTY;
	fd_close(&fd);
	assert_int_equal(errno, ENOTTY);
	fd = dup(0);
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ENOTTY);
}

static void
test_fd_dup_is_close_on_exec(void **state)
{
	AUTO_CLOSE int fd = fd_dup(0);

	(void)state;
	assert_true(fd >= 3);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fd_dup(-1), -EBADF);
}

static void
test_fd_write_all_waits_for_a_slow_reader(void **state)
{
	enum { SIZE = 1 << 20 };
	char *sent = mem_zalloc(SIZE);
	AUTO_FREE char *got = NULL;
	size_t i, len;
	int p[2], status;
	pid_t pid;

	(void)state;
	for (i = 0; i < SIZE; i++)
		sent[i] = (char)(i * 7 + i / 251);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(fd_set_nonblock(p[1], true), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(p[0]);
		_exit(fd_write_all(p[1], sent, SIZE) == 0 ? 0 : 1);
	}
	fd_close(&p[1]);
	assert_int_equal(fd_read_all(p[0], SIZE, &got, &len, NULL), 0);
	assert_int_equal(len, SIZE);
	assert_memory_equal(got, sent, SIZE);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fd_close(&p[0]);
	free(sent);
}

static void
test_fd_read_all_refuses_more_than_max(void **state)
{
	struct err err = ERR_INIT;
	char *out = NULL;
	size_t len = 0;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "0123456789", 10), 10);
	fd_close(&p[1]);
	assert_int_equal(fd_read_all(p[0], 9, &out, &len, &err), -EFBIG);
	assert_string_equal(err.text, "more than 9 bytes");
	assert_null(out);
	fd_close(&p[0]);
}

static void
test_file_write_replaces_and_leaves_no_other_name(void **state)
{
	AUTO_CLOSE int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *got = NULL;
	struct stat st;
	size_t len;

	(void)state;
	assert_int_equal(file_write(d, "f", "one", 3, 0600, NULL), 0);
	assert_int_equal(file_write(d, "f", "twotwo", 6, 0600, NULL), 0);
	assert_int_equal(file_read(d, "f", 100, &got, &len, NULL), 0);
	assert_string_equal(got, "twotwo");
	assert_int_equal(fstatat(d, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(
	    unlinkat(d, "f", 0), 0); /* rmdir in teardown says if more is there */
}

/* In a directory of everybody's somebody may have guessed the temporary name. */
static void
test_file_write_takes_no_file_of_a_stranger(void **state)
{
	AUTO_CLOSE int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *tmp = mem_printf("f.tmp%ld", (long)getpid()), *got = NULL;
	AUTO_CLOSE int theirs = -1;
	struct stat st;
	size_t len;

	(void)state;
	theirs = openat(d, tmp, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(write(theirs, "theirs", 6), 6);
	assert_int_equal(linkat(d, tmp, d, "g", 0), 0);
	assert_int_equal(file_write(d, "f", "ours", 4, 0600, NULL), 0);
	assert_int_equal(file_read(d, "f", 100, &got, &len, NULL), 0);
	assert_string_equal(got, "ours");
	/* they hold no descriptor of it, nor has it their mode */
	assert_int_equal(fstat(theirs, &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(fstatat(d, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* a link leads nowhere, and is no obstacle */
	assert_int_equal(symlinkat("g", d, tmp), 0);
	assert_int_equal(file_write(d, "f", "again", 5, 0600, NULL), 0);
	free(got);
	assert_int_equal(file_read(d, "g", 100, &got, &len, NULL), 0);
	assert_string_equal(got, "theirs");
	assert_int_equal(unlinkat(d, "f", 0) | unlinkat(d, "g", 0), 0);
}

static void
test_file_read_names_what_is_missing(void **state)
{
	struct err err = ERR_INIT;
	char *out;
	size_t len;

	(void)state;
	assert_int_equal(
	    file_read(AT_FDCWD, "/nonexistent/f", 9, &out, &len, &err), -ENOENT);
	assert_string_equal(err.text, "open '/nonexistent/f': No such file or directory");
}

static void
test_memfd_sealed_cannot_change(void **state)
{
	AUTO_CLOSE int fd = memfd_sealed("t", "abc", 3);
	char buf[4] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, 3), 3);
	assert_string_equal(buf, "abc");
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
}

static void
test_memfd_bounded_stops_at_its_size_without_blocking(void **state)
{
	AUTO_CLOSE int fd = memfd_bounded("t", 8192);
	AUTO_CLOSE int copy = fd_dup(fd);
	char chunk[5000];

	(void)state;
	memset(chunk, 'x', sizeof chunk);
	assert_int_equal(write(fd, chunk, sizeof chunk), sizeof chunk);
	assert_int_equal(lseek(copy, 0, SEEK_CUR), sizeof chunk);
	(void)!write(fd, chunk, sizeof chunk);
	assert_int_equal(write(fd, chunk, sizeof chunk), -1);
	assert_int_equal(errno, EPERM);
	assert_true(lseek(copy, 0, SEEK_CUR) <= 8192);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fd_close_takes_minus_one_and_keeps_errno),
	    cmocka_unit_test(test_fd_dup_is_close_on_exec),
	    cmocka_unit_test(test_fd_write_all_waits_for_a_slow_reader),
	    cmocka_unit_test(test_fd_read_all_refuses_more_than_max),
	    cmocka_unit_test(test_file_write_replaces_and_leaves_no_other_name),
	    cmocka_unit_test(test_file_write_takes_no_file_of_a_stranger),
	    cmocka_unit_test(test_file_read_names_what_is_missing),
	    cmocka_unit_test(test_memfd_sealed_cannot_change),
	    cmocka_unit_test(test_memfd_bounded_stops_at_its_size_without_blocking),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

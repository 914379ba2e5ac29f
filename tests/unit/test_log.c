/*
 * base/log: a FIFO without a reader, a full one, a reader that comes back:
 * never a block, never a lost errno, the gap is counted.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/podshim-test-log-XXXXXX";
static char path[64];
static char traced[256];

static int
setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/log", dir);
	return mkfifo(path, 0700);
}

static int
teardown(void **state)
{
	(void)state;
	log_set_path(NULL);
	return unlink(path) | rmdir(dir);
}

static void
test_log_survives_reader_absent_full_gone_and_back(void **state)
{
	char buf[4096];
	ssize_t n;
	int fd, i;

	(void)state;
	log_init("tester", "pod", path);
	for (i = 0; i < 3; i++)
		log_info("nobody listens"); /* ENXIO */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	log_info("hello %d", 7);
	n = read(fd, buf, sizeof buf - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_non_null(strstr(buf, "level=info role=tester"));
	assert_non_null(strstr(buf, "pod=pod msg=\"hello 7\" dropped=3\n"));

	for (i = 0; i < 2000; i++)
		log_info("fill the pipe until it takes no more %d", i);
	(void)close(fd);
	log_info("reader is gone"); /* EPIPE: opened anew by the next line */
	log_info("still gone");
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	log_info("back");
	n = read(fd, buf, sizeof buf - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_non_null(strstr(buf, "msg=\"back\" dropped="));
	(void)close(fd);
}

static void
keep_trace(const char *text)
{
	(void)snprintf(traced, sizeof traced, "%s", text);
}

static void
test_log_keeps_errno_and_traces_debug_lines(void **state)
{
	(void)state;
	log_set_trace(keep_trace);
	errno = EACCES;
	log_warn("open");
	assert_int_equal(errno, EACCES);
	assert_string_equal(traced, "open: Permission denied");
	log_debug("quiet");
	assert_string_equal(traced, "quiet");
	log_warnx("plain");
	assert_string_equal(traced, "plain");
	log_set_trace(NULL);
}

static void
test_log_cuts_a_long_line_but_ends_it(void **state)
{
	char big[3000], buf[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	(void)state;
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	log_set_path(path);
	log_info("%s", big);
	n = read(fd, buf, sizeof buf);
	assert_true(n > 1000 && n < 1500);
	assert_int_equal(buf[n - 1], '\n');
	(void)close(fd);
}

/* The line that was logged last. */
static void
read_line(int fd, char line[4096])
{
	ssize_t n = read(fd, line, 4095);

	assert_true(n > 0);
	line[n] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	assert_memory_equal(line, "time=\"", 6);
}

static void
test_log_takes_nothing_for_a_line_or_field(void **state)
{
	char line[4096], big[3000];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	(void)state;
	log_init("tester", "x\nsocket=/tmp/evil", path);
	log_info("two\nlines, a \"quote\", \\ \t\r\x1b[1m\x7f caf\xc3\xa9");
	read_line(fd, line);
	assert_non_null(strstr(line,
	    " pod=\"x\\nsocket=/tmp/evil\" msg=\"two\\nlines, a \\\"quote\\\", "
	    "\\\\ \\t\\r\\x1b[1m\\x7f caf\xc3\xa9\"\n"));
	log_init("tester", "x level=error", path);
	log_info("%s", "");
	read_line(fd, line);
	assert_non_null(strstr(line, " pod=\"x level=error\" msg=\"\"\n"));
	/* what grows is cut, between two escapes, and has its last quote */
	memset(big, '\x01', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	log_init("tester", big, path);
	log_info("%s", big);
	read_line(fd, line);
	assert_non_null(strstr(line, "\\x01\" msg=\"\\x01"));
	assert_string_equal(line + strlen(line) - 6, "\\x01\"\n");
	log_init("tester", "pod", path);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log_survives_reader_absent_full_gone_and_back),
	    cmocka_unit_test(test_log_keeps_errno_and_traces_debug_lines),
	    cmocka_unit_test(test_log_cuts_a_long_line_but_ends_it),
	    cmocka_unit_test(test_log_takes_nothing_for_a_line_or_field),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

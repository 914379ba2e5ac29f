/*
 * For the tests of log programs: io_fix.h with the steps, and a file. The test is
 * its own log program for files, as podshim-worker is in life.
 */
#ifndef PODSHIM_TESTS_LOGGER_HELPER_H
#define PODSHIM_TESTS_LOGGER_HELPER_H

#include "io_fix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/logger.h"

static char file_path[64], uri[256];
static unsigned n_ready;
static char ready_error[600];

static inline int
setup(void **state)
{
	if (fix_setup(state) != 0)
		return -1;
	fake_steps_begin(fx.loop);
	(void)snprintf(file_path, sizeof file_path, "%s/file", fx.dir);
	n_ready = 0;
	return 0;
}

static inline bool
cond_no_steps(void *arg)
{
	(void)arg;
	return fake_steps_count() == 0;
}

static inline void
remove_extra(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof path, "%s/%s", fx.dir, name);
	(void)unlink(path);
	(void)rmdir(path);
}

static inline int
teardown(void **state)
{
	clock_set_for_test(0);
	log_set_path(NULL);
	/* with its io, each log program goes */
	io_free(steal_ptr(&fx.io));
	close_child_ends();
	assert_true(loop_until(fx.loop, cond_no_steps, NULL));
	fake_steps_end();
	remove_extra("sub/dir/file");
	remove_extra("sub/dir");
	remove_extra("sub");
	remove_extra("script");
	remove_extra("file2");
	remove_extra("log");
	return fix_teardown(state);
}

static inline void
on_ready(const char *error, void *arg)
{
	(void)arg;
	n_ready++;
	(void)snprintf(ready_error, sizeof ready_error, "%s", error == NULL ? "" : error);
}

static inline bool
cond_ready(void *arg)
{
	(void)arg;
	return n_ready > 0;
}

static inline void
until_ready(void)
{
	io_when_ready(fx.io, on_ready, NULL);
	assert_int_equal(n_ready, 0);
	assert_true(loop_until(fx.loop, cond_ready, NULL));
	assert_int_equal(n_ready, 1);
}

static inline void
drain(void)
{
	io_process_exited(fx.io);
	io_drain(fx.io, 1000000000, on_drained, NULL);
	assert_true(loop_until(fx.loop, cond_drained, NULL));
}

static inline int64_t
file_pattern(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t len = pattern_read(fd, 7, 0, UINT64_MAX);

	fd_close(&fd);
	return len;
}

static inline void
begin_file(void)
{
	(void)snprintf(uri, sizeof uri, "file://%s", file_path);
	fx.spec.stdout_path = uri;
	open_io();
	until_ready();
	io_start(fx.io, NULL);
}

static inline bool
cond_other_pid(void *arg)
{
	pid_t pid = fake_steps_pid();

	return pid != 0 && pid != *(pid_t *)arg;
}

/* What the log has, by way of its file. */
static inline bool
cond_logged(void *arg)
{
	char path[64], text[4096];
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof path, "%s/log", fx.dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof text - 1);
	fd_close(&fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, arg) != NULL;
}

static inline void
log_begin(void)
{
	char log_path[64];

	(void)snprintf(log_path, sizeof log_path, "%s/log", fx.dir);
	assert_int_equal(file_write(AT_FDCWD, log_path, "", 0, 0600, NULL), 0);
	log_set_path(log_path);
}

/* Is this process one of our log programs? Else it is the test. */
static inline bool
helper_main(int argc, char **argv)
{
	if (argc > 1 && strncmp(argv[1], "--log-", 6) == 0)
		return true;
	(void)signal(SIGPIPE, SIG_IGN);
	return false;
}

#define LOGGER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif

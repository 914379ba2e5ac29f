/*
 * Our own log program ends while there is still something to log: killed, or told
 * to end by somebody else. Another takes its place, and nothing is lost.
 */
#include "logger_helper.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void
stop_program(pid_t pid)
{
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	while (state_of_pid(pid) != 'T')
		loop_passes(fx.loop, 1);
}

/* Our log program gets this signal with bytes [i * 1000, i * 1000 + 1000) still to be read. */
static pid_t
end_program(int signo, unsigned i)
{
	pid_t pid = fake_steps_pid();
	uint64_t from = (uint64_t)i * 1000;

	/* stopped first, so that it cannot have read what is written now */
	stop_program(pid);
	assert_int_equal(pattern_write(fx.child[1], 7, from, from + 1000), 0);
	assert_int_equal(kill(pid, signo), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	return pid;
}

static bool
cond_logged_bytes(void *arg)
{
	const off_t *bytes = arg;
	struct stat st;

	return *bytes == 0 ||
	    (fstatat(AT_FDCWD, file_path, &st, 0) == 0 && st.st_size >= *bytes);
}

/* And has written all so far: what it has read and not written when it is killed is lost. */
static void
another_comes(pid_t pid, off_t bytes)
{
	assert_true(loop_until(fx.loop, cond_other_pid, &pid));
	assert_true(loop_until(fx.loop, cond_logged_bytes, &bytes));
}

static void
test_logger_of_ours_is_started_again(void **state)
{
	unsigned i;

	(void)state;
	begin_file();
	for (i = 0; i < 3; i++)
		another_comes(end_program(SIGKILL, i), (i + 1) * 1000);
	assert_int_equal(fake_count(fx.lk, "io/c1/-/log."), 1);
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 3000);
}

/* By somebody else: it ends well, but the container goes on. */
static void
test_logger_of_ours_is_terminated(void **state)
{
	(void)state;
	begin_file();
	another_comes(end_program(SIGTERM, 0), 1000);
	assert_int_equal(pattern_write(fx.child[1], 7, 1000, 5000), 0);
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 5000);
}

/* Now and then one dies, for as long as the container runs. */
static void
test_logger_of_ours_dies_now_and_then(void **state)
{
	boot_us_t now = clock_boot_us();
	unsigned i;

	(void)state;
	clock_set_for_test(now);
	begin_file();
	for (i = 0; i < 12; i++) {
		clock_set_for_test(now += 61 * US_PER_S);
		another_comes(end_program(SIGKILL, i), (i + 1) * 1000);
	}
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 12000);
}

static bool
cond_no_program(void *arg)
{
	(void)arg;
	return fake_steps_pid() == 0;
}

/* It is given up: that is said, and the container is not held up. */
static void
test_logger_of_ours_keeps_dying(void **state)
{
	struct proc container;
	unsigned i;

	(void)state;
	log_begin();
	begin_file();
	for (i = 0; i < 8; i++)
		another_comes(end_program(SIGKILL, i), (i + 1) * 1000);
	(void)end_program(SIGKILL, 8);
	assert_true(loop_until(fx.loop, cond_no_program, NULL));
	assert_true(loop_until(fx.loop, cond_logged, (void *)(uintptr_t) "level=error"));
	proc_write(&container, NULL, fx.child[1], 7, 9000, MIB);
	close_child_ends();
	assert_int_equal(end_of(&container), 0);
	drain();
}

/* No descriptor is left when one is to be started: it is tried again, and drained. */
static void
test_logger_of_ours_outlives_a_shortage(void **state)
{
	struct rlimit was, none;

	(void)state;
	begin_file();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = was.rlim_max};
	(void)end_program(SIGKILL, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(loop_until(fx.loop, cond_no_program, NULL));
	loop_passes(fx.loop, 50);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 1000);
}

/* Somebody who can write to the directory has put a link in the file's place meanwhile. */
static void
test_logger_of_ours_finds_a_link(void **state)
{
	char path[64];

	(void)state;
	log_begin();
	begin_file();
	(void)snprintf(path, sizeof path, "%s/file2", fx.dir);
	assert_int_equal(file_write(AT_FDCWD, path, "", 0, 0600, NULL), 0);
	assert_int_equal(unlink(file_path), 0);
	assert_int_equal(symlink(path, file_path), 0);
	(void)end_program(SIGKILL, 0);
	assert_true(loop_until(fx.loop, cond_logged, (void *)(uintptr_t) "level=error"));
	assert_true(cond_logged((void *)(uintptr_t) "symbolic link"));
	assert_int_equal(file_pattern(path), 0);
	close_child_ends();
	drain();
}

/* The log program dies while no worker is there. */
static void
test_logger_death_between_workers(void **state)
{
	pid_t pid;

	(void)state;
	begin_file();
	pid = fake_steps_pid();
	io_abandon(steal_ptr(&fx.io));
	stop_program(pid);
	assert_int_equal(pattern_write(fx.child[1], 7, 0, 5000), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	loop_passes(fx.loop, 20);
	fx.io = io_resume(fx.loop, fx.lk, &fx.spec, NULL);
	assert_true(loop_until(fx.loop, cond_other_pid, &pid));
	close_child_ends();
	drain();
	assert_int_equal(file_pattern(file_path), 5000);
}

/* --- a file system that no longer answers --------------------------------------------- */

/* On a dead one this would not return: a worker in its recovery must not come here. */
static unsigned n_stat;

int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);

int
__wrap_stat(const char *path, struct stat *st)
{
	n_stat++;
	return __real_stat(path, st);
}

static void
next_worker(struct io *(*take_up)(void))
{
	unsigned before = n_stat;

	io_abandon(steal_ptr(&fx.io));
	loop_once(fx.loop, 1);
	fx.io = take_up();
	io_sweep(fx.loop, fx.lk);
	assert_int_equal(n_stat, before);
}

static struct io *
resume(void)
{
	return io_resume(fx.loop, fx.lk, &fx.spec, NULL);
}

static struct io *
resume_birth(void)
{
	struct io *io = io_resume_birth(fx.loop, fx.lk, &fx.spec);

	assert_true(io_is_kept(io));
	return io;
}

/* Worker after worker, and then another program: to the same files. */
static void
log_on_dead_paths(void)
{
	pid_t pid;

	assert_true(n_stat > 0); /* io_open() does look, and is seen to */
	until_ready();
	next_worker(resume_birth);
	next_worker(resume_birth);
	io_start(fx.io, NULL);
	pid = fake_steps_pid();
	next_worker(resume);
	assert_int_equal(fake_steps_pid(), pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	another_comes(pid, 0);
	assert_int_equal(write(fx.child[1], "out", 3), 3);
	assert_int_equal(write(fx.child[2], "err", 3), 3);
	close_child_ends();
	drain();
}

static void
assert_text(const char *path, const char *want)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	assert_int_equal(file_read(AT_FDCWD, path, 100, &text, &len, NULL), 0);
	assert_string_equal(text, want);
}

static void
test_logger_resume_looks_at_no_file(void **state)
{
	char path[64];

	(void)state;
	n_stat = 0;
	(void)snprintf(path, sizeof path, "%s/file2", fx.dir);
	assert_int_equal(file_write(AT_FDCWD, file_path, "", 0, 0600, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, path, "", 0, 0600, NULL), 0);
	fx.spec.stdout_path = file_path;
	fx.spec.stderr_path = path;
	open_io();
	log_on_dead_paths();
	assert_text(file_path, "out");
	assert_text(path, "err");
}

static void
test_logger_resume_tells_fifo_from_file(void **state)
{
	char text[8];
	int out;

	(void)state;
	n_stat = 0;
	assert_int_equal(file_write(AT_FDCWD, file_path, "", 0, 0600, NULL), 0);
	fx.spec.stdout_path = fx.path[1];
	fx.spec.stderr_path = file_path;
	open_io();
	out = open(fx.path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	log_on_dead_paths();
	assert_int_equal(read(out, text, sizeof text), 3);
	assert_text(file_path, "err");
	fd_close(&out);
}

static void
test_logger_resume_looks_at_no_program(void **state)
{
	static const char text[] = "#!/bin/sh\nexec 5>&-\nexec cat <&3 >\"$0.out\"\n";
	char path[64], out[70];

	(void)state;
	if (geteuid() != 0) /* root's alone are run */
		skip();
	n_stat = 0;
	(void)snprintf(path, sizeof path, "%s/script", fx.dir);
	(void)snprintf(out, sizeof out, "%s.out", path);
	(void)snprintf(uri, sizeof uri, "binary://%s", path);
	assert_int_equal(
	    file_write(AT_FDCWD, path, text, sizeof text - 1, 0700, NULL), 0);
	fx.spec.stdout_path = uri;
	open_io();
	assert_true(n_stat > 0);
	until_ready();
	next_worker(resume_birth);
	io_start(fx.io, NULL);
	next_worker(resume);
	assert_int_equal(write(fx.child[1], "out", 3), 3);
	close_child_ends();
	drain();
	assert_text(out, "out");
	assert_int_equal(unlink(out), 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    LOGGER_TEST(test_logger_of_ours_is_started_again),
	    LOGGER_TEST(test_logger_of_ours_is_terminated),
	    LOGGER_TEST(test_logger_of_ours_dies_now_and_then),
	    LOGGER_TEST(test_logger_of_ours_keeps_dying),
	    LOGGER_TEST(test_logger_of_ours_outlives_a_shortage),
	    LOGGER_TEST(test_logger_of_ours_finds_a_link),
	    LOGGER_TEST(test_logger_death_between_workers),
	    LOGGER_TEST(test_logger_resume_looks_at_no_file),
	    LOGGER_TEST(test_logger_resume_tells_fifo_from_file),
	    LOGGER_TEST(test_logger_resume_looks_at_no_program),
	};

	return helper_main(argc, argv) ? log_file_main(argc, argv)
				       : cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * keeper/step with real processes: failing exec, deadlines, adoption by pid
 * file, and the strangers that fall to a subreaper.
 */
#include "keeper/step.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "keeper/fdstore.h"
#include "keeper/hold.h"
#include "keeper/reaper.h"

#define WAIT_US (60 * US_PER_S)

struct fixture {
	char dir[32];
	struct loop *loop;
	struct steps_env env;
	struct steps *ss;
	uint64_t open_request; /* 0: none */
	unsigned n_steps, n_exits;
	struct msg_step step; /* the last */
	char text[256];
	struct msg_exit exit;
};

static void
on_step(const struct msg_step *step, void *arg)
{
	struct fixture *f = arg;

	f->n_steps++;
	f->step = *step;
	(void)snprintf(f->text, sizeof f->text, "%s", step->text);
}

static void
on_exit_(const struct msg_exit *ex, void *arg)
{
	struct fixture *f = arg;

	f->n_exits++;
	f->exit = *ex;
}

static bool
is_open(uint64_t n, void *arg)
{
	return ((struct fixture *)arg)->open_request == n;
}

static void
on_change(void *arg)
{
	(void)arg;
}

static void
on_term(int signo, void *arg)
{
	(void)signo;
	(void)arg;
}

static const struct steps_ops ops = {on_step, on_exit_, is_open, on_change};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/step-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	f->loop = loop_new();
	f->env.loop = f->loop;
	f->env.reaper = reaper_new(f->loop, on_term, NULL);
	f->env.fds = fdstore_new(16);
	f->env.dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->env.dir_alias = f->dir;
	f->ss = steps_new(&f->env, &ops, f);
	assert_true(f->loop != NULL && f->env.reaper != NULL && f->ss != NULL);
	*state = f;
	return 0;
}

/* Also those that a failed test has left, and what they leave to us. */
static void
end_children(void)
{
	struct proc_stat st;
	struct dirent *d;
	DIR *dir;
	long pid;

	while (waitpid(-1, NULL, WNOHANG) != -1) {
		dir = opendir("/proc");
		assert_non_null(dir);
		while ((d = readdir(dir)) != NULL) {
			pid = strtol(d->d_name, NULL, 10);
			if (pid > 0 && proc_stat_read((pid_t)pid, &st) == 0 &&
			    st.ppid == getpid())
				(void)kill((pid_t)pid, SIGKILL);
		}
		(void)closedir(dir);
		(void)poll(NULL, 0, 2);
	}
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	end_children();
	steps_free(f->ss);
	fdstore_free(f->env.fds);
	reaper_free(f->env.reaper);
	loop_free(f->loop);
	(void)close(f->env.dir_fd);
	(void)snprintf(command, sizeof command, "%s", f->dir);
	if (fork() == 0) {
		(void)execlp("rm", "rm", "-rf", command, (char *)NULL);
		_exit(127);
	}
	while (wait(NULL) > 0)
		;
	free(f);
	return 0;
}

static void
spawn(struct fixture *f, uint64_t key, unsigned flags, boot_us_t deadline,
    const char *argv0, const char *script)
{
	char *argv[] = {strdup(argv0), strdup("-c"), strdup(script), NULL};
	struct msg_spawn m = {.key = key,
	    .flags = flags,
	    .argv = argv,
	    .cwd = f->dir,
	    .pid_file = (flags & SPAWN_ADOPT) != 0 ? "pid" : NULL,
	    .deadline = deadline};

	steps_spawn(f->ss, &m, 0);
	free(argv[0]);
	free(argv[1]);
	free(argv[2]);
}

static void
run_until(struct fixture *f, const unsigned *count, unsigned n)
{
	const struct timeval tick = {.tv_usec = 20000};
	boot_us_t end = clock_boot_us() + WAIT_US;

	while (*count < n) {
		assert_true(clock_boot_us() < end);
		/* a signal may come without an event of ours */
		(void)event_base_loopexit(loop_base(f->loop), &tick);
		(void)event_base_dispatch(loop_base(f->loop));
		loop_once(f->loop, 1);
	}
	assert_int_equal(*count, n);
}

static void
test_step_exec_failures(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int fd;

	spawn(f, KEY_INTERNAL | 1, 0, 0, "no-such-program", "");
	run_until(f, &f->n_steps, 1);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ENOENT);
	assert_string_equal(f->text, "exec 'no-such-program'");
	spawn(f, KEY_INTERNAL | 2, 0, 0, "/etc/passwd", "");
	run_until(f, &f->n_steps, 2);
	assert_true(f->step.state == STEP_FAILED && f->step.error == EACCES);
	(void)snprintf(path, sizeof path, "%s/text", f->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	assert_int_equal(write(fd, "no program\n", 11), 11);
	(void)close(fd);
	spawn(f, KEY_INTERNAL | 3, 0, 0, path, "");
	run_until(f, &f->n_steps, 3);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ENOEXEC);
	/* an exit status that looks like it is none */
	spawn(f, KEY_INTERNAL | 4, 0, 0, "sh", "exit 127");
	run_until(f, &f->n_steps, 4);
	assert_true(
	    f->step.state == STEP_DONE && WEXITSTATUS(f->step.wait_status) == 127);
	assert_int_equal(steps_children(f->ss), 0);
}

/* Who listens to a log program cannot tell one that is silent from one that never ran. */
static void
test_step_tells_that_a_log_program_runs(void **state)
{
	struct fixture *f = *state;
	const struct msg_bytes no_tag = {NULL, 0};

	spawn(f, KEY_INTERNAL | 1, SPAWN_SURVIVE, 0, "no-such-program", "");
	run_until(f, &f->n_steps, 1);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ENOENT);
	spawn(f, KEY_INTERNAL | 2, SPAWN_SURVIVE, 0, "sh", "exec sleep 1000");
	run_until(f, &f->n_steps, 2);
	assert_true(f->step.state == STEP_RUNNING && f->step.child_pid > 0);
	steps_signal(f->ss, KEY_INTERNAL | 3, KEY_INTERNAL | 2, SIGKILL, &no_tag);
	run_until(f, &f->n_steps, 4);
}

static void
test_step_failures_before_the_fork(void **state)
{
	struct fixture *f = *state;
	char sh[] = "sh", *argv[] = {sh, NULL};
	struct msg_spawn m = {.key = KEY_INTERNAL | 1, .argv = argv};

	steps_spawn(f->ss, &m, EMFILE); /* its descriptors got lost */
	assert_true(f->step.state == STEP_FAILED && f->step.error == EMFILE);
	m.key++;
	m.deadline = clock_boot_us() - 1;
	steps_spawn(f->ss, &m, 0);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ETIMEDOUT);
	assert_true(f->step.timed_out);
	steps_spawn(f->ss, &m, 0); /* told again */
	assert_int_equal(f->n_steps, 3);
	assert_int_equal(f->step.error, ETIMEDOUT);
	m.key++;
	m.deadline = 0;
	m.cwd = "/no/such/directory";
	steps_spawn(f->ss, &m, 0);
	run_until(f, &f->n_steps, 4);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ENOENT);
	assert_string_equal(f->text, "chdir 'sh'");
}

static void
test_step_deadline(void **state)
{
	struct fixture *f = *state;
	boot_us_t begin;

	spawn(f, KEY_INTERNAL | 1, 0, clock_boot_us() + 1000 * US_PER_S, "true", "");
	run_until(f, &f->n_steps, 1);
	assert_false(f->step.timed_out);
	begin = clock_boot_us();
	spawn(f, KEY_INTERNAL | 2, 0, begin + 500 * US_PER_MS, "sh", "exec sleep 1000");
	/* not past it before it is asked for */
	spawn(f, KEY_INTERNAL | 3, 0, clock_boot_us() + 500 * US_PER_MS, "sh",
	    "while :; do :; done");
	run_until(f, &f->n_steps, 3);
	assert_true(f->step.timed_out);
	assert_true(
	    WIFSIGNALED(f->step.wait_status) && WTERMSIG(f->step.wait_status) == SIGKILL);
	assert_true(f->step.t >= begin + 500 * US_PER_MS);
}

static void
test_step_signals_a_running_command(void **state)
{
	struct fixture *f = *state;
	const struct msg_bytes no_tag = {NULL, 0};

	spawn(f, KEY_INTERNAL | 1, 0, 0, "sh", "exec sleep 1000");
	steps_signal(f->ss, KEY_INTERNAL | 2, KEY_INTERNAL | 1, SIGTERM, &no_tag);
	assert_true(f->step.kind == STEP_SIGNAL && f->step.state == STEP_DONE);
	run_until(f, &f->n_steps, 2);
	assert_true(
	    WIFSIGNALED(f->step.wait_status) && WTERMSIG(f->step.wait_status) == SIGTERM);
	steps_signal(f->ss, KEY_INTERNAL | 3, KEY_INTERNAL | 1, SIGTERM, &no_tag);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ESRCH);
	steps_signal(f->ss, KEY_INTERNAL | 2, KEY_INTERNAL | 1, SIGTERM, &no_tag);
	assert_int_equal(f->step.state, STEP_DONE); /* the first result, again */
	steps_signal(f->ss, KEY_INTERNAL | 4, KEY_INTERNAL | 2, SIGTERM, &no_tag);
	assert_int_equal(f->step.state, STEP_FAILED);
}

/* A hook of a runtime that is killed must not go on beside what undoes its work. */
static void
test_step_kill_takes_the_children_along(void **state)
{
	struct fixture *f = *state;
	const struct msg_bytes no_tag = {NULL, 0};
	boot_us_t end = clock_boot_us() + WAIT_US;
	siginfo_t si = {0};

	spawn(f, KEY_INTERNAL | 1, 0, 0, "sh", "sleep 1000 & : >begun; wait");
	while (faccessat(f->env.dir_fd, "begun", F_OK, 0) == -1)
		loop_once(f->loop, 1);
	steps_signal(f->ss, KEY_INTERNAL | 2, KEY_INTERNAL | 1, SIGKILL, &no_tag);
	run_until(f, &f->n_steps, 2);
	while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0) {
		assert_true(clock_boot_us() < end);
		loop_once(f->loop, 1);
	}
	assert_int_equal(errno, ECHILD);
}

/* Pid files that lie. */
static void
test_step_adopts_only_what_is_its_own(void **state)
{
	static const struct {
		const char *script;
		int error;
	} lies[] = {
	    {"true", ENOENT},
	    {"echo 1 > pid", EINVAL},
	    {"echo 12x > pid", EINVAL},
	    {"echo -5 > pid", EINVAL},
	    {": > pid", EINVAL},
	    {"echo 99999999999999999999 > pid", EINVAL},
	    {"echo $PPID > pid", ESRCH}, /* lives, but is not our child */
	    {"echo 4194303 > pid", ESRCH},
	    {"head -c 100000 /dev/zero > pid", EINVAL},
	    {"head -c 100000 /dev/zero | tr '\\0' 1 > pid", EFBIG},
	};
	struct fixture *f = *state;
	struct stat sb;
	unsigned i;

	for (i = 0; i < sizeof lies / sizeof *lies; i++) {
		spawn(f, KEY_INTERNAL | (i + 1), SPAWN_ADOPT, 0, "sh", lies[i].script);
		run_until(f, &f->n_steps, i + 1);
		assert_int_equal(f->step.state, STEP_FAILED);
		assert_int_equal(f->step.error, lies[i].error);
		assert_int_equal(f->step.child_pid, 0);
	}
	assert_int_equal(steps_children(f->ss), 0);
	/* our child, but older than the command */
	spawn(f, KEY_INTERNAL | 50, 0, 0, "sh", "echo $$ > old; exec sleep 1000");
	while (fstatat(f->env.dir_fd, "old", &sb, 0) == -1 || sb.st_size == 0)
		(void)poll(NULL, 0, 2);
	(void)poll(NULL, 0, 20); /* a tick of the kernel's, so that it is older */
	spawn(f, KEY_INTERNAL | 51, SPAWN_ADOPT, 0, "sh", "cp old pid");
	run_until(f, &f->n_steps, i + 1);
	assert_true(f->step.state == STEP_FAILED && f->step.error == ESRCH);
	steps_signal(f->ss, KEY_INTERNAL | 52, KEY_INTERNAL | 50, SIGKILL,
	    &(struct msg_bytes){NULL, 0});
	run_until(f, &f->n_steps, i + 3);
}

/* Thousands of strangers die while a command is in flight; the one is found. */
static void
test_step_finds_its_own_among_strangers(void **state)
{
	struct fixture *f = *state;

	spawn(f, KEY_INTERNAL | 1, SPAWN_ADOPT, 0, "sh",
	    "for i in 1 2 3 4 5 6 7 8 9 10; do "
	    "sh -c 'for j in 1 2 3 4 5 6 7 8 9 10; do (exit $j) & done; kill -9 $$'; "
	    "done; "
	    "(sh -c 'while [ ! -e pid ]; do :; done; exit 6' & echo $! > tmp); mv tmp "
	    "pid; "
	    "while kill -0 $(cat pid); do sleep 0.01; done;"
	    "for i in 1 2 3 4 5 6 7 8 9 10; do "
	    "sh -c 'for j in 1 2 3 4 5 6 7 8 9 10; do (exit $j) & done; kill -9 $$'; "
	    "done; true");
	run_until(f, &f->n_exits, 1);
	assert_int_equal(f->n_steps, 1);
	assert_int_equal(f->step.state, STEP_DONE);
	assert_true(
	    f->exit.pid == f->step.child_pid && f->exit.start == f->step.child_start);
	assert_int_equal(WEXITSTATUS(f->exit.wait_status), 6);
	steps_ack(f->ss, KEY_INTERNAL | 1, ACK_EXIT);
	assert_int_equal(steps_count(f->ss), 0);
}

/* The kernel's numbers, against our clock: also for a zombie. */
static void
test_step_knows_when_a_process_began(void **state)
{
	uint64_t before = clock_boot_ticks();
	pid_t pid = fork();
	struct proc_stat st;
	siginfo_t si;

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc_stat_read(pid, &st), 0);
	assert_int_equal(st.state, 'Z');
	assert_int_equal(st.ppid, getpid());
	assert_true(st.start >= before && st.start <= clock_boot_ticks());
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(proc_stat_read(pid, &st) < 0);
	assert_false(proc_is_held(getpid(), NULL));
}

/* Exit acknowledged while its request is still open: the step stays for a replay. */
static void
test_step_outlives_its_exit_while_the_request_is_open(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_of_step(7, 1);
	size_t steps, exits;

	f->open_request = 7;
	spawn(f, key, SPAWN_ADOPT, 0, "sh", "sleep 0.05 & echo $! > pid");
	run_until(f, &f->n_exits, 1);
	steps_snapshot(f->ss, &steps, &exits);
	assert_true(steps == 1 && exits == 1);
	assert_true(f->step.snapshot);
	steps_ack(f->ss, key, ACK_EXIT);
	steps_ack(f->ss, key, ACK_STEP); /* only its request's answer does that */
	steps_snapshot(f->ss, &steps, &exits);
	assert_true(steps == 1 && exits == 0);
	f->open_request = 0;
	steps_request_done(f->ss, 7);
	assert_int_equal(steps_count(f->ss), 0);
}

/* And the other way round: answered, but the process lives on. */
static void
test_step_stays_while_its_process_lives(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_of_step(7, 1);

	f->open_request = 7;
	spawn(f, key, SPAWN_ADOPT, 0, "sh",
	    "sh -c 'while [ ! -e go ]; do sleep 0.01; done' & echo $! > pid");
	run_until(f, &f->n_steps, 1);
	assert_int_equal(f->step.state, STEP_DONE);
	steps_ack(f->ss, key, ACK_EXIT); /* of nothing: ignored */
	f->open_request = 0;
	steps_request_done(f->ss, 7);
	assert_int_equal(steps_count(f->ss), 1);
	assert_int_equal(steps_children(f->ss), 1);
	(void)close(openat(f->env.dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	run_until(f, &f->n_exits, 1);
	assert_int_equal(steps_count(f->ss), 1);
	steps_ack(f->ss, key, ACK_EXIT);
	assert_int_equal(steps_count(f->ss), 0);
}

static void
test_step_reaps_strangers_always(void **state)
{
	struct fixture *f = *state;
	siginfo_t si = {0};

	/* orphans with nobody who waits for them, and nothing that remembers */
	spawn(f, KEY_INTERNAL | 1, 0, 0, "sh",
	    "(sh -c 'while [ ! -e go ]; do sleep 0.01; done' &) ; :");
	run_until(f, &f->n_steps, 1);
	(void)close(openat(f->env.dir_fd, "go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	/* ECHILD: the last one was reaped by the loop */
	while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0)
		loop_once(f->loop, 1);
	assert_int_equal(errno, ECHILD);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_step_exec_failures),
	    T(test_step_tells_that_a_log_program_runs),
	    T(test_step_failures_before_the_fork),
	    T(test_step_deadline),
	    T(test_step_signals_a_running_command),
	    T(test_step_kill_takes_the_children_along),
	    T(test_step_adopts_only_what_is_its_own),
	    T(test_step_finds_its_own_among_strangers),
	    T(test_step_knows_when_a_process_began),
	    T(test_step_outlives_its_exit_while_the_request_is_open),
	    T(test_step_stays_while_its_process_lives),
	    T(test_step_reaps_strangers_always),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Fork, arrange the descriptors, exec, wait for one byte.
 *
 * Everything that can fail for a reason worth telling happens in the parent,
 * before the fork; what only the child can do to itself (cookie, cgroup, exec)
 * is reported over the OK pipe: 'E', the step's letter, errno.
 */
#include "launcher/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launcher/cgjoin.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE	     62
#define PR_SCHED_CORE_CREATE 1
#endif
/* the second argument's PIDTYPE_TGID, which no header gives */
#define SCHED_CORE_THREAD_GROUP 1

#define OK_TIMEOUT_US (10 * US_PER_S)
#define OK_BYTE	      'K'
#define OOM_ADJ_MAX   1000

struct spawn_report {
	char mark; /* 'E' */
	char step; /* of enum spawn_step */
	int code;
};

enum spawn_step { STEP_FDS = 1, STEP_SCHED_CORE, STEP_CGROUP, STEP_EXEC };

static const char *
spawn_step_name(char step)
{
	switch ((enum spawn_step)step) {
	case STEP_FDS: return "arrange descriptors for";
	case STEP_SCHED_CORE: return "make a core scheduling cookie for";
	case STEP_CGROUP: return "move into its cgroup";
	case STEP_EXEC: return "execute";
	}
	return "start";
}

/* What the daemon has, plus one, as text for the keeper's oom_score_adj; "" to leave it. */
static void
oom_score_text(char *buf, size_t size)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	size_t len;
	long adj;

	buf[0] = '\0';
	(void)snprintf(path, sizeof path, "/proc/%ld/oom_score_adj", (long)getppid());
	if (file_read(AT_FDCWD, path, 64, &text, &len, NULL) < 0)
		return;
	adj = strtol(text, NULL, 10) + 1;
	(void)snprintf(buf, size, "%ld", adj > OOM_ADJ_MAX ? OOM_ADJ_MAX : adj);
}

/* --- in the child: system calls only ------------------------------------- */

static _Noreturn void
child_fail(int ok_fd, enum spawn_step step, int code)
{
	struct spawn_report report = {.mark = 'E', .step = (char)step, .code = code};

	(void)!write(ok_fd, &report, sizeof report);
	_exit(127);
}

static void
child_fds(int *ok_fd, int listen_fd, int admin_fd, int null_fd)
{
	const int from[] = {null_fd, null_fd, null_fd, listen_fd, admin_fd, *ok_fd};
	int high[ARRAY_LEN(from)];
	size_t i;

	/* out of the way first, so that no dup2() hits one that is still needed */
	for (i = 0; i < ARRAY_LEN(from); i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16);
		if (high[i] == -1)
			child_fail(*ok_fd, STEP_FDS, errno);
	}
	for (i = 0; i < ARRAY_LEN(from); i++)
		if (dup2(high[i], (int)i) == -1)
			child_fail(high[ARRAY_LEN(from) - 1], STEP_FDS, errno);
	*ok_fd = (int)ARRAY_LEN(from) - 1;
}

static _Noreturn void
child_main(const struct keeper_spawn *spec, int ok_fd, int null_fd, const char *oom_text,
    const struct cgjoin *cg)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int fd, rc;

	(void)setsid();
	if (oom_text[0] != '\0') {
		fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)!write(fd, oom_text, strlen(oom_text));
	}
	if (spec->sched_core &&
	    prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, SCHED_CORE_THREAD_GROUP, 0) ==
		-1)
		child_fail(ok_fd, STEP_SCHED_CORE, errno);
	rc = cgjoin_enter(cg);
	if (rc < 0)
		child_fail(ok_fd, STEP_CGROUP, -rc);
	child_fds(&ok_fd, spec->listen_fd, spec->admin_fd, null_fd);
	/* ours are close-on-exec; this is for what the daemon may have leaked into us */
	(void)close_range((unsigned)ok_fd + 1, ~0U, 0);
	(void)!chdir("/");
	(void)sigaction(SIGPIPE, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(spec->path, spec->argv);
	child_fail(ok_fd, STEP_EXEC, errno);
}

/* --- in the parent --------------------------------------------------------- */

/* The keeper closed its pipe without the byte: it is dead or as good as. */
static int
spawn_reap(const struct keeper_spawn *spec, pid_t pid, struct err *err)
{
	int status;

	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return err_setx(err, EPROTO,
		    "'%s' ended at once with status %d: see the shim's log", spec->path,
		    WEXITSTATUS(status));
	return err_setx(err, EPROTO, "'%s' did not start", spec->path);
}

static int
spawn_wait_ok(const struct keeper_spawn *spec, pid_t pid, int ok_fd, struct err *err)
{
	boot_us_t end = clock_boot_us() + OK_TIMEOUT_US, now;
	struct pollfd pfd = {.fd = ok_fd, .events = POLLIN};
	struct spawn_report report;
	ssize_t n = -1;

	while (n == -1) {
		now = clock_boot_us();
		if (now >= end) {
			(void)spawn_reap(spec, pid, NULL);
			return err_setx(err, ETIMEDOUT, "'%s' was not ready within %u s",
			    spec->path, (unsigned)(OK_TIMEOUT_US / US_PER_S));
		}
		if (poll(&pfd, 1, (int)((end - now) / US_PER_MS) + 1) <= 0)
			continue;
		n = read(ok_fd, &report, sizeof report);
		if (n == -1 && errno != EINTR && errno != EAGAIN)
			n = 0;
	}
	if (n >= 1 && report.mark == OK_BYTE)
		return 0;
	if (n == (ssize_t)sizeof report && report.mark == 'E') {
		(void)spawn_reap(spec, pid, NULL);
		return err_set(err, report.code, "%s '%s'", spawn_step_name(report.step),
		    spec->path);
	}
	return spawn_reap(spec, pid, err);
}

int
keeper_spawn(const struct keeper_spawn *spec, pid_t *pid, struct err *err)
{
	AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int ok_read = -1;
	AUTO_CLOSE int ok_write = -1;
	struct cgjoin cg = {.n = 0};
	char oom_text[32];
	int ok[2], rc;
	pid_t child;

	if (null_fd == -1)
		return err_set(err, errno, "open '/dev/null'");
	if (pipe2(ok, O_CLOEXEC) == -1)
		return err_set(err, errno, "pipe");
	ok_read = ok[0];
	ok_write = ok[1];
	oom_score_text(oom_text, sizeof oom_text);
	if (spec->cgroup != NULL) {
		rc = cgjoin_open(&cg, spec->cgroup, err);
		if (rc < 0)
			return rc;
	}
	child = fork();
	if (child == 0)
		child_main(spec, ok_write, null_fd, oom_text, &cg);
	rc = errno;
	cgjoin_close(&cg);
	if (child == -1)
		return err_set(err, rc, "fork");
	fd_close(&ok_write);
	rc = spawn_wait_ok(spec, child, ok_read, err);
	if (rc == 0 && pid != NULL)
		*pid = child;
	return rc;
}

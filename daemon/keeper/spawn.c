/*
 * The child between fork and exec: async-signal-safe calls only, on memory
 * that the parent prepared. What is wanted moves above 255, out of the way of
 * its targets, then to these, and everything else is closed before exec: while
 * that hangs, nobody may miss an end of file for a copy that the child still has.
 */
#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ipc/msg.h"

/* Of background work: a tenth of what the others get, which even a full node can spare. */
#define SPAWN_NICENESS 10

#define FD_HIGH 256 /* above every target */

static _Noreturn void
child_fail(int fail_fd, const char *what)
{
	struct spawn_failure f = {.error = errno};
	size_t i;

	for (i = 0; i < sizeof f.what - 1 && what[i] != '\0'; i++)
		f.what[i] = what[i];
	(void)!write(fail_fd, &f, sizeof f);
	_exit(127);
}

static int
child_dup(int fd, int from, int fail_fd)
{
	int k = fcntl(fd, F_DUPFD_CLOEXEC, from);

	if (k == -1)
		child_fail(fail_fd, "dup");
	return k;
}

static void
child_fds(const struct spawn *sp, int *fail_fd, int *exe_fd)
{
	int high[MSG_FDS_MAX], null;
	bool std[3] = {false, false, false};
	size_t i;
	int k;

	*fail_fd = child_dup(*fail_fd, FD_HIGH, *fail_fd);
	if (sp->exe_fd != -1)
		*exe_fd = child_dup(sp->exe_fd, FD_HIGH, *fail_fd);
	for (i = 0; i < sp->n_fds; i++) {
		high[i] = child_dup(sp->fds[i], FD_HIGH, *fail_fd);
		if (sp->fd_nums[i] < 3)
			std[sp->fd_nums[i]] = true;
	}
	/* a kernel before 5.9 does not know it: all are close-on-exec from birth */
	(void)syscall(SYS_close_range, 3, FD_HIGH - 1, 0);
	for (i = 0; i < sp->n_fds; i++)
		if (dup2(high[i], (int)sp->fd_nums[i]) == -1)
			child_fail(*fail_fd, "dup");
	/* what exec needs goes below, where there is room now */
	*fail_fd = child_dup(*fail_fd, 3, *fail_fd);
	if (*exe_fd != -1)
		*exe_fd = child_dup(*exe_fd, 3, *fail_fd);
	(void)syscall(SYS_close_range, FD_HIGH, ~0u, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null == -1)
		child_fail(*fail_fd, "open null");
	for (k = 0; k < 3; k++)
		if (!std[k] && dup2(null, k) == -1)
			child_fail(*fail_fd, "dup");
	if (null < 3)
		(void)fcntl(null, F_SETFD, 0);
}

static void
child_signals(void)
{
	/*
	 * By system call, because libc keeps two signals (32, 33) for itself that we
	 * may have inherited ignored. All zero is SIG_DFL, and an empty mask.
	 */
	static const char zero[64];
	long s;

	for (s = 1; s < NSIG; s++)
		(void)syscall(SYS_rt_sigaction, s, zero, NULL, (long)(NSIG - 1) / 8);
	(void)syscall(
	    SYS_rt_sigprocmask, (long)SIG_SETMASK, zero, NULL, (long)(NSIG - 1) / 8);
}

static const char *
path_of(char *const *envp)
{
	for (; envp != NULL && *envp != NULL; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* As execvpe, with the PATH of the new environment. Returns on failure. */
static void
child_exec_path(char *const *argv, char *const *envp)
{
	const char *file = argv[0], *path = path_of(envp);
	size_t file_len = strlen(file);
	int seen = ENOENT;
	char buf[PATH_MAX];

	if (strchr(file, '/') != NULL || file_len == 0) {
		(void)execve(file, argv, envp);
		return;
	}
	for (;;) {
		size_t len = strcspn(path, ":");

		if (len + file_len + 2 <= sizeof buf) {
			memcpy(buf, path, len);
			buf[len] = '/';
			memcpy(buf + len + (len > 0), file, file_len + 1);
			(void)execve(buf, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return;
			if (errno == EACCES)
				seen = EACCES;
		}
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	errno = seen;
}

static _Noreturn void
child_run(const struct spawn *sp, int fail_fd, pid_t parent)
{
	char *const *envp = sp->envp != NULL ? sp->envp : environ;
	int exe_fd = -1;

	child_fds(sp, &fail_fd, &exe_fd);
	if (sp->die_with_us) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127); /* it died in between */
	}
	mem_stay_small_not_inherited();
	if (sp->own_group)
		(void)setpgid(0, 0);
	if (sp->nice) {
		const struct sched_param none = {0};

		/* it takes what is left, and waking up it interrupts nobody */
		(void)sched_setscheduler(0, SCHED_BATCH, &none);
		(void)setpriority(PRIO_PROCESS, 0, SPAWN_NICENESS);
	}
	if (sp->nofile != NULL)
		(void)setrlimit(RLIMIT_NOFILE, sp->nofile);
	if (chdir(sp->cwd != NULL ? sp->cwd : "/") == -1)
		child_fail(fail_fd, "chdir");
	child_signals();
	if (exe_fd != -1)
		(void)syscall(SYS_execveat, exe_fd, "", sp->argv, envp, AT_EMPTY_PATH);
	else
		child_exec_path(sp->argv, envp);
	child_fail(fail_fd, "exec");
}

pid_t
spawn_fork(const struct spawn *sp, int *fail_fd)
{
	pid_t pid, parent = getpid();
	sigset_t all, old;
	int fds[2], saved;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return -errno;
	/* no handler of ours may run in the child */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child_run(sp, fds[1], parent);
	saved = errno;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	fd_close(&fds[1]);
	if (pid == -1) {
		fd_close(&fds[0]);
		return -saved;
	}
	*fail_fd = fds[0];
	return pid;
}

void
spawn_kill(pid_t pid)
{
	/* until it has its group it has no children either */
	if (kill(-pid, SIGKILL) == -1)
		(void)kill(pid, SIGKILL);
}

bool
spawn_failed(int fail_fd, struct spawn_failure *out)
{
	struct spawn_failure f;

	if (fail_fd == -1 || read(fail_fd, &f, sizeof f) != (ssize_t)sizeof f)
		return false;
	f.what[sizeof f.what - 1] = '\0';
	*out = f;
	return true;
}

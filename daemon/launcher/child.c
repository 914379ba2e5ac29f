/*
 * Running and awaiting children; see child.h.
 */
#include "launcher/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* A process in D does not die of SIGKILL at once, and we do not wait for ever. */
#define DEATH_LIMIT_US (100 * US_PER_MS)

void
child_prepare(int out_fd, int err_fd)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)sigaction(SIGPIPE, &dfl, NULL);
	(void)sigaction(SIGALRM, &dfl, NULL);
	(void)setpgid(0, 0);
	if (null_fd == -1 || dup2(null_fd, 0) == -1 ||
	    dup2(out_fd >= 0 ? out_fd : null_fd, 1) == -1 ||
	    dup2(err_fd >= 0 ? err_fd : null_fd, 2) == -1)
		_exit(126);
	(void)close_range(3, ~0U, 0);
}

pid_t
child_run(char *const argv[], int out_fd, int err_fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* or runc would take systemd's messages for its own business */
	(void)unsetenv("NOTIFY_SOCKET");
	child_prepare(out_fd, err_fd);
	(void)execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

int
pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool
pidfd_wait(int pidfd, boot_us_t end)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	boot_us_t now;

	for (;;) {
		now = clock_boot_us();
		if (poll(&pfd, 1, now < end ? (int)((end - now) / US_PER_MS) + 1 : 0) ==
		    1)
			return true;
		if (now >= end)
			return false;
	}
}

int
child_wait(pid_t pid, boot_us_t end, bool then_kill, int *status)
{
	AUTO_CLOSE int pidfd = pidfd_of(pid);
	bool dead = pidfd >= 0 && pidfd_wait(pidfd, end);

	if (!dead && then_kill) {
		(void)kill(pid, SIGKILL);
		if (pidfd < 0 || pidfd_wait(pidfd, clock_boot_us() + DEATH_LIMIT_US))
			(void)waitpid(pid, status, 0);
	}
	if (!dead)
		return -ETIMEDOUT;
	return waitpid(pid, status, 0) == pid ? 0 : -errno;
}

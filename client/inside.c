/*
 * The processes:
 *
 *   podshimctl ── helper ── │ ── reaper ── the tool, and what it leaves behind
 *                 (host's pids)  (container's pids)
 *
 * The reaper is the tool's parent among the container's processes, and as a
 * subreaper that of all orphans of the tool's: once the tool or the container's init
 * has ended, or the helper's end of a pipe is closed, it kills what is left. So
 * nothing stays among the container's processes, and nothing of ours is reparented to
 * its init. The helper dies with podshimctl.
 *
 * What can surprise: a container cannot end before each process among its pids has
 * been reaped. The reaper's parent is on our side of the border, and must not be
 * late: so the helper lets the kernel reap (SIGCHLD is ignored) and learns the
 * status over a pipe. And none of this joins the container's cgroup: the tools of
 * a person are not to be frozen with it, killed with it, or charged to it. What keeps
 * the container from such a root process among its own is that its own lack the
 * capability to trace it: whether they do, inside_tracer() knows.
 */
#include "client/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/pods.h"
#include "client/proc.h"
#include "oci/cgroup.h"

#define INSIDE_REAP_US (2 * US_PER_S)
#define INSIDE_PATH    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- which process ------------------------------------------------------------------ */

/* Its parent by /proc; 0: not known. */
static pid_t
inside_parent(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/stat", (long)pid);
	AUTO_FREE char *text = NULL;
	const char *p;
	size_t len;

	if (file_read(AT_FDCWD, path, 4096, &text, &len, NULL) < 0)
		return 0;
	p = strrchr(text, ')');
	if (p == NULL || strlen(p) < 5)
		return 0;
	return p[2] == 'Z' || p[2] == 'X' ? 0 : (pid_t)strtol(p + 4, NULL, 10);
}

/* Without a keeper: is it in the container's cgroup? */
static bool
inside_in_cgroup(pid_t pid, const char *id)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/cgroup", (long)pid);
	AUTO_FREE char *text = NULL;
	size_t len;

	return file_read(AT_FDCWD, path, 65536, &text, &len, NULL) == 0 &&
	    strstr(text, id) != NULL;
}

int
inside_find(const struct pod *pod, const struct container_info *c, pid_t *pid, int *pidfd,
    struct err *err)
{
	pid_t keeper = (pid_t)pod_status_num(pod, "keeper_pid");
	pid_t init = c->n_processes > 0 ? (pid_t)c->processes[0].pid : 0;
	AUTO_CLOSE int fd = -1;

	if (init > 0 && c->state != TASK_STOPPED)
		fd = (int)syscall(SYS_pidfd_open, init, 0);
	/* asked once we hold it: what we hold cannot become another */
	if (fd == -1 ||
	    (keeper > 0 ? inside_parent(init) != keeper
			: inside_parent(init) == 0 || !inside_in_cgroup(init, c->id)))
		return err_setx(err, ESRCH, "container '%s' does not run", c->id);
	*pid = init;
	*pidfd = steal_fd(&fd);
	return 0;
}

/* It may look into processes of root's on the host, or once it runs another program. */
static bool
inside_can_trace(pid_t pid)
{
	static const char *const sets[] = {"CapPrm", "CapBnd"};
	size_t i;

	/* over its own user namespace the capability is no matter: the tool is in ours */
	if (!proc_shares_ns(pid, getpid(), "user"))
		return false;
	for (i = 0; i < ARRAY_LEN(sets); i++) {
		AUTO_FREE char *mask = proc_status(pid, sets[i]);

		if (mask != NULL && (strtoull(mask, NULL, 16) >> CAP_SYS_PTRACE & 1) != 0)
			return true;
	}
	return false;
}

/* The first of a cgroup's processes that can; with near, of those among init's pids. */
static pid_t
inside_tracer_in(const char *cgroup, pid_t init, bool near)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t i, n = 0;

	if (cgroup_pids(cgroup, &pids, &n, NULL) < 0)
		return INSIDE_UNSURE;
	for (i = 0; i < n; i++)
		if ((!near || proc_shares_ns(pids[i], init, "pid")) &&
		    inside_can_trace(pids[i]))
			return pids[i];
	return 0;
}

/* The same, of a container that runs; where its cgroup is not known, by its init. */
static pid_t
inside_tracer_of(const struct container_info *c, pid_t init, bool near)
{
	pid_t own = c->n_processes > 0 ? (pid_t)c->processes[0].pid : 0;
	AUTO_FREE char *cgroup = NULL;

	if (c->cgroup != NULL && *c->cgroup != '\0')
		return inside_tracer_in(c->cgroup, init, near);
	if (own <= 0 || c->state == TASK_STOPPED)
		return 0;
	if ((!near || proc_shares_ns(own, init, "pid")) && inside_can_trace(own))
		return own;
	return cgroup_of_pid(own, &cgroup, NULL) < 0 || cgroup == NULL
	    ? 0
	    : inside_tracer_in(cgroup, init, near);
}

pid_t
inside_tracer(const struct pod *pod, const struct container_info *c, pid_t init)
{
	pid_t found = inside_can_trace(init) ? init : 0;
	size_t i;

	/* the containers of a pod may have their pids in common */
	for (i = 0; found == 0 && i < pod->n_containers; i++)
		found =
		    inside_tracer_of(&pod->containers[i], init, &pod->containers[i] != c);
	return found;
}

pid_t
inside_own_number(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/status", (long)pid);
	AUTO_FREE char *text = NULL;
	char *line, *last;
	size_t len;

	if (file_read(AT_FDCWD, path, 65536, &text, &len, NULL) < 0 ||
	    (line = strstr(text, "\nNSpid:")) == NULL)
		return pid;
	line[1 + strcspn(line + 1, "\n")] = '\0';
	last = strrchr(line, '\t'); /* from the outermost to its own */
	return last == NULL ? pid : (pid_t)strtol(last, NULL, 10);
}

/* --- the tool ------------------------------------------------------------------------ */

static void
inside_signals(void (*how)(int))
{
	static const int for_tool[] = {
	    SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP, SIGTERM};
	size_t i;

	for (i = 0; i < ARRAY_LEN(for_tool); i++)
		(void)signal(for_tool[i], how);
}

/* A message, and the code to end with. */
static _Noreturn void
inside_die(struct ctl *ctl, enum ctl_exit code, const char *text)
{
	(void)ctl_fail(ctl, "%s", text);
	(void)fflush(ctl->err);
	_exit((int)code);
}

static _Noreturn void
inside_exec(struct ctl *ctl, const struct inside *in)
{
	static const char *const shells[] = {"/bin/bash", "/bin/sh"};
	AUTO_FREE char *text = NULL;
	char *argv[] = {NULL, NULL};
	size_t i;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (in->foreground) {
		/*
		 * The terminal's group must be one that exists among these pids, or a
		 * shell takes itself for one in the background, and stops.
		 */
		(void)setpgid(0, 0);
		(void)tcsetpgrp(STDIN_FILENO, getpid());
	}
	inside_signals(SIG_DFL);
	if (in->foreground && in->argv != NULL)
		(void)signal(SIGTSTP, SIG_IGN); /* nobody could continue it */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)setenv("PODSHIM_CONTAINER", in->container, 1);
	(void)setenv("PATH", INSIDE_PATH, 1);
	(void)setenv("HOME", "/root", 1);
	if (in->argv != NULL) {
		(void)execvp(in->argv[0], in->argv);
	} else {
		for (i = 0; i < ARRAY_LEN(shells); i++) {
			argv[0] = (char *)(uintptr_t)shells[i];
			(void)execv(argv[0], argv);
		}
	}
	text = mem_printf("'%s' of the tools in '%s': %s",
	    in->argv != NULL ? in->argv[0] : argv[0], in->tools, strerror(errno));
	inside_die(ctl, errno == ENOENT ? CTL_NO_FILE : CTL_NO_EXEC, text);
}

/* --- the reaper ---------------------------------------------------------------------- */

static void
reaper_kill_children(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;

	while (dir != NULL && (de = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);

		if (pid > 0 && inside_parent(pid) == getpid())
			(void)kill(pid, SIGKILL);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static int
exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
reaper_on_child(int signo)
{
	(void)signo; /* wakes ppoll() up */
}

/*
 * Until the tool has ended: its code; or the helper has: -1; or the container has, which
 * ends nothing of ours by itself if its pids are those of others, too.
 */
static int
reaper_wait(pid_t tool, int life_fd, int container_fd, const sigset_t *open)
{
	struct pollfd p[] = {
	    {.fd = life_fd, .events = POLLIN}, {.fd = container_fd, .events = POLLIN}};
	int status;
	pid_t pid;

	for (;;) {
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == tool)
				return exit_code(status);
		if (ppoll(p, ARRAY_LEN(p), NULL, open) > 0)
			return p[0].revents != 0 ? -1 : 128 + SIGKILL;
	}
}

static _Noreturn void
reaper_main(struct ctl *ctl, const struct inside *in, int life_fd, int status_fd)
{
	boot_us_t end;
	sigset_t child, open;
	pid_t tool;
	int code;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ==
	    -1) {
		code = CTL_NOT_RUN;
		(void)!write(status_fd, &code, sizeof code);
		inside_die(ctl, CTL_NOT_RUN, "cannot mount '/proc'");
	}
	(void)signal(SIGCHLD, reaper_on_child);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, &open);
	tool = fork();
	if (tool == 0) {
		(void)sigprocmask(SIG_SETMASK, &open, NULL);
		inside_exec(ctl, in);
	}
	code =
	    tool == -1 ? (int)CTL_NOT_RUN : reaper_wait(tool, life_fd, in->pidfd, &open);
	end = clock_boot_us() + INSIDE_REAP_US;
	/* one in the kernel may take longer to die; nobody waits for that */
	do {
		reaper_kill_children();
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) == -1)
			break;
		(void)poll(NULL, 0, 5);
	} while (clock_boot_us() < end);
	(void)!write(status_fd, &code, sizeof code);
	_exit(0);
}

/* --- the helper ---------------------------------------------------------------------- */

static int
helper_prepare(struct ctl *ctl, const struct inside *in, struct err *err)
{
	int tree = inside_tree_of(in->pidfd, err);

	if (tree < 0)
		return tree;
	if (unshare(CLONE_NEWNS) == -1 ||
	    setns(in->pidfd, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) ==
		-1) {
		int saved = errno;

		fd_close(&tree);
		return err_set(err, saved, "join the container's namespaces");
	}
	return inside_make_root(ctl->root, in->tools, tree, err);
}

static _Noreturn void
helper_main(struct ctl *ctl, const struct inside *in, pid_t parent)
{
	struct err err = ERR_INIT;
	int life[2], status[2], code;
	pid_t reaper;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit((int)CTL_NOT_RUN);
	inside_signals(SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	if (helper_prepare(ctl, in, &err) < 0)
		inside_die(ctl, CTL_NOT_RUN, err.text);
	if (pipe2(life, O_CLOEXEC) == -1 || pipe2(status, O_CLOEXEC) == -1)
		inside_die(ctl, CTL_NOT_RUN, "no pipe");
	reaper = fork();
	if (reaper == 0) {
		(void)close(life[1]);
		(void)close(status[0]);
		reaper_main(ctl, in, life[0], status[1]);
	}
	if (reaper == -1)
		inside_die(
		    ctl, CTL_NOT_RUN, "cannot fork among the container's processes");
	(void)close(life[0]);
	(void)close(status[1]);
	if (read(status[0], &code, sizeof code) != (ssize_t)sizeof code)
		code = 128 + SIGKILL;	/* the container has ended, and all in it */
	(void)waitpid(reaper, NULL, 0); /* nobody of ours is in there when we return */
	_exit(code);
}

int
inside_run(struct ctl *ctl, struct inside *in)
{
	pid_t us = getpid(), helper;
	struct termios was;
	int status;

	in->foreground =
	    tcgetpgrp(STDIN_FILENO) == getpgrp() && tcgetattr(STDIN_FILENO, &was) == 0;
	(void)fflush(ctl->out);
	(void)fflush(ctl->err);
	helper = fork();
	if (helper == -1)
		return ctl_fail_as(ctl, CTL_NOT_RUN, "fork: %s", strerror(errno));
	if (helper == 0)
		helper_main(ctl, in, us);
	/* these are for the tool, whoever they reach */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	while (waitpid(helper, &status, 0) == -1 && errno == EINTR)
		;
	if (in->foreground) {
		/*
		 * The tool had the terminal, and from inside cannot give it back; one
		 * that was killed has left it as it liked it.
		 */
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &was);
		(void)signal(SIGTTOU, SIG_DFL);
	}
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	return exit_code(status);
}

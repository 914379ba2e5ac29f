/*
 * podshimctl debug net: a network namespace to throw away, tied to the host's by a
 * veth pair.
 *
 *   podshimctl ── helper (new network) ── first of its pids ── the command
 *
 * The namespace is nowhere but in these processes: no file below /run/netns that a
 * killed client would leave. It has pids of its own, so that the first one's end
 * is the end of all, and the kernel removes the pair with the namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/cmd_debug.h"

#define NET_NAME_MAX 15u /* the kernel's */

struct net {
	const char *name; /* the host's end */
	char *host, *inside;
	char *const *argv;
	pid_t client;
};

/* --- ip(8) ---------------------------------------------------------------------------- */

/* Run it with these words. 0, or the code to end with, after a message unless quiet. */
static int __attribute__((sentinel)) run_ip(struct ctl *ctl, int quiet, ...)
{
	const char *argv[16] = {"ip"};
	int status = 0, n = 1;
	va_list ap;
	pid_t pid;

	va_start(ap, quiet);
	while (
	    n + 1 < (int)ARRAY_LEN(argv) && (argv[n] = va_arg(ap, const char *)) != NULL)
		n++;
	va_end(ap);
	pid = fork();
	if (pid == 0) {
		if (quiet)
			(void)dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		(void)ctl_fail(ctl, "ip: %s; it is in package iproute2", strerror(errno));
		(void)fflush(ctl->err);
		_exit(CTL_NO_FILE);
	}
	while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (pid == -1 || !WIFEXITED(status))
		return ctl_fail_as(ctl, CTL_NOT_RUN, "ip cannot be run");
	return WEXITSTATUS(status) == 0		 ? 0
	    : WEXITSTATUS(status) == CTL_NO_FILE ? CTL_NO_FILE
						 : CTL_NOT_RUN;
}

/* --- the processes --------------------------------------------------------------------- */

static int
exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
signals(void (*how)(int))
{
	(void)signal(SIGINT, how);
	(void)signal(SIGQUIT, how);
	(void)signal(SIGTSTP, how);
}

static _Noreturn void
net_command(struct ctl *ctl, const struct net *net)
{
	char *shell[] = {getenv("SHELL"), NULL};
	char *const *argv = net->argv[0] != NULL ? net->argv : shell;

	if (shell[0] == NULL || *shell[0] == '\0')
		shell[0] = (char *)(uintptr_t) "/bin/sh";
	signals(SIG_DFL);
	(void)execvp(argv[0], argv);
	(void)ctl_fail(ctl, "'%s': %s", argv[0], strerror(errno));
	(void)fflush(ctl->err);
	_exit(errno == ENOENT ? CTL_NO_FILE : CTL_NO_EXEC);
}

/* Process 1 of its namespace: when it ends, all of them do. */
static _Noreturn void
net_first(struct ctl *ctl, const struct net *net)
{
	int status = 0;
	pid_t command, pid;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == -1 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ==
		-1 ||
	    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
		_exit(ctl_fail_as(ctl, CTL_NOT_RUN, "mount: %s", strerror(errno)));
	command = fork();
	if (command == 0)
		net_command(ctl, net);
	do
		pid = waitpid(-1, &status, 0);
	while (pid != command && (pid != -1 || errno == EINTR));
	_exit(pid == command ? exit_code(status) : CTL_NOT_RUN);
}

/* Our own end of the pair, which is in our network by now. */
static int
net_configure(struct ctl *ctl, const struct net *net)
{
	int rc = run_ip(ctl, false, "link", "set", "lo", "up", NULL);

	if (rc == 0)
		rc = run_ip(
		    ctl, false, "address", "add", net->inside, "dev", "eth0", NULL);
	if (rc == 0)
		rc = run_ip(ctl, false, "link", "set", "eth0", "up", NULL);
	return rc;
}

/* ready: written once the network is there; go: read once the pair is. */
static _Noreturn void
net_helper(struct ctl *ctl, const struct net *net, int ready, int go)
{
	int status = 0, rc;
	char byte = 0;
	pid_t first;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != net->client)
		_exit(CTL_NOT_RUN);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) == -1)
		_exit(ctl_fail_as(
		    ctl, CTL_NOT_RUN, "a new network namespace: %s", strerror(errno)));
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		_exit(CTL_NOT_RUN);
	rc = net_configure(ctl, net);
	if (rc != 0)
		_exit(rc);
	/* not before: the first child is process 1, and must be the one that stays */
	if (unshare(CLONE_NEWPID) == -1 || (first = fork()) == -1)
		_exit(ctl_fail_as(ctl, CTL_NOT_RUN, "new pids: %s", strerror(errno)));
	if (first == 0)
		net_first(ctl, net);
	while (waitpid(first, &status, 0) == -1 && errno == EINTR)
		;
	_exit(exit_code(status));
}

/* --- the client -------------------------------------------------------------------------- */

static bool
net_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NET_NAME_MAX && name[0] != '-' && name[0] != '.' &&
	    strspn(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	    len;
}

/* Four link-local addresses by the name, so that two at a time seldom meet. */
static void
net_addresses(struct net *net)
{
	unsigned hash = 5381, third, block;
	const char *p;

	for (p = net->name; *p != '\0'; p++)
		hash = hash * 33 + (unsigned char)*p;
	third = 1 + hash / 64 % 254;
	block = hash % 64 * 4;
	net->host = mem_printf("169.254.%u.%u/30", third, block + 1);
	net->inside = mem_printf("169.254.%u.%u/30", third, block + 2);
}

/* The pair, and our end of it. */
static int
net_pair(struct ctl *ctl, const struct net *net, pid_t helper)
{
	AUTO_FREE char *pid = mem_printf("%ld", (long)helper);
	int rc = run_ip(ctl, false, "link", "add", net->name, "type", "veth", "peer",
	    "name", "eth0", "netns", pid, NULL);

	if (rc == 0)
		rc = run_ip(
		    ctl, false, "address", "add", net->host, "dev", net->name, NULL);
	if (rc == 0)
		rc = run_ip(ctl, false, "link", "set", net->name, "up", NULL);
	return rc;
}

static int
net_run(struct ctl *ctl, struct net *net)
{
	int ready[2], go[2], status = 0, rc = CTL_NOT_RUN;
	bool made = false;
	char byte = 0;
	pid_t helper;

	if (pipe2(ready, O_CLOEXEC) == -1 || pipe2(go, O_CLOEXEC) == -1)
		return ctl_fail_as(ctl, CTL_NOT_RUN, "pipe: %s", strerror(errno));
	net->client = getpid();
	signals(SIG_IGN); /* these are for the command */
	(void)signal(SIGTSTP, SIG_DFL);
	helper = fork();
	if (helper == -1)
		return ctl_fail_as(ctl, CTL_NOT_RUN, "fork: %s", strerror(errno));
	if (helper == 0) {
		(void)close(ready[0]);
		(void)close(go[1]);
		net_helper(ctl, net, ready[1], go[0]);
	}
	(void)close(ready[1]);
	(void)close(go[0]);
	if (read(ready[0], &byte, 1) == 1) {
		rc = net_pair(ctl, net, helper);
		made = rc == 0;
	}
	if (made) {
		(void)fprintf(ctl->err,
		    "host: %s %s; inside: eth0 %s; /proc/%ld/ns/net\n", net->name,
		    net->host, net->inside, (long)helper);
		(void)fflush(ctl->err);
		(void)!write(go[1], &byte, 1);
	}
	(void)close(go[1]);
	while (waitpid(helper, &status, 0) == -1 && errno == EINTR)
		;
	signals(SIG_DFL);
	/* it goes with the namespace, but some time later; a container may be in there */
	if (made)
		(void)run_ip(ctl, true, "link", "delete", net->name, NULL);
	return made || rc == CTL_NOT_RUN ? exit_code(status) : rc;
}

static int
cmd_debug_net(struct ctl *ctl)
{
	struct net net = {.name = ctl->argv[0], .argv = ctl->argv + 1};
	int rc;

	if (!net_name_ok(net.name))
		return ctl_misuse(ctl,
		    "'%s' is no name for a network interface: 1 to %u letters, digits, "
		    "'.', '_' and '-'",
		    net.name, NET_NAME_MAX);
	net_addresses(&net);
	(void)fflush(ctl->out);
	rc = net_run(ctl, &net);
	free(net.host);
	free(net.inside);
	return rc;
}

const struct ctl_verb debug_net = {
    .name = "net",
    .group = GROUP_DEBUG,
    .args = "NAME [CMD]...",
    .summary = "a network to throw away, to try a container against",
    .text =
	"A new network namespace for a shell, or CMD, and a veth pair: NAME is its end\n"
	"on the host, eth0 its end inside. Both have an address, which is printed, as\n"
	"is the namespace's path: a container can be started in it, or talk to it.\n"
	"It ends with the command, or when podshimctl is killed.",
    .examples = "  podshimctl debug net try0\n"
		"  podshimctl debug net try0 -- nc -l -p 80\n"
		"  ctr run --with-ns network:/proc/PID/ns/net IMAGE ID",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_debug_net,
};

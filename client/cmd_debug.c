/*
 * podshimctl debug: its verbs about the shim's own processes, continue and attach.
 * Those that work on containers are in cmd_debug_shell.c and cmd_debug_net.c.
 */
#include "client/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/cmd_debug.h"
#include "client/find.h"
#include "client/note.h"
#include "client/text.h"
#include "ipc/admin.h"

#define CONTINUE_US (2 * US_PER_S)

/* --- the pod's processes ---------------------------------------------------------- */

/* The pod's worker or keeper: pid and pidfd of *out. CTL_OK or an exit code. */
static int
debug_find(struct ctl *ctl, const char *key, struct pods *pods, struct found *one,
    pid_t *pid, int *pidfd)
{
	int rc;

	if (!find_all(ctl, pods, &rc))
		return rc;
	rc = find_pod(ctl, pods, ctl->argv[0], one);
	if (rc != CTL_OK)
		return rc;
	*pid = (pid_t)pod_status_num(one->pod, key);
	if (*pid <= 0)
		return ctl_fail(ctl, "pod '%s': its keeper %s", one->pod->group,
		    one->pod->keeper == KEEPER_DEAD		  ? "is dead"
			: one->pod->keeper == KEEPER_UNRESPONSIVE ? "does not answer"
								  : "has no worker now");
	*pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (*pidfd == -1)
		return ctl_fail_as(ctl, ctl_exit_of(-errno), "process %ld: %s",
		    (long)*pid, strerror(errno));
	return CTL_OK;
}

/* Stopped, not merely traced; *tracer is who holds it otherwise. */
static bool
debug_is_stopped(pid_t pid, long *tracer)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/status", (long)pid);
	AUTO_FREE char *text = NULL;
	const char *p;
	size_t len;

	*tracer = 0;
	if (file_read(AT_FDCWD, path, 65536, &text, &len, NULL) < 0)
		return false;
	p = strstr(text, "\nTracerPid:");
	if (p != NULL)
		*tracer = strtol(p + strlen("\nTracerPid:"), NULL, 10);
	p = strstr(text, "\nState:\t");
	return p != NULL && (p[8] == 'T' || p[8] == 't');
}

/* --- continue ------------------------------------------------------------------------ */

static int
continue_worker(struct ctl *ctl, const struct pod *pod, pid_t pid, int pidfd)
{
	AUTO_FREE char *state = pod_state(pod);
	boot_us_t end = clock_boot_us() + CONTINUE_US;
	long tracer;

	if (!debug_is_stopped(pid, &tracer) && tracer == 0)
		return ctl_fail(
		    ctl, "pod '%s': worker %ld is not stopped", pod->group, (long)pid);
	if (tracer != 0)
		return ctl_fail(ctl,
		    "pod '%s': process %ld has worker %ld in its hands; continue or "
		    "detach there",
		    pod->group, tracer, (long)pid);
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0) == -1)
		return ctl_fail_as(ctl, ctl_exit_of(-errno), "signal worker %ld: %s",
		    (long)pid, strerror(errno));
	while (debug_is_stopped(pid, &tracer) && tracer == 0) {
		if (clock_boot_us() >= end)
			return ctl_fail_as(ctl, CTL_TIMEOUT,
			    "pod '%s': worker %ld was told to go on, and is still "
			    "stopped",
			    pod->group, (long)pid);
		(void)poll(NULL, 0, 5);
	}
	(void)fprintf(ctl->out, "worker %ld goes on (was: %s)\n", (long)pid, state);
	return CTL_OK;
}

static int
cmd_debug_continue(struct ctl *ctl)
{
	AUTO_CLOSE int pidfd = -1;
	struct pods pods = {0};
	struct found one;
	pid_t pid;
	int rc = debug_find(ctl, "worker_pid", &pods, &one, &pid, &pidfd);

	if (rc == CTL_OK)
		rc = continue_worker(ctl, one.pod, pid, pidfd);
	pods_fini(&pods);
	return rc;
}

static const struct ctl_verb debug_continue = {
    .name = "continue",
    .group = GROUP_DEBUG,
    .args = "POD",
    .summary = "let a worker go on that is stopped or waits for a debugger",
    .text = "A worker halts where PODSHIM_WAIT_DEBUGGER, or [debug] wait of\n"
	    "podshim.conf(5), says. SIGCONT does the same.",
    .examples = "  podshimctl debug continue web",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_debug_continue,
};

/* --- attach -------------------------------------------------------------------------- */

/*
 * A path under which a debugger finds the very file that the process runs, for
 * symbols: where it was installed, or if another one is there by now, a copy in
 * the pod's directory, which goes with the pod. NULL after a message.
 */
static char *
attach_exe(struct ctl *ctl, const struct pod *pod, pid_t pid)
{
	AUTO_FREE char *link = mem_printf("/proc/%ld/exe", (long)pid);
	AUTO_FREE char *copy = NULL;
	AUTO_CLOSE int from = open(link, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	struct stat runs, there;
	char path[4096];
	ssize_t n = readlink(link, path, sizeof path - 1);
	off_t at = 0;

	if (from == -1 || n < 0 || fstat(from, &runs) == -1) {
		(void)ctl_fail(ctl, "open '%s': %s", link, strerror(errno));
		return NULL;
	}
	path[n] = '\0';
	if (stat(path, &there) == 0 && there.st_dev == runs.st_dev &&
	    there.st_ino == runs.st_ino)
		return mem_strdup(path);
	copy = mem_printf("%s/debug-exe-%ju", pod->path, (uintmax_t)runs.st_ino);
	to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (to != -1 && at < runs.st_size)
		if (sendfile(to, from, &at, (size_t)(runs.st_size - at)) <= 0)
			fd_close(&to);
	if (to == -1) {
		(void)ctl_fail(ctl, "copy '%s' to '%s': %s", link, copy, strerror(errno));
		return NULL;
	}
	return steal_ptr(&copy);
}

static void
attach_gdb(struct strv *argv, const char *exe, pid_t pid, const char *source)
{
	strv_add(argv, "gdb");
	strv_add(argv, "-q");
	strv_add(argv, "-iex");
	strv_add(argv, "set sysroot /"); /* not by way of the process's own root */
	if (source != NULL) {
		strv_add(argv, "-iex");
		strv_addf(argv, "directory %s", source);
	}
	strv_add(argv, "-ex");
	strv_add(argv, "handle SIGUSR1 nostop noprint pass"); /* asks for a dump */
	strv_addf(argv, "--pid=%ld", (long)pid);
	strv_add(argv, exe);
}

static void
attach_lldb(struct strv *argv, const char *exe, pid_t pid, const char *source)
{
	strv_add(argv, "lldb");
	if (source != NULL) {
		strv_add(argv, "-O");
		strv_addf(argv, "settings append target.source-map . \"%s\"", source);
	}
	strv_add(argv, "-O");
	strv_addf(argv, "target create \"%s\"", exe);
	strv_add(argv, "-o");
	strv_addf(argv, "process attach -p %ld", (long)pid);
	strv_add(argv, "-o");
	strv_add(argv, "process handle SIGUSR1 -n false -s false -p true");
}

static int
attach_run(struct ctl *ctl, const struct pod *pod, pid_t pid)
{
	const char *source = ctl_option(ctl, "source");
	bool lldb = ctl_option(ctl, "lldb") != NULL;
	AUTO_FREE char *exe = NULL;
	AUTO_STRV struct strv argv = {0};
	long tracer;
	int i;

	(void)debug_is_stopped(pid, &tracer);
	if (tracer != 0)
		return ctl_fail(
		    ctl, "process %ld has been attached to %ld", tracer, (long)pid);
	exe = attach_exe(ctl, pod, pid);
	if (exe == NULL)
		return CTL_FAILED;
	(lldb ? attach_lldb : attach_gdb)(&argv, exe, pid, source);
	for (i = 1; i < ctl->argc; i++)
		strv_add(&argv, ctl->argv[i]);
	note(ctl, pod, "", "debug-attach", argv.v[0]);
	(void)fflush(ctl->out);
	(void)fflush(ctl->err);
	(void)execvp(argv.v[0], argv.v);
	return ctl_fail_as(ctl, errno == ENOENT ? CTL_NO_FILE : CTL_NO_EXEC, "%s: %s%s",
	    argv.v[0], strerror(errno),
	    errno == ENOENT ? "; it is in a package of the same name" : "");
}

static int
cmd_debug_attach(struct ctl *ctl)
{
	bool keeper = ctl_option(ctl, "keeper") != NULL;
	AUTO_CLOSE int pidfd = -1;
	struct pods pods = {0};
	struct found one;
	pid_t pid;
	int rc = debug_find(
	    ctl, keeper ? "keeper_pid" : "worker_pid", &pods, &one, &pid, &pidfd);

	if (rc == CTL_OK)
		rc = attach_run(ctl, one.pod, pid);
	pods_fini(&pods);
	return rc;
}

static const struct ctl_option attach_options[] = {
    {"keeper", 0, NULL, "the keeper instead of the worker"},
    {"lldb", 0, NULL, "lldb instead of gdb"},
    {"source", 0, "DIR", "where podshim's source is"},
    {0},
};

static const struct ctl_verb debug_attach = {
    .name = "attach",
    .group = GROUP_DEBUG,
    .args = "POD [--] [ARG]...",
    .summary = "start a debugger on a pod's worker",
    .text = "gdb, on the very file that the worker runs, also if another one has been\n"
	    "installed since. A worker that is traced is not taken for hung. With a\n"
	    "keeper in a debugger's hands nobody answers containerd: be quick. What\n"
	    "stands behind the pod goes to the debugger.",
    .options = attach_options,
    .examples = "  podshimctl debug attach web\n"
		"  podshimctl debug attach web --source ~/podshim\n"
		"  podshimctl debug attach web -- -batch -ex 'bt full'",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_debug_attach,
};

/* --- the verb ------------------------------------------------------------------------- */

static const struct ctl_verb *const debug_subs[] = {
    &debug_continue, &debug_attach, &debug_shell, &debug_net, NULL};

const struct ctl_verb verb_debug = {
    .name = "debug",
    .group = GROUP_DEBUG,
    .args = "",
    .summary = "debuggers for the shim, tools for its containers",
    .subs = debug_subs,
};

/*
 * podshimctl debug shell, and podshimctl trace, which is strace in the same place.
 */
#include "client/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/cmd_debug.h"
#include "client/confirm.h"
#include "client/find.h"
#include "client/inside.h"
#include "client/note.h"

/* A directory as it is called from "/", or NULL after a message. */
static char *
real_dir(struct ctl *ctl, const char *dir)
{
	char *real = realpath(dir, NULL);

	if (real == NULL)
		(void)ctl_fail(ctl, "'%s': %s", dir, strerror(errno));
	return real;
}

/* argv with the blanks of people. */
static char *
words(char *const *argv)
{
	char *all = mem_strdup("");
	size_t i;

	for (i = 0; argv != NULL && argv[i] != NULL; i++) {
		char *longer = mem_printf("%s%s%s", all, i > 0 ? " " : "", argv[i]);

		free(all);
		all = longer;
	}
	return all;
}

/* May it be run among processes that could make it theirs? */
static int
may_enter(struct ctl *ctl, const struct found *f, pid_t init)
{
	pid_t by = inside_tracer(f->pod, f->container, init);
	AUTO_FREE char *who = by == INSIDE_UNSURE
	    ? mem_strdup("one of too many processes")
	    : mem_printf("process %ld", (long)by);
	const char *can = by == INSIDE_UNSURE ? "may" : "can";

	if (by == 0 || ctl_option(ctl, "yes") != NULL)
		return CTL_OK;
	if (!ctl_can_ask(ctl))
		return ctl_fail_as(ctl, CTL_NOT_RUN,
		    "container '%s': %s there %s have CAP_SYS_PTRACE, and with "
		    "it take over what is run here, which is root on the host; --yes "
		    "runs it all the same",
		    f->container->id, who, can);
	return ctl_confirm(ctl,
	    "In container '%s' %s %s have CAP_SYS_PTRACE, and with it take over "
	    "what is run here, which is root on the host. Go on?",
	    f->container->id, who, can);
}

/*
 * Run argv inside the container that is named first. argv NULL: a shell. pid_at,
 * unless 0: which word of it becomes init's number.
 */
static int
run_inside(struct ctl *ctl, const char *what, char **argv, size_t pid_at)
{
	const char *tools_given = ctl_option(ctl, "tools");
	AUTO_FREE char *tools = real_dir(ctl, tools_given != NULL ? tools_given : "/");
	AUTO_FREE char *root = real_dir(ctl, ctl->root);
	AUTO_FREE char *detail = NULL;
	AUTO_CLOSE int pidfd = -1;
	struct err err = ERR_INIT;
	struct pods pods = {0};
	struct inside in = {.tools = tools, .argv = argv};
	struct found one;
	pid_t pid;
	int rc;

	if (tools == NULL || root == NULL)
		return CTL_NOT_RUN;
	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = find_container(ctl, &pods, ctl->argv[0], &one);
	if (rc == CTL_OK && inside_find(one.pod, one.container, &pid, &pidfd, &err) < 0)
		rc = ctl_fail_as(ctl, CTL_NOT_RUN, "%s", err.text);
	if (rc == CTL_OK)
		rc = may_enter(ctl, &one, pid);
	if (rc == CTL_OK) {
		if (pid_at != 0) {
			free(argv[pid_at]);
			argv[pid_at] = mem_printf("%ld", (long)inside_own_number(pid));
		}
		detail = words(argv);
		note(ctl, one.pod, one.container->id, what, detail);
		in.container = one.container->id;
		in.pidfd = pidfd;
		ctl->root = root;
		rc = inside_run(ctl, &in);
	}
	pods_fini(&pods);
	return rc;
}

#define OPTION_TOOLS                                                                     \
	{                                                                                \
		"tools", 0, "DIR", "the tools' root instead of the host's"               \
	}
static const struct ctl_option shell_options[] = {OPTION_TOOLS, CTL_OPTION_YES, {0}};

static int
cmd_debug_shell(struct ctl *ctl)
{
	return run_inside(ctl, "debug-shell", ctl->argc > 1 ? ctl->argv + 1 : NULL, 0);
}

const struct ctl_verb debug_shell = {
    .name = "shell",
    .group = GROUP_DEBUG,
    .args = "CONTAINER [--] [CMD]...",
    .summary = "a shell, or a command, inside a container with tools that it lacks",
    .text =
	"In the container's network, pid, ipc and uts namespaces, with the host's\n"
	"root, or DIR, as its own: what is written there vanishes with the shell.\n"
	"The container's root is /container. The shell is root, is not confined, and\n"
	"is not in the container's cgroup: it is neither paused nor killed with it,\n"
	"and its memory is not the container's. All that it starts ends with it.\n"
	"A container with CAP_SYS_PTRACE and no user namespace of its own (as "
	"privileged\n"
	"ones are) could take it over, and be root on the host: it is run in such a one\n"
	"with --yes, or after a yes on the terminal, only.",
    .options = shell_options,
    .examples =
	"  podshimctl debug shell db\n"
	"  podshimctl debug shell db -- ss -tlnp\n"
	"  podshimctl debug shell --tools /opt/busybox db -- ls -l /container/etc",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_debug_shell,
};

/* --- trace ------------------------------------------------------------------------------ */

static int
cmd_trace(struct ctl *ctl)
{
	AUTO_STRV struct strv argv = {0};
	int64_t pid = 0;
	int i, rc = ctl_option_num(ctl, "pid", 1, INT_MAX, &pid);

	if (rc != CTL_OK)
		return rc;
	strv_add(&argv, "strace");
	strv_add(&argv, "-f");
	strv_add(&argv, "-p");
	strv_addf(&argv, "%lld", (long long)pid); /* 0: init's is not known yet */
	for (i = 1; i < ctl->argc; i++)
		strv_add(&argv, ctl->argv[i]);
	return run_inside(ctl, "trace", argv.v, pid == 0 ? 3 : 0);
}

static const struct ctl_option trace_options[] = {
    {"pid", 'p', "PID", "this process, by its number in the container; else init"},
    OPTION_TOOLS, CTL_OPTION_YES, {0}};

const struct ctl_verb verb_trace = {
    .name = "trace",
    .group = GROUP_DEBUG,
    .args = "CONTAINER [--] [OPTION]...",
    .summary = "strace on a container's processes",
    .text = "Process numbers are those that the container sees. What stands behind the\n"
	    "container goes to strace. Run where 'podshimctl debug shell' runs.",
    .options = trace_options,
    .examples = "  podshimctl trace db\n"
		"  podshimctl trace -p 7 db -- -e trace=network -c",
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_trace,
};

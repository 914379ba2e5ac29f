/*
 * podshimctl attach: the terminal of a running container, beside its log. For
 * containers whose log program offers that: all that `podshimctl run` makes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/find.h"
#include "client/pods.h"
#include "client/relay.h"
#include "client/rpc.h"
#include "client/run_logger.h"
#include "client/verbs.h"
#include "ipc/attach.h"
#include "proto/task.pb-c.h"

static int
attach_wait(struct rpc *rpc, const char *id, uint32_t *stream, struct err *err)
{
	Containerd__Task__V2__WaitRequest wait = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *copy = mem_strdup(id);

	wait.id = copy;
	return rpc_begin(rpc, "Wait", &wait.base, 0, stream, err);
}

static int
attach_run(struct ctl *ctl, const struct found *f, const struct logged *log)
{
	const struct process_info *init = &f->container->processes[0];
	bool with_stdin = init->stdin_path != NULL && init->stdin_path[0] != '\0' &&
	    ctl_option(ctl, "no-stdin") == NULL;
	struct relay_spec spec = {.id = f->container->id,
	    .attach_fd = -1,
	    .stdin_fifo = -1,
	    .terminal = init->terminal,
	    .watches = true};
	struct err err = ERR_INIT;
	struct relay_end end = {0};
	struct rpc *rpc = NULL;
	uint32_t wait;
	int rc = rpc_open(f->pod, &rpc, &err);

	spec.rpc = rpc;
	if (rc == 0)
		rc = spec.attach_fd = relay_attach(log->attach, ATTACH_WATCH, &err);
	if (rc >= 0 && with_stdin)
		rc = spec.stdin_fifo = relay_open_stdin(init->stdin_path, &err);
	if (rc >= 0 && init->terminal)
		relay_resize(rpc, f->container->id);
	if (rc >= 0)
		rc = attach_wait(rpc, f->container->id, &wait, &err);
	if (rc >= 0)
		rc = relay_run(&spec, wait, &end, &err);
	rpc_close(rpc);
	if (rc < 0)
		return ctl_fail_as(ctl, CTL_NOT_RUN, "%s", err.text);
	if (end.missed > 0)
		(void)ctl_fail(ctl, "%llu bytes of output were missed; the log has them",
		    (unsigned long long)end.missed);
	if (!end.detached)
		return (int)end.status;
	(void)fprintf(ctl->err, "detached\n");
	return CTL_OK;
}

static int
attach_found(struct ctl *ctl, const struct found *f)
{
	const struct container_info *c = f->container;
	struct logged log = {0};
	int rc;

	if (c->n_processes == 0 || c->processes[0].state == TASK_STOPPED)
		return ctl_fail_as(ctl, CTL_NOT_RUN,
		    "container '%s' is not running ('podshimctl logs %s' shows what it "
		    "wrote)",
		    c->id, c->id);
	if (!logged_of_uri(c->processes[0].stdout_path, c->id, f->pod->ns, &log) ||
	    log.attach == NULL)
		rc = ctl_fail_as(ctl, CTL_NOT_RUN,
		    "the output of container '%s' goes to '%s': nobody else can have it",
		    c->id,
		    c->processes[0].stdout_path[0] != '\0' ? c->processes[0].stdout_path
							   : "/dev/null");
	else
		rc = attach_run(ctl, f, &log);
	logged_fini(&log);
	return rc;
}

static int
cmd_attach(struct ctl *ctl)
{
	return find_and_do(ctl, attach_found);
}

static const struct ctl_option attach_options[] = {
    {"no-stdin", 0, NULL, "only watch"},
    {0},
};

const struct ctl_verb verb_attach = {
    .name = "attach",
    .group = GROUP_RUN,
    .args = "CONTAINER",
    .summary = "be where a container's input and output are",
    .text =
	"For containers made by 'run', and others whose log program is podshim-logger\n"
	"with attach=SOCKET. Several may be attached; all of it goes to the log, too.\n"
	"A reader that is too slow delays nobody: it is told how much it missed.\n"
	"Signals are passed on; ctrl-p ctrl-q detaches from a terminal, if the\n"
	"container's stdin is ours, and so does the end of whoever reads our output. "
	"The\n"
	"exit status is the container's, or 0 after that.",
    .options = attach_options,
    .examples = "  podshimctl attach shell\n"
		"  podshimctl attach --no-stdin web",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_attach,
};

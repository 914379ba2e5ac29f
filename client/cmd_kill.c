/*
 * podshimctl kill: a signal to a container's init, to all of its processes or
 * to one exec, through its shim: so containerd learns of the end as of any other.
 */
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "client/act.h"
#include "client/confirm.h"
#include "client/verbs.h"
#include "proto/task.pb-c.h"

/* The end of a pod's init is the end of all that shares its namespaces. */
static bool
is_the_pods_own(const struct target *t)
{
	return strcmp(t->container->id, t->pod->group) == 0;
}

static int
kill_confirm(struct ctl *ctl, const struct target *t)
{
	if (is_the_pods_own(t) && t->pod->n_containers > 1)
		return ctl_confirm(ctl,
		    "Kill container '%s', which pod '%s' (%zu containers) is built upon?",
		    t->container->id, t->pod->group, t->pod->n_containers);
	return ctl_confirm(
	    ctl, "Kill container '%s' of pod '%s'?", t->container->id, t->pod->group);
}

static int
cmd_kill(struct ctl *ctl)
{
	Containerd__Task__V2__KillRequest msg = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
	const char *name = ctl_option(ctl, "signal");
	const char *exec = ctl->argc > 1 ? ctl->argv[1] : NULL;
	bool all = ctl_option(ctl, "all") != NULL, ask;
	int signo = name == NULL ? SIGTERM : signal_of_name(name), rc;
	struct target t;

	if (signo == -1)
		return ctl_misuse(ctl, "'%s' is no signal", name);
	if (all && ctl->argc > 1)
		return ctl_misuse(
		    ctl, "'--all' is for a whole container, not for an exec");
	ask = signo == SIGKILL && (exec == NULL || *exec == '\0') &&
	    ctl_option(ctl, "yes") == NULL && ctl_can_ask(ctl);
	/* the question has the whole name in it */
	rc = ask ? target_open(ctl, ctl->argv[0], exec, &t)
		 : target_open_whole(ctl, ctl->argv[0], exec, &t);
	if (rc == CTL_OK && ask)
		rc = kill_confirm(ctl, &t);
	if (rc == CTL_OK) {
		msg.id = t.container->id;
		msg.exec_id = t.exec_id;
		msg.signal = (uint32_t)signo;
		msg.all = all;
		rc = target_call(ctl, &t, "Kill", &msg.base,
		    all && signo != SIGKILL ? RPC_RUNTIME_TIMEOUT_MS : RPC_TIMEOUT_MS);
	}
	target_close(&t);
	return rc;
}

static const struct ctl_option options[] = {
    {"signal", 's', "SIGNAL", "a name (TERM, SIGTERM, RTMIN+3) or number; TERM"},
    {"all", 'a', NULL, "all processes of the container, not init alone"},
    CTL_OPTION_YES,
    {0},
};

const struct ctl_verb verb_kill = {
    .name = "kill",
    .group = GROUP_ACT,
    .args = "CONTAINER [EXEC]",
    .summary = "send a signal to a container or to an exec",
    .text =
	"The shim sends it, so containerd sees what follows as if it had come of "
	"itself.\n"
	"SIGKILL to a container is asked about on a terminal. Where nothing is asked,\n"
	"whole names are wanted.",
    .options = options,
    .examples = "  podshimctl kill web\n"
		"  podshimctl kill -s HUP web\n"
		"  podshimctl kill -s KILL --all --yes web\n"
		"  podshimctl kill -s INT web podshimctl-4711-1a2b",
    .min_args = 1,
    .max_args = 2,
    .run = cmd_kill,
};

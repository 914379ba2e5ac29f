/*
 * podshimctl pause and resume: freeze all processes of a container, and let them go.
 */
#include "client/act.h"
#include "client/verbs.h"
#include "proto/task.pb-c.h"

/* msg: with *id, which becomes the container's. */
static int
call_container(
    struct ctl *ctl, const char *method, const ProtobufCMessage *msg, char **id)
{
	struct target t;
	int rc = target_open(ctl, ctl->argv[0], NULL, &t);

	if (rc == CTL_OK) {
		*id = t.container->id;
		rc = target_call(ctl, &t, method, msg, RPC_RUNTIME_TIMEOUT_MS);
	}
	target_close(&t);
	return rc;
}

static int
cmd_pause(struct ctl *ctl)
{
	Containerd__Task__V2__PauseRequest msg =
	    CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;

	return call_container(ctl, "Pause", &msg.base, &msg.id);
}

static int
cmd_resume(struct ctl *ctl)
{
	Containerd__Task__V2__ResumeRequest msg =
	    CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;

	return call_container(ctl, "Resume", &msg.base, &msg.id);
}

const struct ctl_verb verb_pause = {
    .name = "pause",
    .group = GROUP_ACT,
    .args = "CONTAINER",
    .summary = "freeze all processes of a container",
    .text = "They stay where they are until 'resume'. Health checks will fail meanwhile.",
    .examples = "  podshimctl pause web",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_pause,
};

const struct ctl_verb verb_resume = {
    .name = "resume",
    .group = GROUP_ACT,
    .args = "CONTAINER",
    .summary = "let a paused container go on",
    .examples = "  podshimctl resume web",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_resume,
};

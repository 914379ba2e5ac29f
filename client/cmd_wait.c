/*
 * podshimctl wait: until a container or an exec has ended. Its exit status is
 * printed, and is the exit status of podshimctl, too.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "client/act.h"
#include "client/json.h"
#include "client/verbs.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"

/* At once if it has ended; also after a worker was replaced meanwhile. */
static int
wait_for_end(struct ctl *ctl, struct target *t, int64_t timeout_s,
    Containerd__Task__V2__WaitResponse **out)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	int ms =
	    timeout_s < 0 || timeout_s > INT_MAX / 1000 ? INT_MAX : (int)timeout_s * 1000;
	struct err err = ERR_INIT;
	ProtobufCMessage *answer;
	uint32_t stream;
	int rc;

	msg.id = t->container->id;
	msg.exec_id = t->exec_id;
	/* the shim is not told of the time: it would not begin what it cannot end */
	rc = rpc_begin(t->rpc, "Wait", &msg.base, 0, &stream, &err);
	do {
		if (rc >= 0)
			rc = rpc_end(t->rpc, stream, ms,
			    &containerd__task__v2__wait_response__descriptor, &answer,
			    &err);
	} while (rc == -ETIMEDOUT && timeout_s < 0);
	if (rc == -ETIMEDOUT)
		return ctl_fail_as(ctl, CTL_TIMEOUT,
		    "container '%s'%s%s has not ended within %lld s", t->container->id,
		    *t->exec_id == '\0' ? "" : " exec ", t->exec_id,
		    (long long)timeout_s);
	if (rc < 0)
		return target_fail(ctl, t, rc, &err);
	*out = (Containerd__Task__V2__WaitResponse *)answer;
	return CTL_OK;
}

/*
 * An exec of ours has nobody else to delete it. What the container is busy with may come
 * first, and the request of who has gone is not begun.
 */
static void
wait_delete(struct target *t)
{
	Containerd__Task__V2__DeleteRequest msg =
	    CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;

	if (strncmp(t->exec_id, ACT_EXEC_PREFIX, strlen(ACT_EXEC_PREFIX)) != 0)
		return;
	msg.id = t->container->id;
	msg.exec_id = t->exec_id;
	(void)rpc_call(
	    t->rpc, "Delete", &msg.base, RPC_RUNTIME_TIMEOUT_MS, NULL, NULL, &ERR_INIT);
}

static int
cmd_wait(struct ctl *ctl)
{
	Containerd__Task__V2__WaitResponse *end = NULL;
	int64_t timeout_s = -1;
	struct target t;
	int rc;

	rc = ctl_option_num(ctl, "timeout", 0, INT_MAX / 1000, &timeout_s);
	if (rc != CTL_OK)
		return rc;
	rc = target_open(ctl, ctl->argv[0], ctl->argc > 1 ? ctl->argv[1] : NULL, &t);
	if (rc == CTL_OK)
		rc = wait_for_end(ctl, &t, timeout_s, &end);
	if (rc == CTL_OK) {
		rc = (int)(end->exit_status & 0xff);
		if (ctl_is_json(ctl))
			js_print(ctl,
			    json_pack("{s:o, s:o, s:o, s:o}", "container",
				js_text(t.container->id), "exec", js_name(t.exec_id),
				"exit_status", js_num(end->exit_status), "exited_at",
				js_time(wire_timestamp_ns(end->exited_at))));
		else
			(void)fprintf(ctl->out, "%u\n", end->exit_status);
		containerd__task__v2__wait_response__free_unpacked(end, NULL);
		/* whoever reads it need not wait for the rest */
		(void)fflush(ctl->out);
		wait_delete(&t);
	}
	target_close(&t);
	return rc;
}

static const struct ctl_option options[] = {
    {"timeout", 't', "SECONDS", "give up then, with exit code 5"},
    {0},
};

const struct ctl_verb verb_wait = {
    .name = "wait",
    .group = GROUP_ACT,
    .args = "CONTAINER [EXEC]",
    .summary = "wait until a process has ended; print its exit status",
    .text =
	"The exit status is podshimctl's, too: 128 + N if signal N ended the process.\n"
	"An exec made by 'podshimctl exec -d' is forgotten thereafter.",
    .options = options,
    .examples = "  podshimctl wait -t 30 web",
    .min_args = 1,
    .max_args = 2,
    .run = cmd_wait,
};

/*
 * podshimctl exec: run a process in a container, straight through its shim. It is
 * an exec as containerd's own are: events, history and the pod's accounts have it;
 * its id begins with "podshimctl-", so that it never meets one of containerd's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/act.h"
#include "client/exec_io.h"
#include "client/exec_spec.h"
#include "client/foreground.h"
#include "client/json.h"
#include "client/verbs.h"
#include "proto/task.pb-c.h"

struct exec {
	struct ctl *ctl;
	struct target t;
	bool terminal, with_stdin, detach;
	char *id;
	char *spec;
	struct exec_io io;
};

static char *
exec_new_id(void)
{
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof random, 0);
	return mem_printf(ACT_EXEC_PREFIX "%d-%08x", (int)getpid(), random);
}

static int
exec_prepare(struct exec *x, struct err *err)
{
	struct ctl *ctl = x->ctl;
	AUTO_STRV struct strv env = {0};
	struct exec_spec spec = {.args = ctl->argv + 1,
	    .cwd = ctl_option(ctl, "workdir"),
	    .user = ctl_option(ctl, "user"),
	    .terminal = x->terminal};
	const char *kv;
	bool plain;
	size_t i;
	int rc;

	for (i = 0; (kv = ctl_option_nth(ctl, "env", i)) != NULL; i++) {
		if (strchr(kv, '=') == NULL || *kv == '=')
			return ctl_misuse(ctl, "'%s' is no variable (K=V)", kv);
		strv_add(&env, kv);
	}
	if (spec.cwd != NULL && *spec.cwd != '/')
		return ctl_misuse(
		    ctl, "directory '%s' in the container is not absolute", spec.cwd);
	spec.env = env.v;
	rc = exec_spec_make(x->t.container->bundle, &spec, &x->spec, &plain, err);
	if (rc == -EINVAL && spec.user != NULL)
		return ctl_misuse(ctl, "%s", err->text);
	if (rc < 0)
		return ctl_fail_as(ctl, CTL_NOT_RUN, "%s", err->text);
	if (plain)
		(void)fprintf(ctl->err,
		    "podshimctl: the bundle of '%s' is gone: a plain environment, and no "
		    "capabilities\n",
		    x->t.container->id);
	if (x->detach)
		return CTL_OK;
	rc = exec_io_open(x->t.pod->path, x->with_stdin, x->terminal, &x->io, err);
	return rc < 0 ? ctl_fail_as(ctl, CTL_NOT_RUN, "%s", err->text) : CTL_OK;
}

/* Tell the shim of it; no process yet. */
static int
exec_add(struct exec *x, struct err *err)
{
	Containerd__Task__V2__ExecProcessRequest msg =
	    CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char type[] = "types.containerd.io/opencontainers/runtime-spec/1/Process";

	any.type_url = type;
	any.value.data = (uint8_t *)x->spec;
	any.value.len = strlen(x->spec);
	msg.id = x->t.container->id;
	msg.exec_id = x->id;
	msg.terminal = x->terminal;
	if (x->io.in_path != NULL)
		msg.stdin = x->io.in_path;
	if (x->io.out_path != NULL)
		msg.stdout = x->io.out_path;
	if (x->io.err_path != NULL)
		msg.stderr = x->io.err_path;
	msg.spec = &any;
	return rpc_call(x->t.rpc, "Exec", &msg.base, RPC_TIMEOUT_MS, NULL, NULL, err);
}

/* An exec that did not come to run, or that nobody waits for any more. */
static void
exec_drop(struct exec *x)
{
	Containerd__Task__V2__DeleteRequest msg =
	    CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;

	msg.id = x->t.container->id;
	msg.exec_id = x->id;
	(void)rpc_call(x->t.rpc, "Delete", &msg.base, 2000, NULL, NULL, &ERR_INIT);
}

static int
exec_start(struct exec *x, uint32_t *pid, struct err *err)
{
	Containerd__Task__V2__StartRequest msg =
	    CONTAINERD__TASK__V2__START_REQUEST__INIT;
	ProtobufCMessage *m;
	int rc;

	msg.id = x->t.container->id;
	msg.exec_id = x->id;
	rc = rpc_call(x->t.rpc, "Start", &msg.base, RPC_RUNTIME_TIMEOUT_MS,
	    &containerd__task__v2__start_response__descriptor, &m, err);
	if (rc < 0) {
		exec_drop(x);
		return rc;
	}
	*pid = ((Containerd__Task__V2__StartResponse *)m)->pid;
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}

/* Of a process that could not be run, as shells and other tools have it. */
static enum ctl_exit
exit_of_failed_start(const char *text)
{
	if (strcasestr(text, "executable file not found") != NULL ||
	    strcasestr(text, "no such file or directory") != NULL ||
	    (strcasestr(text, "executable file") != NULL &&
		strcasestr(text, "not found") != NULL))
		return CTL_NO_FILE;
	if (strcasestr(text, "permission denied") != NULL ||
	    strcasestr(text, "exec format error") != NULL ||
	    strcasestr(text, "is a directory") != NULL)
		return CTL_NO_EXEC;
	return CTL_NOT_RUN;
}

static int
exec_detached(const struct exec *x, uint32_t pid)
{
	if (ctl_is_json(x->ctl))
		js_print(x->ctl,
		    json_pack("{s:o, s:o, s:o}", "container", js_text(x->t.container->id),
			"exec", js_text(x->id), "pid", js_num(pid)));
	else
		(void)fprintf(x->ctl->out, "%s\n", x->id);
	return CTL_OK;
}

static int
exec_run(struct exec *x)
{
	struct err err = ERR_INIT;
	uint32_t pid = 0, status = 0;
	int rc = exec_prepare(x, &err);

	if (rc != CTL_OK)
		return rc;
	rc = exec_add(x, &err);
	if (rc < 0)
		return ctl_fail_as(x->ctl, rc == -ETIMEDOUT ? CTL_TIMEOUT : CTL_NOT_RUN,
		    "container '%s': %s", x->t.container->id, err.text);
	if (!x->detach)
		foreground_hold_signals();
	rc = exec_start(x, &pid, &err);
	exec_io_unlink(&x->io);
	if (rc < 0)
		return ctl_fail_as(x->ctl,
		    rc == -ETIMEDOUT ? CTL_TIMEOUT : exit_of_failed_start(err.text),
		    "container '%s': %s", x->t.container->id, err.text);
	if (x->detach)
		return exec_detached(x, pid);
	rc = exec_io_run(&x->io, x->t.rpc, x->t.container->id, x->id, &status, &err);
	if (rc < 0)
		return ctl_fail_as(x->ctl, CTL_NOT_RUN, "container '%s': %s",
		    x->t.container->id, err.text);
	return (int)(status & 0xff);
}

static int
cmd_exec(struct ctl *ctl)
{
	struct exec x = {.ctl = ctl,
	    .terminal = ctl_option(ctl, "tty") != NULL,
	    .with_stdin = ctl_option(ctl, "interactive") != NULL,
	    .detach = ctl_option(ctl, "detach") != NULL,
	    .io = EXEC_IO_NONE};
	int rc;

	if (x.detach && (x.terminal || x.with_stdin))
		return ctl_misuse(ctl,
		    "'--detach' goes with neither '--tty' nor "
		    "'--interactive': nobody would be there");
	if (x.terminal && x.with_stdin && !isatty(STDIN_FILENO))
		return ctl_misuse(
		    ctl, "'-t' with '-i', but standard input is no terminal");
	rc = target_open(ctl, ctl->argv[0], NULL, &x.t);
	if (rc == CTL_OK) {
		x.id = exec_new_id();
		rc = exec_run(&x);
	} else if (rc == CTL_FAILED) {
		rc = CTL_NOT_RUN; /* 1 would be the process's */
	}
	exec_io_close(&x.io);
	target_close(&x.t);
	free(x.id);
	free(x.spec);
	return rc;
}

static const struct ctl_option options[] = {
    {"tty", 't', NULL, "give it a terminal"},
    {"interactive", 'i', NULL, "send it our standard input"},
    {"detach", 'd', NULL, "do not wait; print the exec's id, for 'wait' and 'kill'"},
    {"env", 'e', "K=V", "set a variable; may be repeated"},
    {"workdir", 'w', "DIR", "start it in this directory of the container"},
    {"user", 'u', "UID[:GID]", "run it as this user; the container's own by default"},
    {0},
};

const struct ctl_verb verb_exec = {
    .name = "exec",
    .group = GROUP_ACT,
    .args = "CONTAINER CMD...",
    .summary = "run a process in a container",
    .text =
	"Environment, user, capabilities and limits are the container's own. The exit\n"
	"status is the process's; 125 if it could not be run, 126 if the program cannot\n"
	"be executed, 127 if it is not there. Signals are passed on; one that comes\n"
	"when the shim has not taken an earlier one for a second ends podshimctl alone.",
    .options = options,
    .examples = "  podshimctl exec web ls -l /\n"
		"  podshimctl exec -it web sh\n"
		"  podshimctl exec -d -e DEBUG=1 web /bin/worker\n"
		"  tar c . | podshimctl exec -i web tar x -C /tmp",
    .order = ORDER_FIRST,
    .min_args = 2,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_exec,
};

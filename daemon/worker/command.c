/*
 * Runs programs for operations. The step's key names everything that belongs to
 * it (log.<key>, pid.<key>, out/<key>), so that a worker that comes in the middle
 * finds it again; op_end() clears it away once the answer stands.
 */
#include "worker/command.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/link.h"
#include "worker/meter.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"

#define COMMAND_OUT_MAX	 (64u * 1024u)
#define COMMAND_GRACE_US (10 * US_PER_S)
#define COMMAND_EXE_NUM	 4u /* our own executable, in the mount helper */

struct command *
command_new(struct op *op, unsigned step, enum tag_kind kind, const char *what)
{
	struct command *cmd = mem_zalloc(sizeof *cmd);
	struct container *c = op->c;

	cmd->op = op;
	cmd->step = step;
	cmd->key = op_key(op, step);
	cmd->what = what;
	cmd->kind = kind;
	cmd->out_fd = -1;
	cmd->grace_us = COMMAND_GRACE_US;
	cmd->log_path = pod_key_path(op->pod, "log", cmd->key);
	cmd->pid_name = pod_key_name("pid", cmd->key);
	cmd->pid_path = pod_key_path(op->pod, "pid", cmd->key);
	cmd->out_name = mem_printf("out/%" PRIx64, cmd->key);
	cmd->target = (struct runtime_target){
	    .opts = &c->opts,
	    .ns = op->pod->ns,
	    .id = c->id,
	    .bundle = c->bundle,
	    .log_path = cmd->log_path,
	};
	return cmd;
}

void
command_free(struct command *cmd)
{
	strv_fini(&cmd->argv);
	fd_close(&cmd->out_fd);
	free(cmd->log_path);
	free(cmd->pid_name);
	free(cmd->pid_path);
	free(cmd->out_name);
	free(cmd->saved_text);
	free(cmd);
}

bool
command_known(const struct command *cmd)
{
	return link_step_known(cmd->op->pod->link, cmd->key) != NULL;
}

void
command_add_fd(struct command *cmd, int fd, uint32_t num)
{
	cmd->fds[cmd->n_fds] = fd;
	cmd->fd_nums[cmd->n_fds++] = num;
}

/* --- the end ------------------------------------------------------------------- */

/* For the counters. */
static const char *
command_name(const struct command *cmd)
{
	switch (cmd->kind) {
	case TAG_CREATE: return "create";
	case TAG_START: return "start";
	case TAG_EXEC: return "exec";
	case TAG_DELETE: return "delete";
	case TAG_KILL: return "kill";
	case TAG_MOUNT: return "mount";
	case TAG_UMOUNT: return "unmount";
	case TAG_OTHER:
	case TAG_DELETED:
	case TAG_PURGED:
	case TAG_UNKNOWN: break;
	}
	return cmd->op->method->name;
}

static void
command_done(struct command *cmd, const struct msg_step *step, const char *error)
{
	struct op *op = cmd->op;
	const struct command_result res = {.ok = error == NULL,
	    .step = step,
	    .error = error,
	    .code = step->timed_out ? STATUS_DEADLINE_EXCEEDED : STATUS_UNKNOWN};

	if (error != NULL)
		log_debug("'%s': %s", op->id, error);
	meter_add(METER_COMMAND, command_name(cmd), clock_boot_us() - cmd->began,
	    error != NULL);
	cmd->cb(op, &res);
	command_free(cmd);
}

static char *
command_error(struct command *cmd, const struct msg_step *step)
{
	char *printed = NULL, *text;
	size_t len = 0;

	if (step->state == STEP_FAILED)
		return mem_printf("%s: %s%s%s", cmd->what, step->text,
		    step->text[0] != '\0' ? ": " : "", strerror(step->error));
	if (step->timed_out)
		return mem_printf("%s: it did not end in time and was killed", cmd->what);
	if (cmd->out_fd >= 0) {
		off_t end = lseek(cmd->out_fd, 0, SEEK_CUR);

		len = end < 0			    ? 0
		    : (size_t)end < COMMAND_OUT_MAX ? (size_t)end
						    : COMMAND_OUT_MAX;
		printed = mem_zalloc(len + 1);
		if (pread(cmd->out_fd, printed, len, 0) != (ssize_t)len)
			len = 0;
	}
	text = runtime_error(cmd->what, cmd->log_path, printed, len, step->wait_status);
	free(printed);
	return text;
}

static void
command_on_out(int fd, void *arg)
{
	struct command *cmd = arg;
	struct link *lk = cmd->op->pod->link;
	uint64_t was = link_in_hand(lk, op_hand(cmd->op), cmd->op->method->name);
	AUTO_FREE char *error = NULL;

	cmd->out_fd = fd;
	error = command_error(cmd, &cmd->saved);
	command_done(cmd, &cmd->saved, error); /* frees it */
	(void)link_in_hand(lk, was, NULL);
}

static void
command_on_step(const struct msg_step *step, void *arg)
{
	struct command *cmd = arg;
	struct link *lk = cmd->op->pod->link;
	AUTO_FREE char *error = NULL;

	/* the link puts it back */
	(void)link_in_hand(lk, op_hand(cmd->op), cmd->op->method->name);
	CRASH_POINT("step.unread");
	if (step->state == STEP_DONE && WIFEXITED(step->wait_status) &&
	    WEXITSTATUS(step->wait_status) == 0) {
		command_done(cmd, step, NULL);
		return;
	}
	if (cmd->out_fd == -1 && link_fd_known(lk, cmd->out_name)) {
		/* what it printed to an earlier worker's descriptor; the step may go meanwhile */
		cmd->saved = *step;
		cmd->saved.tag = (struct msg_bytes){0};
		cmd->saved_text = mem_strdup(step->text);
		cmd->saved.text = cmd->saved_text;
		link_fd_get(lk, cmd->out_name, command_on_out, cmd);
		return;
	}
	error = command_error(cmd, step);
	command_done(cmd, step, error);
}

/* --- the beginning --------------------------------------------------------------- */

static boot_us_t
command_deadline(const struct command *cmd)
{
	uint64_t timeout = cmd->op->pod->conf.runtime_timeout_us;
	uint64_t grace = cmd->grace_us < timeout ? cmd->grace_us : timeout;
	boot_us_t by_request = cmd->op->t_recv + timeout;
	boot_us_t soonest = clock_boot_us() + grace;

	return by_request > soonest ? by_request : soonest;
}

static void
command_capture(struct command *cmd)
{
	if (cmd->own_output)
		return;
	cmd->out_fd = memfd_bounded("out", COMMAND_OUT_MAX);
	if (cmd->out_fd < 0) {
		log_warnx("no memory for a command's output: %s", strerror(-cmd->out_fd));
		cmd->out_fd = -1;
		return;
	}
	link_fd_put(cmd->op->pod->link, cmd->out_name, cmd->out_fd);
	command_add_fd(cmd, cmd->out_fd, 1);
	command_add_fd(cmd, cmd->out_fd, 2);
}

void
command_run(struct command *cmd, command_cb cb)
{
	struct op *op = cmd->op;
	struct process *p = op->p != NULL ? op->p : op->c->init;
	char tag_bytes[MSG_TAG_MAX];
	const struct tag tag = {
	    .kind = cmd->kind,
	    .terminal = p != NULL && p->terminal,
	    .mounted = op->c->rootfs_mounted,
	    .container = op->c->id,
	    .exec_id = op->exec_id,
	    .bundle = op->c->bundle,
	    .stdin_path = p != NULL ? p->stdin_path : "",
	    .stdout_path = p != NULL ? p->stdout_path : "",
	    .stderr_path = p != NULL ? p->stderr_path : "",
	};
	struct msg_spawn spawn = {
	    .key = cmd->key,
	    .flags = cmd->flags,
	    .deadline = command_deadline(cmd),
	    .pid_file = (cmd->flags & SPAWN_ADOPT) != 0 ? cmd->pid_name : NULL,
	};

	cmd->cb = cb;
	cmd->began = clock_boot_us();
	if (!command_known(cmd)) {
		command_capture(cmd);
		CRASH_POINT("spawn.before");
	}
	spawn.argv = cmd->argv.v;
	spawn.fds = cmd->fds;
	spawn.fd_nums = cmd->fd_nums;
	spawn.n_fds = cmd->n_fds;
	spawn.tag.p = tag_bytes;
	spawn.tag.len = tag_write(tag_bytes, &tag);
	link_spawn(op->pod->link, &spawn, command_on_step, cmd);
	CRASH_POINT("spawn.after");
}

void
command_run_mounts(
    struct op *op, unsigned step, enum tag_kind kind, int orders, command_cb cb)
{
	struct command *cmd = command_new(
	    op, step, kind, kind == TAG_UMOUNT ? "unmount rootfs" : "mount rootfs");

	strv_addf(&cmd->argv, "/proc/self/fd/%u", COMMAND_EXE_NUM);
	strv_add(&cmd->argv, "--mount");
	if (orders >= 0) {
		command_add_fd(cmd, orders, 3);
		command_add_fd(cmd, op->pod->exe_fd, COMMAND_EXE_NUM);
	}
	command_run(cmd, cb);
	fd_close(&orders);
}

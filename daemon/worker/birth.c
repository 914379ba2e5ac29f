/*
 * A worker that dies while a log program makes itself ready leaves that, and
 * pipes, in the store: the next one opens all anew, and io_sweep() ends the first.
 */
#include "worker/birth.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/io.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"

/* What waits for a log program. */
struct birth {
	struct command *cmd;
	command_cb done;
	birth_failed_cb failed;
	int fds[3];
};

static void
birth_go(struct command *cmd, const int fds[3], command_cb done)
{
	uint32_t i;

	for (i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			command_add_fd(cmd, fds[i], i);
	}
	command_run(cmd, done);
}

static void
birth_on_ready(const char *error, void *arg)
{
	struct birth *b = arg;
	struct op *op = b->cmd->op;
	struct link *lk = op->pod->link;
	uint64_t was = link_in_hand(lk, op_hand(op), op->method->name);
	size_t i;

	if (error == NULL && op->told)
		error = "its caller was told that it came too late";
	if (error == NULL && purge_is_due(op->c))
		error = "its container was given up";
	if (error != NULL) {
		AUTO_FREE char *text =
		    mem_printf("%s: log program: %s", b->cmd->what, error);

		command_free(b->cmd);
		b->failed(op, STATUS_UNKNOWN, text);
	} else {
		birth_go(b->cmd, b->fds, b->done);
	}
	for (i = 0; i < ARRAY_LEN(b->fds); i++)
		fd_close(&b->fds[i]);
	free(b);
	(void)link_in_hand(lk, was, NULL);
}

static void
birth_wait(struct command *cmd, int fds[3], command_cb done, birth_failed_cb failed)
{
	struct birth *b = mem_zalloc(sizeof *b);
	size_t i;

	b->cmd = cmd;
	b->done = done;
	b->failed = failed;
	for (i = 0; i < ARRAY_LEN(b->fds); i++)
		b->fds[i] = steal_fd(&fds[i]);
	io_when_ready(cmd->op->p->io, birth_on_ready, b);
}

static void
birth_point(const struct process *p)
{
	if (!process_is_init(p))
		CRASH_POINT("exec.io");
	else if (p->spec != NULL)
		CRASH_POINT("restore.io");
	else
		CRASH_POINT("create.io");
}

void
birth_run(struct command *cmd, command_cb done, birth_failed_cb failed)
{
	struct op *op = cmd->op;
	struct process *p = op->p;
	struct pod *pod = op->pod;
	struct err err = ERR_INIT;
	int fds[3] = {-1, -1, -1};
	struct io_spec spec;
	size_t i;

	process_io_spec(p, &spec);
	cmd->flags = SPAWN_ADOPT | (p->terminal ? SPAWN_CONSOLE : 0u);
	cmd->own_output = !p->terminal;
	if (command_known(cmd)) {
		p->io = io_resume_birth(pod->loop, pod->link, &spec);
		birth_point(p);
		birth_go(cmd, fds, done);
		return;
	}
	if (io_open(pod->loop, pod->link, &spec, &p->io, fds, &err) < 0) {
		command_free(cmd);
		failed(op, err.code == EINVAL ? STATUS_INVALID_ARGUMENT : STATUS_UNKNOWN,
		    err.text);
		return;
	}
	birth_point(p);
	if (io_is_ready(p->io))
		birth_go(cmd, fds, done);
	else
		birth_wait(cmd, fds, done, failed);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
}

struct command_result
birth_result(struct op *op, const struct command_result *res)
{
	struct link *lk = op->pod->link;
	struct command_result r = *res;

	if (res->ok && !io_is_kept(op->p->io)) {
		link_kill(lk, res->step->key);
		r.ok = false;
		r.code = STATUS_RESOURCE_EXHAUSTED;
		r.error = "stdio: the keeper has no room for its descriptors";
	}
	return r;
}

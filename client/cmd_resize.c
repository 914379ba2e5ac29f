/*
 * podshimctl resize and close-stdin: two small things that whoever is attached
 * to a process sometimes fails to do.
 */
#include <stdlib.h>
#include <string.h>

#include "client/act.h"
#include "client/verbs.h"
#include "proto/task.pb-c.h"

/* "80x24" */
static bool
size_parse(const char *s, uint32_t *width, uint32_t *height)
{
	unsigned long w, h;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	w = strtoul(s, &end, 10);
	if (*end != 'x' || end[1] < '0' || end[1] > '9')
		return false;
	h = strtoul(end + 1, &end, 10);
	if (*end != '\0' || w < 1 || w > 65535 || h < 1 || h > 65535)
		return false;
	*width = (uint32_t)w;
	*height = (uint32_t)h;
	return true;
}

/* Does it have a terminal? One that is not in the database yet is the shim's to judge. */
static bool
has_terminal(const struct target *t)
{
	size_t i;

	for (i = 0; i < t->container->n_processes; i++)
		if (strcmp(t->container->processes[i].exec_id, t->exec_id) == 0)
			return t->container->processes[i].terminal;
	return true;
}

static int
cmd_resize(struct ctl *ctl)
{
	Containerd__Task__V2__ResizePtyRequest msg =
	    CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;
	const char *size = ctl->argv[ctl->argc - 1];
	struct target t;
	int rc;

	if (!size_parse(size, &msg.width, &msg.height))
		return ctl_misuse(
		    ctl, "'%s' is no size of a terminal (columns x lines: 80x24)", size);
	rc = target_open(ctl, ctl->argv[0], ctl->argc > 2 ? ctl->argv[1] : NULL, &t);
	if (rc == CTL_OK && !has_terminal(&t))
		rc = ctl_fail(ctl, "container '%s'%s%s has no terminal", t.container->id,
		    *t.exec_id == '\0' ? "" : " exec ", t.exec_id);
	if (rc == CTL_OK) {
		msg.id = t.container->id;
		msg.exec_id = t.exec_id;
		rc = target_call(ctl, &t, "ResizePty", &msg.base, RPC_TIMEOUT_MS);
	}
	target_close(&t);
	return rc;
}

static int
cmd_close_stdin(struct ctl *ctl)
{
	Containerd__Task__V2__CloseIORequest msg =
	    CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
	struct target t;
	int rc = target_open(ctl, ctl->argv[0], ctl->argc > 1 ? ctl->argv[1] : NULL, &t);

	if (rc == CTL_OK) {
		msg.id = t.container->id;
		msg.exec_id = t.exec_id;
		msg.stdin = true;
		rc = target_call(ctl, &t, "CloseIO", &msg.base, RPC_TIMEOUT_MS);
	}
	target_close(&t);
	return rc;
}

const struct ctl_verb verb_resize = {
    .name = "resize",
    .group = GROUP_ACT,
    .args = "CONTAINER [EXEC] WxH",
    .summary = "set the size of a process's terminal",
    .examples = "  podshimctl resize web 80x24",
    .min_args = 2,
    .max_args = 3,
    .run = cmd_resize,
};

const struct ctl_verb verb_close_stdin = {
    .name = "close-stdin",
    .group = GROUP_ACT,
    .args = "CONTAINER [EXEC]",
    .summary = "end a process's standard input",
    .text = "It sees end of file once whoever writes to its stdin has closed that, too.",
    .examples = "  podshimctl close-stdin web",
    .min_args = 1,
    .max_args = 2,
    .run = cmd_close_stdin,
};

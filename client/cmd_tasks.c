/*
 * podshimctl tasks: one line per process, init before the execs of its
 * container, as the pods' databases have it.
 */
#include <stdlib.h>

#include "client/find.h"
#include "client/process.h"
#include "client/sheet.h"
#include "client/verbs.h"

static const struct column columns[] = {
    {"NAMESPACE", "namespace", 0},
    {"POD", "pod", 0},
    {"CONTAINER", "container", 0},
    {"EXEC", "exec", 0},
    {"PID", "pid", 0},
    {"STATUS", "status", 0},
    {"EXIT", "exit_status", 0},
    {"STARTED", "started_at", 0},
    {"EXITED", "exited_at", 0},
    {"BUNDLE", "bundle", SHOW_WIDE},
    {0},
};

static void
task_row(struct sheet *s, const struct pod *pod, const struct container_info *c,
    const struct process_info *p)
{
	const char *status = process_status(c, p);

	sheet_text(s, pod->ns);
	sheet_text(s, pod->group);
	sheet_text(s, c->id);
	sheet_text(s, p == NULL ? NULL : p->exec_id);
	sheet_num(s, p == NULL || p->pid == 0 ? -1 : p->pid);
	sheet_state(s, status, term_look_of_state(status));
	sheet_num(s, process_exit_status(p));
	sheet_time(s, p == NULL ? 0 : p->started_at);
	sheet_time(s, p == NULL ? 0 : p->exited_at);
	sheet_text(s, c->bundle);
}

static void
tasks_of_pod(struct sheet *s, const struct pod *pod)
{
	const struct container_info *c;
	size_t i, j;

	for (i = 0; i < pod->n_containers; i++) {
		c = &pod->containers[i];
		if (c->n_processes == 0)
			task_row(s, pod, c, NULL);
		for (j = 0; j < c->n_processes; j++)
			task_row(s, pod, c, &c->processes[j]);
	}
}

static int
cmd_tasks(struct ctl *ctl)
{
	struct pods pods = {0};
	struct found one = {0};
	struct sheet *s;
	size_t i;
	int rc, found = CTL_OK;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl->argc == 1)
		found = find_pod(ctl, &pods, ctl->argv[0], &one);
	if (found == CTL_OK) {
		s = sheet_new(ctl, columns);
		for (i = 0; i < pods.n; i++)
			if (ctl->argc == 0 || &pods.v[i] == one.pod)
				tasks_of_pod(s, &pods.v[i]);
		sheet_print(s);
		sheet_free(s);
	}
	pods_fini(&pods);
	return found == CTL_OK ? rc : found;
}

const struct ctl_verb verb_tasks = {
    .name = "tasks",
    .group = GROUP_SEE,
    .args = "[POD]",
    .summary = "the processes in all pods or in one",
    .text = "EXEC is - for a container's init. EXIT is the exit status, 128 + the\n"
	    "signal's number for a process that a signal ended.",
    .examples = "  podshimctl tasks web\n"
		"  podshimctl tasks --exact -o jsonl | grep '\"status\":\"stopped\"'",
    .max_args = 1,
    .run = cmd_tasks,
};

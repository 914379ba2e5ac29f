/*
 * podshimctl ps: the processes of a pod's containers as a tree, from their
 * cgroups and /proc alone: containerd, keeper and worker may be dead, and the
 * bundle gone. Of a whole pod the shim's own processes are shown, too, with
 * what they are just running: a runtime command that hangs is seen here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/find.h"
#include "client/proc.h"
#include "client/sheet.h"
#include "client/verbs.h"
#include "oci/cgroup.h"

static const struct column columns[] = {
    {"CONTAINER", "container", 0},
    {"EXEC", "exec", 0},
    {"PID", "pid", 0},
    {"PPID", "ppid", SHOW_WIDE},
    {"STATE", "state", 0},
    {"WCHAN", "wchan", 0},
    {"AGE", "age_seconds", 0},
    {"CPU", "cpu_seconds", SHOW_WIDE},
    {"THREADS", "threads", SHOW_WIDE},
    {"RSS", "rss_bytes", 0},
    {"COMMAND", "command", 0},
    {0},
};

#define SHIM "(shim)" /* no id of a container */

struct ps {
	struct sheet *sheet;
	struct procs procs;
	char *done; /* of procs.v: shown, or not to be shown; '\0' as yet */
	/* the container at hand */
	const char *name;
	const struct container_info *c; /* NULL: the shim itself */
	char *member;			/* of procs.v: in it */
};

static enum look
state_look(char state)
{
	return state == 'D'				   ? LOOK_BAD
	    : state == 'Z' || state == 'T' || state == 't' ? LOOK_WARN
							   : LOOK_PLAIN;
}

static void
row(struct ps *ps, const struct proc *p, const char *exec, int depth)
{
	const char state[] = {p->state, '\0'};
	AUTO_FREE char *wchan = proc_wchan(p->pid);
	AUTO_FREE char *cmdline = proc_cmdline(p->pid);
	AUTO_FREE char *command =
	    cmdline != NULL ? mem_strdup(cmdline) : mem_printf("[%s]", p->comm);
	/* keeper and worker have long command lines that tell nothing new */
	AUTO_FREE char *shown = mem_printf("%*s%s", 2 * depth, "",
	    strncmp(p->comm, "podshim-", 8) == 0 ? p->comm : command);

	sheet_text(ps->sheet, ps->name);
	sheet_text(ps->sheet, exec);
	sheet_num(ps->sheet, p->pid);
	sheet_num(ps->sheet, p->ppid);
	sheet_state(ps->sheet, state, state_look(p->state));
	sheet_text(ps->sheet, wchan);
	sheet_span(ps->sheet, proc_age(p));
	sheet_span(ps->sheet, p->cpu_ns);
	sheet_num(ps->sheet, p->threads);
	sheet_bytes(ps->sheet, p->rss);
	sheet_text_as(ps->sheet, shown, command);
}

/* The id of the exec that began with this process; NULL: none did. */
static const char *
exec_of(const struct ps *ps, pid_t pid)
{
	size_t i;

	for (i = 0; ps->c != NULL && i < ps->c->n_processes; i++)
		if (ps->c->processes[i].pid == pid &&
		    ps->c->processes[i].state != TASK_STOPPED)
			return ps->c->processes[i].exec_id;
	return NULL;
}

static void
tree(struct ps *ps, size_t at, const char *exec, int depth)
{
	const struct proc *p = &ps->procs.v[at];
	const char *own = exec_of(ps, p->pid);
	size_t i;

	ps->done[at] = 1;
	exec = own != NULL ? own : exec;
	row(ps, p, exec, depth);
	for (i = 0; i < ps->procs.n; i++)
		if (ps->procs.v[i].ppid == p->pid && ps->member[i] && !ps->done[i])
			tree(ps, i, exec, depth + 1);
}

/* All members, those first whose parent is none. */
static void
members(struct ps *ps)
{
	const struct proc *parent;
	size_t i;

	for (i = 0; i < ps->procs.n; i++) {
		if (!ps->member[i] || ps->done[i])
			continue;
		parent = procs_find(&ps->procs, ps->procs.v[i].ppid);
		if (parent == NULL || !ps->member[parent - ps->procs.v])
			tree(ps, i, NULL, 0);
	}
}

static void
member_add(struct ps *ps, pid_t pid)
{
	const struct proc *p = procs_find(&ps->procs, pid);

	if (p != NULL)
		ps->member[p - ps->procs.v] = 1;
}

static void
container_processes(struct ps *ps, const struct container_info *c)
{
	AUTO_FREE char *found = NULL;
	AUTO_FREE pid_t *pids = NULL;
	const char *cgroup = c->cgroup;
	size_t i, n = 0;

	ps->c = c;
	ps->name = c->id;
	(void)memset(ps->member, 0, ps->procs.n);
	if (*cgroup == '\0' && c->n_processes > 0 &&
	    procs_find_recorded(&ps->procs, &c->processes[0]) != NULL &&
	    cgroup_of_pid(c->processes[0].pid, &found, NULL) == 0)
		cgroup = found;
	if (*cgroup != '\0' && cgroup_pids(cgroup, &pids, &n, NULL) < 0)
		n = 0;
	for (i = 0; i < n; i++)
		member_add(ps, pids[i]);
	for (i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid > 0 && c->processes[i].state != TASK_STOPPED &&
		    procs_find_recorded(&ps->procs, &c->processes[i]) != NULL)
			member_add(ps, c->processes[i].pid);
	members(ps);
}

/* Keeper, worker, runtime commands: what stems from the keeper and is in no container. */
static void
shim_processes(struct ps *ps, pid_t keeper)
{
	bool more = true;
	size_t i;

	ps->c = NULL;
	ps->name = SHIM;
	(void)memset(ps->member, 0, ps->procs.n);
	member_add(ps, keeper);
	while (more) {
		more = false;
		for (i = 0; i < ps->procs.n; i++) {
			const struct proc *parent =
			    procs_find(&ps->procs, ps->procs.v[i].ppid);

			if (ps->member[i] || ps->done[i] || parent == NULL ||
			    !ps->member[parent - ps->procs.v])
				continue;
			ps->member[i] = 1;
			more = true;
		}
	}
	members(ps);
}

static int
cmd_ps(struct ctl *ctl)
{
	const struct proc *keeper;
	struct ps ps = {0};
	struct pods pods = {0};
	struct found one;
	size_t i;
	int rc, found;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	found = find_any(ctl, &pods, ctl->argv[0], &one);
	if (found != CTL_OK) {
		pods_fini(&pods);
		return found;
	}
	procs_read(&ps.procs);
	ps.sheet = sheet_new(ctl, columns);
	ps.done = mem_zalloc(ps.procs.n + 1);
	ps.member = mem_zalloc(ps.procs.n + 1);
	for (i = 0; i < one.pod->n_containers; i++)
		if (one.container == NULL || one.container == &one.pod->containers[i])
			container_processes(&ps, &one.pod->containers[i]);
	keeper = procs_find_keeper(&ps.procs, one.pod);
	if (one.container == NULL && keeper != NULL)
		shim_processes(&ps, keeper->pid);
	sheet_print(ps.sheet);
	sheet_free(ps.sheet);
	procs_fini(&ps.procs);
	free(ps.done);
	free(ps.member);
	pods_fini(&pods);
	return rc;
}

const struct ctl_verb verb_ps = {
    .name = "ps",
    .group = GROUP_SEE,
    .args = "POD|CONTAINER",
    .summary = "processes as a tree, with what they wait for",
    .text =
	"From the cgroups and /proc, so it works with everything else dead. WCHAN is\n"
	"where a process sleeps in the kernel; state D there does not end by a signal.\n"
	"Of a pod the shim's own processes are shown, too: (shim).",
    .examples = "  podshimctl ps web\n"
		"  podshimctl ps web/front -o json | jq '.[] | select(.state == \"D\")'",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_ps,
};

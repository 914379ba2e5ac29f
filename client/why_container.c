/*
 * What may hold up one container: processes that do not die, somebody who keeps
 * its stdio open, somebody who uses its root file system.
 */
#include "client/why.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "client/usage.h"
#include "oci/cgroup.h"
#include "oci/mountinfo.h"

#define SHOWN_MAX 8u   /* processes, per container */
#define USERS_MS  5000 /* to look at all processes of a large host */

struct sight {
	const struct look *l;
	const struct container_info *c;
	const struct process_info *init; /* NULL: none yet */
	char *subject;
	pid_t *pids; /* in its cgroup */
	size_t n_pids;
	struct findings *out;
};

static bool
has_ended(const struct sight *s)
{
	return s->init == NULL || s->init->state == TASK_STOPPED;
}

static bool
is_in_cgroup(const struct sight *s, pid_t pid)
{
	size_t i;

	for (i = 0; i < s->n_pids; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

/* --- processes -------------------------------------------------------------------- */

/* Bit of a signal in a mask of /proc/PID/status. */
static bool
mask_has(pid_t pid, const char *key, int signo)
{
	AUTO_FREE char *mask = proc_status(pid, key);

	return mask != NULL && (strtoull(mask, NULL, 16) >> (signo - 1) & 1) != 0;
}

/* In a pid namespace of its own, 1 is deaf to signals that it has no handler for. */
static void
why_init_is_deaf(const struct sight *s, const struct proc *p)
{
	if (!s->c->own_pidns || mask_has(p->pid, "SigCgt", SIGTERM))
		return;
	finding_add(s->out, FINDING_NOTE, "init-ignores-term", s->subject,
	    "give the container an init that passes signals on, or use SIGKILL",
	    "Its init, pid %d (%s), has no handler for SIGTERM and is process 1 of its "
	    "namespace, so SIGTERM does nothing to it.",
	    (int)p->pid, p->comm);
}

/* ", held by strace (pid 12)" of a traced process, else "". */
static char *
held_by(const struct look *l, pid_t pid)
{
	AUTO_FREE char *tracer = proc_status(pid, "TracerPid");
	pid_t by = tracer == NULL ? 0 : (pid_t)strtol(tracer, NULL, 10);
	const struct proc *who = by > 0 ? procs_find(l->procs, by) : NULL;

	return by <= 0
	    ? mem_strdup("")
	    : mem_printf(", held by %s (pid %d)", who == NULL ? "?" : who->comm, (int)by);
}

/* Its memory is gone, but not it: process 1 of a namespace waits for all others of it. */
static bool
is_exiting(const struct proc *p)
{
	AUTO_FREE char *size = proc_status(p->pid, "VmSize");

	return p->state != 'Z' && size == NULL;
}

static bool
descends_from(const struct procs *procs, const struct proc *p, pid_t ancestor)
{
	size_t steps;

	for (steps = 0; p != NULL && steps < procs->n; steps++) {
		if (p->ppid == ancestor)
			return true;
		p = procs_find(procs, p->ppid);
	}
	return false;
}

/* A zombie that is traced is in no cgroup any more, but still somebody's child. */
static void
why_init_cannot_end(const struct sight *s, const struct proc *init)
{
	const struct proc *first = NULL;
	AUTO_FREE char *what = NULL;
	AUTO_FREE char *by = NULL;
	size_t i, n = 0;

	for (i = 0; i < s->l->procs->n; i++) {
		const struct proc *p = &s->l->procs->v[i];

		if (p->pid == init->pid ||
		    (!is_in_cgroup(s, p->pid) &&
			!descends_from(s->l->procs, p, init->pid)))
			continue;
		first = first == NULL ? p : first;
		n++;
	}
	if (first == NULL)
		return;
	what = look_describe(first);
	by = held_by(s->l, first->pid);
	finding_add(s->out, FINDING_BAD, "init-zombie", s->subject, NULL,
	    "Its init, pid %d (%s), has ended, but the kernel keeps it for %zu other "
	    "processes of its pid namespace; the first is %s%s.",
	    (int)init->pid, init->comm, n, what, by);
}

static void
why_init_is_zombie(const struct sight *s, const struct proc *p)
{
	const struct proc *parent = procs_find(s->l->procs, p->ppid);
	AUTO_FREE char *by = held_by(s->l, p->pid);

	if (p->threads > 1)
		finding_add(s->out, FINDING_NOTE, "init-zombie", s->subject, NULL,
		    "The first thread of its init, pid %d (%s), has ended; %u others of "
		    "it live on.",
		    (int)p->pid, p->comm, p->threads - 1);
	else
		finding_add(s->out, FINDING_BAD, "init-zombie", s->subject, NULL,
		    "Its init, pid %d (%s), has ended%s, but its parent, %s (pid %d), "
		    "has "
		    "not taken note of it.",
		    (int)p->pid, p->comm, by, parent == NULL ? "?" : parent->comm,
		    (int)p->ppid);
}

/* Frozen processes sleep in D, too: that is told once, not of each. */
static bool
why_frozen(const struct sight *s)
{
	static const char advice[] = "'podshimctl resume' lets them go";
	size_t i;

	for (i = 0; i < s->n_pids; i++) {
		AUTO_FREE char *wchan = proc_wchan(s->pids[i]);

		if (wchan != NULL &&
		    (strstr(wchan, "refrigerator") != NULL ||
			strstr(wchan, "do_freezer_trap") != NULL)) {
			finding_add(s->out, FINDING_WARNING, "frozen", s->subject, advice,
			    "Its processes are frozen (%s): none of them does anything, "
			    "and no signal but SIGKILL has an effect.",
			    task_state_name(s->c->state));
			return true;
		}
	}
	if (s->c->state != TASK_PAUSED)
		return false;
	finding_add(s->out, FINDING_WARNING, "frozen", s->subject, advice,
	    "It is paused: none of its processes does anything.");
	return true;
}

static bool
is_worth_telling(const struct sight *s, const struct proc *p)
{
	return has_ended(s) || p->state == 'D' || p->state == 'T' || p->state == 't';
}

static void
why_processes(const struct sight *s)
{
	bool frozen = why_frozen(s);
	size_t i, shown = 0;

	for (i = 0; i < s->n_pids && shown < SHOWN_MAX; i++) {
		const struct proc *p = procs_find(s->l->procs, s->pids[i]);
		AUTO_FREE char *what = NULL;
		AUTO_FREE char *by = NULL;
		bool pending;

		if (p == NULL || p->state == 'Z' || frozen || !is_worth_telling(s, p))
			continue;
		what = look_describe(p);
		by = held_by(s->l, p->pid);
		pending = mask_has(p->pid, "ShdPnd", SIGKILL) ||
		    mask_has(p->pid, "SigPnd", SIGKILL);
		shown++;
		if (p->state == 'D')
			finding_add(s->out, FINDING_BAD, "process-in-D", s->subject,
			    "it can not be killed before the kernel lets it go: look for "
			    "a disk or network file system that hangs",
			    "In its cgroup is %s%s.", what,
			    pending ? "; SIGKILL waits for it" : "");
		else
			finding_add(s->out, has_ended(s) ? FINDING_WARNING : FINDING_NOTE,
			    has_ended(s) ? "process-lives" : "process-stopped",
			    s->subject,
			    has_ended(s) ? "'podshimctl kill -s KILL --all' ends it"
					 : NULL,
			    has_ended(s)
				? "Its init has ended, but in its cgroup is still %s%s."
				: "One of its processes, %s%s, does not run.",
			    what, by);
	}
}

static void
why_init(const struct sight *s)
{
	const struct proc *p =
	    s->init == NULL ? NULL : procs_find_recorded(s->l->procs, s->init);
	bool run = pod_is_run(s->l->pod);
	AUTO_FREE char *delete =
	    run ? mem_printf("'podshimctl delete %s' takes it away", s->c->id) : NULL;

	if (s->c->state == TASK_CREATING)
		finding_add(s->out, FINDING_NOTE, "creating", s->subject, NULL,
		    "It is being created: the OCI runtime has not finished yet.");
	else if (s->c->state == TASK_CREATED)
		finding_add(s->out, FINDING_NOTE, "not-started", s->subject, delete,
		    "It has been created and waits for %s to start it.",
		    run ? "'podshimctl run'" : "containerd");
	else if (has_ended(s) && s->init != NULL)
		finding_add(s->out, FINDING_NOTE, "ended", s->subject, delete,
		    "Its init has ended with %u%s.", s->init->exit_status,
		    run ? "" : "; what is left of it goes when containerd sends Delete");
	else if (p == NULL && s->init != NULL)
		finding_add(s->out, FINDING_BAD, "init-gone", s->subject, NULL,
		    "Its init, pid %d, is recorded as running but does not exist.",
		    s->init->pid);
	else if (p != NULL && p->state == 'Z')
		why_init_is_zombie(s, p);
	else if (p != NULL && is_exiting(p))
		why_init_cannot_end(s, p);
	else if (p != NULL)
		why_init_is_deaf(s, p);
}

/* --- stdio ------------------------------------------------------------------------ */

/* "pipe:[123]" of a descriptor; "" if it is none. */
static void
fd_link(pid_t pid, const char *fd, char out[PATH_MAX])
{
	AUTO_FREE char *path = mem_printf("/proc/%d/fd/%s", (int)pid, fd);
	ssize_t n = readlink(path, out, PATH_MAX - 1);

	out[n > 0 ? n : 0] = '\0';
}

/* The first process but keeper and worker that has it open; NULL. */
static const struct proc *
holder_of(const struct look *l, const char *link)
{
	char have[PATH_MAX];
	char name[16];
	size_t i;
	int fd;

	for (i = 0; i < l->procs->n; i++) {
		const struct proc *p = &l->procs->v[i];

		if (p->pid == l->keeper || p->pid == l->worker || p->pid == getpid())
			continue;
		/* what a process was born with is what it inherited */
		for (fd = 0; fd < 64; fd++) {
			(void)snprintf(name, sizeof name, "%d", fd);
			fd_link(p->pid, name, have);
			if (have[0] == '\0' && fd > 2 && fd > 10)
				break;
			if (strcmp(have, link) == 0)
				return p;
		}
	}
	return NULL;
}

static const struct process_info *
process_of(const struct container_info *c, const char *exec_id)
{
	size_t i;

	for (i = 0; i < c->n_processes; i++)
		if (strcmp(c->processes[i].exec_id, exec_id) == 0)
			return &c->processes[i];
	return NULL;
}

/* A process has ended, and the pipe that was its output has another holder. */
static void
why_output_held(
    const struct sight *s, const struct process_info *p, const char *stream, int fd)
{
	char name[16], link[PATH_MAX];
	const struct proc *holder;

	(void)snprintf(name, sizeof name, "%d", fd);
	fd_link(s->l->keeper, name, link);
	holder = link[0] == '\0' ? NULL : holder_of(s->l, link);
	if (holder == NULL)
		return;
	AUTO_FREE char *what = look_describe(holder);

	finding_add(s->out, FINDING_WARNING, "stdio-held", s->subject,
	    "Delete waits for it as long as stdio.drain says (podshim.conf), then goes "
	    "on",
	    "%s%s has ended, but its %s is held open by %s%s.",
	    *p->exec_id == '\0' ? "Init" : "Exec ", p->exec_id, stream, what,
	    is_in_cgroup(s, holder->pid) ? ", which it left behind" : "");
}

/* Nobody reads what a process writes: once all buffers are full, it hangs. */
static void
why_output_full(
    const struct sight *s, const struct process_info *p, const char *stream, int fd)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/fd/%d", (int)s->l->keeper, fd);
	AUTO_CLOSE int fifo = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct pollfd pfd = {.fd = fifo, .events = POLLOUT};
	struct stat st;
	int unread = 0;

	if (fifo == -1 || fstat(fifo, &st) == -1 || !S_ISFIFO(st.st_mode) ||
	    poll(&pfd, 1, 0) != 0 || ioctl(fifo, FIONREAD, &unread) == -1)
		return;
	finding_add(s->out, FINDING_WARNING, "output-unread", s->subject,
	    "whoever attached to it (containerd, a log collector) does not read",
	    "Nobody reads the %s of %s%s (%d bytes of it wait): it hangs when it writes "
	    "more.",
	    stream, *p->exec_id == '\0' ? "its init" : "exec ", p->exec_id, unread);
}

/* io/<container>/<exec or ->/<stream>.<slot> */
static void
why_stdio(const struct sight *s)
{
	AUTO_FREE char *prefix = mem_printf("io/%s/", s->c->id);
	size_t i;

	for (i = 0; s->l->keeper != 0 && i < s->l->n_fds; i++) {
		const struct look_fd *f = &s->l->fds[i];
		const char *exec, *slash, *slot;
		const struct process_info *p;
		AUTO_FREE char *exec_id = NULL;

		if (strncmp(f->name, prefix, strlen(prefix)) != 0)
			continue;
		exec = f->name + strlen(prefix);
		slash = strchr(exec, '/');
		if (slash == NULL)
			continue;
		exec_id = mem_printf("%.*s", (int)(slash - exec), exec);
		p = process_of(s->c, strcmp(exec_id, "-") == 0 ? "" : exec_id);
		slot = slash + 1;
		if (p == NULL)
			continue;
		if (strcmp(slot, "out.src") == 0 || strcmp(slot, "err.src") == 0) {
			if (p->state == TASK_STOPPED)
				why_output_held(
				    s, p, *slot == 'o' ? "stdout" : "stderr", f->fd);
		} else if (strcmp(slot, "out.keep") == 0 ||
		    strcmp(slot, "err.keep") == 0) {
			if (p->state != TASK_STOPPED)
				why_output_full(
				    s, p, *slot == 'o' ? "stdout" : "stderr", f->fd);
		}
	}
}

/* --- root file system ------------------------------------------------------------- */

struct mount_search {
	const char *target;
	bool found;
};

static void
on_mount(const struct mountinfo *m, void *arg)
{
	struct mount_search *search = arg;

	search->found = search->found || strcmp(m->target, search->target) == 0;
}

/* Does a process stand in that file system: its root, directory, or an open file? */
static bool
uses_device(pid_t pid, dev_t dev)
{
	static const char *const links[] = {"root", "cwd", "exe", "fd/0", "fd/1", "fd/2",
	    "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "fd/8", "fd/9", "fd/10", "fd/11",
	    "fd/12", "fd/13", "fd/14", "fd/15"};
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_LEN(links); i++) {
		AUTO_FREE char *path = mem_printf("/proc/%d/%s", (int)pid, links[i]);

		if (stat(path, &st) == 0 && st.st_dev == dev)
			return true;
	}
	return false;
}

struct user_search {
	const struct procs *procs;
	const char *root, *bundle;
};

/*
 * In a child: the root, and any directory of a process's, may be where nobody answers. A
 * 0 comes before the pids: the root has answered.
 */
static void
look_for_users(int out, const void *arg)
{
	const struct user_search *s = arg;
	size_t i, shown = 0;
	struct stat st, up;
	pid_t pid = 0;

	if (stat(s->root, &st) == -1 || stat(s->bundle, &up) == -1 ||
	    st.st_dev == up.st_dev)
		return;
	(void)!write(out, &pid, sizeof pid);
	for (i = 0; i < s->procs->n && shown < SHOWN_MAX; i++) {
		pid = s->procs->v[i].pid;
		if (!uses_device(pid, st.st_dev))
			continue;
		(void)!write(out, &pid, sizeof pid);
		shown++;
	}
}

static void
why_rootfs(const struct sight *s)
{
	AUTO_FREE char *root = mem_printf("%s/rootfs", s->c->bundle);
	struct mount_search search = {.target = root};
	struct user_search users = {
	    .procs = s->l->procs, .root = root, .bundle = s->c->bundle};
	pid_t pids[1 + SHOWN_MAX];
	ssize_t len;
	size_t i;

	if (!has_ended(s) || !s->c->rootfs_mounted ||
	    mountinfo_each(on_mount, &search, NULL) < 0 || !search.found)
		return;
	len = proc_in_child(look_for_users, &users, USERS_MS, (char *)pids, sizeof pids);
	if (len == -ETIMEDOUT)
		finding_add(s->out, FINDING_BAD, "rootfs-hangs", s->subject,
		    "whoever serves it is to be looked for: a disk, a network, a process",
		    "Its root file system '%s' does not answer: what unmounts it may "
		    "hang, too.",
		    root);
	for (i = 1; len > 0 && i < (size_t)len / sizeof *pids; i++) {
		AUTO_FREE char *what = look_describe(procs_find(s->l->procs, pids[i]));

		finding_add(s->out, FINDING_WARNING, "rootfs-busy", s->subject,
		    "it cannot be unmounted before that process leaves it",
		    "Its root file system '%s' is in use by %s.", root, what);
	}
}

/* --- memory ----------------------------------------------------------------------- */

/* By the kernel's own count, while there is one: the worker may not have seen it yet. */
static void
why_oom(const struct sight *s)
{
	unsigned long long n = s->c->oom_seen;
	struct usage usage;

	if (usage_read(s->c, &usage) && usage.oom_kills > (int64_t)n)
		n = (unsigned long long)usage.oom_kills;
	if (n > 0)
		finding_add(s->out, FINDING_NOTE, "oom", s->subject,
		    "give it more memory, or look at what uses it: 'podshimctl stats'",
		    "The kernel has killed %llu of its processes for want of memory.", n);
}

void
why_container(const struct look *l, const struct container_info *c, struct findings *out)
{
	struct sight s = {.l = l, .c = c, .out = out};

	s.init = process_of(c, "");
	s.subject = mem_printf("%s/%s/%s", l->pod->ns, l->pod->group, c->id);
	if (c->cgroup != NULL && *c->cgroup != '\0')
		(void)cgroup_pids(c->cgroup, &s.pids, &s.n_pids, NULL);
	why_init(&s);
	why_processes(&s);
	why_stdio(&s);
	why_rootfs(&s);
	why_oom(&s);
	free(s.pids);
	free(s.subject);
}

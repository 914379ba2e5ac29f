/*
 * The reaper. P_ALL with WNOWAIT shows the first zombie again and again, so
 * each is reaped as soon as it was looked at: the look is for the start time,
 * which a pid alone does not give (pids are used again).
 */
#include "keeper/reaper.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "keeper/limits.h"
#include "keeper/spare.h"

struct reaper {
	struct idmap by_pid;
	int sigfd;
	struct event *ev;
	void (*on_signal)(int signo, void *arg);
	void *arg;
	/* strangers' exits: a ring, only while somebody needs it */
	unsigned remember;
	struct death *ring;
	size_t n_ring; /* ever written */
};

/* --- /proc ----------------------------------------------------------------- */

int
small_read(int dir_fd, const char *path, char *buf, size_t cap)
{
	int fd = spare_openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n;

	if (fd == -1)
		return -errno;
	do
		n = read(fd, buf, cap - 1);
	while (n == -1 && errno == EINTR);
	fd_close(&fd);
	spare_fill();
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

int
proc_read(pid_t pid, const char *file, char *buf, size_t cap)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
	return small_read(AT_FDCWD, path, buf, cap);
}

int
proc_stat_read(pid_t pid, struct proc_stat *out)
{
	char buf[1024], *p;
	int field, rc = proc_read(pid, "stat", buf, sizeof buf);

	if (rc < 0)
		return rc;
	/* the name may hold blanks and brackets: the last one ends it */
	p = strrchr(buf, ')');
	if (p == NULL || p[1] != ' ' || p[2] == '\0')
		return -EINVAL;
	out->state = p[2];
	out->ppid = (pid_t)strtol(p + 3, &p, 10);
	for (field = 5; field < 22; field++) { /* ends in front of field 22 */
		p = strchr(p + 1, ' ');
		if (p == NULL)
			return -EINVAL;
	}
	out->start = strtoull(p + 1, NULL, 10);
	return 0;
}

/* --- strangers ------------------------------------------------------------- */

int
reaper_remember_begin(struct reaper *rp)
{
	if (rp->remember == 0) {
		/* untouched pages of it cost nothing */
		rp->ring = calloc(LIMIT_UNKNOWN_EXITS, sizeof *rp->ring);
		if (rp->ring == NULL)
			return -ENOMEM;
		rp->n_ring = 0;
	}
	rp->remember++;
	return 0;
}

void
reaper_remember_end(struct reaper *rp)
{
	if (--rp->remember > 0)
		return;
	free(rp->ring);
	rp->ring = NULL;
}

bool
reaper_recall(const struct reaper *rp, pid_t pid, uint64_t start, struct death *out)
{
	size_t i, n = rp->n_ring < LIMIT_UNKNOWN_EXITS ? rp->n_ring : LIMIT_UNKNOWN_EXITS;

	for (i = 1; i <= n; i++) {
		const struct death *d = &rp->ring[(rp->n_ring - i) % LIMIT_UNKNOWN_EXITS];

		if (d->pid == pid && d->start >= start) {
			*out = *d;
			return true;
		}
	}
	return false;
}

/* --- reaping --------------------------------------------------------------- */

void
reaper_watch(struct reaper *rp, struct reap_node *node, pid_t pid,
    void (*cb)(const struct death *death, void *arg), void *arg)
{
	node->cb = cb;
	node->arg = arg;
	node->on = true;
	idmap_add(&rp->by_pid, &node->by_pid, (uint64_t)pid);
}

void
reaper_forget(struct reaper *rp, struct reap_node *node)
{
	if (!node->on)
		return;
	node->on = false;
	idmap_del(&rp->by_pid, &node->by_pid);
}

/* wait4's status from what waitid says. */
static int
status_of(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void
reap_one(struct reaper *rp, const siginfo_t *si)
{
	struct death d = {.pid = si->si_pid,
	    .status = status_of(si),
	    .t_boot = clock_boot_us(),
	    .t_real_ns = clock_real_ns()};
	struct idnode *node = idmap_get(&rp->by_pid, (uint64_t)d.pid);
	siginfo_t reaped;

	if (node == NULL && rp->remember > 0) {
		struct proc_stat st;

		/* not to be read for want of a descriptor: it counts as young */
		d.start = proc_stat_read(d.pid, &st) == 0 ? st.start : clock_boot_ticks();
	}
	(void)waitid(P_PID, (id_t)d.pid, &reaped, WEXITED | WNOHANG);
	if (node != NULL) {
		struct reap_node *child = container_of(node, struct reap_node, by_pid);

		reaper_forget(rp, child);
		child->cb(&d, child->arg);
	} else if (rp->remember > 0) {
		rp->ring[rp->n_ring++ % LIMIT_UNKNOWN_EXITS] = d;
	}
}

void
reaper_run(struct reaper *rp)
{
	for (;;) {
		siginfo_t si = {0};

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == -1) {
			if (errno == EINTR)
				continue;
			return; /* ECHILD: nobody left */
		}
		if (si.si_pid == 0)
			return;
		reap_one(rp, &si);
	}
}

static void
reaper_on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct reaper *rp = arg;
	struct signalfd_siginfo si;
	bool child = false;

	(void)what;
	while (read(fd, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			child = true;
		else
			rp->on_signal((int)si.ssi_signo, rp->arg);
	}
	if (child)
		reaper_run(rp);
}

struct reaper *
reaper_new(struct loop *loop, void (*on_signal)(int signo, void *arg), void *arg)
{
	struct reaper *rp = calloc(1, sizeof *rp);
	sigset_t set;

	if (rp == NULL)
		return NULL;
	rp->on_signal = on_signal;
	rp->arg = arg;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	rp->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (rp->sigfd != -1)
		rp->ev = event_new(loop_base(loop), rp->sigfd, EV_READ | EV_PERSIST,
		    reaper_on_signal, rp);
	if (rp->ev == NULL || event_add(rp->ev, NULL) == -1) {
		reaper_free(rp);
		return NULL;
	}
	return rp;
}

void
reaper_free(struct reaper *rp)
{
	if (rp == NULL)
		return;
	if (rp->ev != NULL)
		event_free(rp->ev);
	fd_close(&rp->sigfd);
	free(rp->ring);
	free(rp);
}

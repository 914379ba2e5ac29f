/*
 * The walk through the crash points: for each point a pod of its own, in which
 * one container of each kind lives through everything the harness knows, a
 * restart of the worker on request, and the pod's end; the point is armed from
 * its first moment on. Twice per point: with SIGKILL and with abort().
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "events.h"
#include "ipc/admin.h"
#include "life.h"
#include "pod.h"
#include "points.h"
#include "rpc.h"

#define WALK_PODS 4

static size_t next_walk;
static unsigned failed, unreached;

/* admin_restart() blocks: in a process of its own. */
bool
pod_restart(struct pod *pod, int exe_fd, const char *what)
{
	int wstatus = -1, pidfd;
	pid_t pid = fork();

	if (pid == 0) {
		AUTO_FREE char *text = NULL;
		struct err err = ERR_INIT;
		int rc = exe_fd == -1
		    ? admin_restart(pod->dirfd, 60000, &text, &err)
		    : admin_upgrade(pod->dirfd, exe_fd, 60000, &text, &err);

		if (rc < 0)
			say("%s: %s: %s", pod->group, what, err.text);
		_exit(rc < 0);
	}
	pidfd = pidfd_open_(pid);
	while (waitpid(pid, &wstatus, WNOHANG) == 0)
		(void)co_wait_fd(pidfd, EV_READ, 25000);
	fd_close(&pidfd);
	return wstatus == 0;
}

static void
kill_once(struct pod *pod)
{
	pid_t pid = pod_worker_pid(pod);
	int fd = pid > 0 ? pidfd_open_(pid) : -1;

	if (fd != -1)
		(void)pidfd_kill(fd, SIGKILL);
	fd_close(&fd);
}

static void
script(struct pod *pod, int point)
{
	struct co_group lives = {0};
	unsigned i;

	for (i = 0; i < KIND_N; i++)
		co_group_spawn(&lives, ctr_life, pod);
	co_group_wait(&lives);
	if (points_hit(point))
		return;
	co_group_spawn(&lives, rare_lives, pod);
	co_group_wait(&lives);
	if (points_hit(point))
		return;
	/* a point of the worker's leaving or of its start? */
	if (!pod_restart(pod, -1, "restart") && !points_hit(point))
		fault(FAULT_OTHER, "%s: restart failed", pod->group);
	if (!points_hit(point))
		kill_once(pod);
	co_group_spawn(&lives, ctr_life, pod);
	co_group_wait(&lives);
}

static bool
walk_one(const char *name, bool abrt)
{
	unsigned long before = faults_total();
	struct pod *pod = pod_new();
	struct ctr *anchor = ctr_new(pod, pod->group);
	struct proc *init = mem_zalloc(sizeof *init);
	uint64_t t = now_us();
	AUTO_CLOSE int point = -1;
	bool hit = false;

	pod->thorough = true;
	pod->runc = strncmp(name, "oom.", 4) == 0; /* needs a real cgroup */
	pod->ending = true;
	proc_plan(init, anchor, "", KIND_SIG);
	ctr_write_config(anchor, init);
	if (!ctr_start_shim(anchor) || !pod_attach(pod))
		goto out;
	point = points_arm(pod->dirfd, name, 1, abrt);
	anchor->conn = conn_open(pod->addr, anchor->id);
	if (anchor->conn == NULL || !ctr_create(anchor, init) || !proc_start(init))
		goto out;
	script(pod, point);
	proc_finish(init);
	proc_delete(init);
	(void)evlog_expect(anchor->events, EV_DELETE, "");
	ctr_check_calls(anchor, true);
	conn_may_end(anchor->conn);
	conn_may_end(pod->probe);
	(void)expect(proc_begin(init, "Shutdown"), 0, anchor->id);
	pod->gone = true;
	conn_close(anchor->conn);
	anchor->conn = NULL;
	conn_close(pod->probe);
	pod->probe = NULL;
	pod_expect_gone(pod);
	hit = points_hit(point);
	tally.kills += hit;
	tally.kills_point += hit;
out:
	proc_fini(init);
	free(init);
	ctr_free(anchor);
	if (!hit)
		unreached++;
	if (!hit || faults_total() != before || opt.verbose)
		say("%s %s%s %.2f s%s", hit ? "ok" : "NOT REACHED", name,
		    abrt ? ":abrt" : "", (double)(now_us() - t) / 1e6,
		    faults_total() != before ? " (with faults in this time)" : "");
	pod_free(pod);
	return hit && faults_total() == before;
}

static void
walker(void *arg)
{
	(void)arg;
	while (next_walk < points_count() * 2 && !interrupted) {
		size_t i = next_walk++;

		if (strcmp(opt.only_point, "all") != 0 &&
		    strcmp(opt.only_point, points_name(i / 2)) != 0)
			continue;
		if (!walk_one(points_name(i / 2), i % 2 != 0))
			failed++;
	}
}

unsigned
points_walk(void)
{
	struct co_group group = {0};
	unsigned i;

	for (i = 0; i < WALK_PODS; i++)
		co_group_spawn(&group, walker, NULL);
	co_group_wait(&group);
	say("%zu points walked through twice: %u failed, %u of these not reached",
	    strcmp(opt.only_point, "all") == 0 ? points_count() : 1, failed, unreached);
	return failed;
}

/*
 * Writing a dump.
 *
 * The worker shares the file's description, which is in append mode, so that
 * each line stays whole and nobody waits for anybody's turn. A worker whose
 * loop turns late adds its part late: to a file that is finished, or gone.
 */
#include "keeper/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "ipc/msg.h"
#include "keeper/admin_server.h"
#include "keeper/blame.h"
#include "keeper/fdstore.h"
#include "keeper/hold.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/reaper.h"
#include "keeper/request.h"
#include "keeper/spawn.h"
#include "keeper/step.h"

#define DUMP_STATUS_MAX (LIMIT_MARK + 4096)

extern const char __executable_start;

struct dump_asker {
	dump_done_cb cb;
	void *arg;
};

struct dump {
	struct pod *pod;
	int fd; /* -1: none under way */
	char path[4096];
	uint32_t seq;
	bool want_frames, want_told;
	struct loop_timer limit;
	/* the helper that looks from outside; 0: none */
	pid_t helper;
	int fail_fd;
	struct reap_node reap;
	struct dump_asker askers[LIMIT_ADMIN_CONNS];
	size_t n_askers;
};

/* --- what the keeper knows -------------------------------------------------- */

static void
dump_line(const char *line, void *arg)
{
	(void)dprintf(*(int *)arg, "%s\n", line);
}

static void
dump_stored(const char *name, int fd, void *arg)
{
	(void)dprintf(*(int *)arg, "stored %s = %d\n", name, fd);
}

static void
dump_trace(const char *line, void *arg)
{
	(void)dprintf(*(int *)arg, "trace %s\n", line);
}

static void
dump_timer(int64_t in_us, uint64_t code, void *arg)
{
	(void)dprintf(*(int *)arg,
	    "timer in %.3f s runs %#" PRIx64 " (base + %#" PRIx64 ")\n",
	    (double)in_us / (double)US_PER_S, code,
	    code - (uint64_t)(uintptr_t)&__executable_start);
}

/* Our children, all of them: also those that no step knows. */
static void
dump_children(int fd)
{
	char path[64], list[16384], comm[64], wchan[64], *p = list, *end;
	struct proc_stat st;
	pid_t pid;

	(void)snprintf(path, sizeof path, "task/%ld/children", (long)getpid());
	if (proc_read(getpid(), path, list, sizeof list) < 0)
		return; /* not every kernel has it */
	for (; (pid = (pid_t)strtol(p, &end, 10)) > 0; p = end) {
		if (proc_stat_read(pid, &st) < 0)
			continue;
		if (proc_read(pid, "comm", comm, sizeof comm) < 0)
			comm[0] = '\0';
		if (proc_read(pid, "wchan", wchan, sizeof wchan) < 0)
			wchan[0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		(void)dprintf(fd, "child pid=%ld state=%c wchan=%s comm='%s'\n",
		    (long)pid, st.state, wchan, comm);
	}
}

static void
dump_keeper(struct dump *dump)
{
	struct pod *pod = dump->pod;
	char status[DUMP_STATUS_MAX], when[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	admin_status_text(pod, status, sizeof status);
	(void)dprintf(dump->fd, "# podshim dump, %s\n\n# keeper\n%s", when, status);
	record_exe(dump->fd, "keeper_exe", "/proc/self/exe");
	requests_each(pod->requests, dump_line, &dump->fd);
	steps_each(pod->steps, dump_line, &dump->fd);
	dump_children(dump->fd);
	fdstore_each(pod->fds, dump_stored, &dump->fd);
	loop_each_timer(pod->loop, dump_timer, &dump->fd);
	(void)dprintf(dump->fd, "\n# what the worker did last\n");
	blame_each_trace(pod->blame, dump_trace, &dump->fd);
}

/* --- the end ----------------------------------------------------------------- */

static void
dump_finish(struct dump *dump)
{
	size_t i, n = dump->n_askers;

	loop_timer_stop(dump->pod->loop, &dump->limit);
	dump->want_frames = dump->want_told = false;
	dump->n_askers = 0;
	fd_close(&dump->fd);
	records_prune(dump->pod->dir_fd, "dump-");
	log_info("dump: %s", dump->path);
	for (i = 0; i < n; i++)
		dump->askers[i].cb(0, dump->path, dump->askers[i].arg);
}

/* --- a look from outside ------------------------------------------------------ */

static void
dump_on_looked(const struct death *death, void *arg)
{
	struct dump *dump = arg;
	struct spawn_failure failure;

	dump->helper = 0;
	if (spawn_failed(dump->fail_fd, &failure))
		(void)dprintf(dump->fd, "no look from outside: %s: %s\n", failure.what,
		    strerror(failure.error));
	else if (death->status != 0)
		(void)dprintf(dump->fd, "the look from outside ended with %#x\n",
		    (unsigned)death->status);
	fd_close(&dump->fail_fd);
	dump_finish(dump);
}

/* True if it is under way: dump_on_looked() goes on. */
static bool
dump_look(struct dump *dump, pid_t worker)
{
	static const uint32_t out = STDOUT_FILENO;
	char pid[16], exe[64];
	const char *argv[] = {"podshim-worker", "--stack", pid, NULL};
	AUTO_CLOSE int exe_fd = -1;
	struct spawn sp = {.argv = (char *const *)(uintptr_t)argv,
	    .fds = &dump->fd,
	    .fd_nums = &out,
	    .n_fds = 1,
	    .die_with_us = true};

	(void)snprintf(pid, sizeof pid, "%ld", (long)worker);
	(void)snprintf(exe, sizeof exe, "/proc/%ld/exe", (long)worker);
	exe_fd = sp.exe_fd = open(exe, O_RDONLY | O_CLOEXEC);
	dump->helper = exe_fd == -1 ? -errno : spawn_fork(&sp, &dump->fail_fd);
	if (dump->helper < 0) {
		(void)dprintf(
		    dump->fd, "no look from outside: %s\n", strerror(-dump->helper));
		dump->helper = 0;
		return false;
	}
	reaper_watch(dump->pod->reaper, &dump->reap, dump->helper, dump_on_looked, dump);
	loop_timer_set(dump->pod->loop, &dump->limit, LIMIT_LOOK_US);
	return true;
}

/* All has been asked for; what has not come does not. */
static void
dump_close(struct dump *dump)
{
	struct life_status ls;

	life_status(dump->pod->life, &ls);
	if (dump->want_told)
		(void)dprintf(dump->fd, "\n# the worker's loop does not turn\n");
	if (dump->want_frames && ls.pid != 0) {
		(void)dprintf(dump->fd, "\n# where the worker is, seen from outside\n");
		dump->want_frames = false;
		if (dump_look(dump, ls.pid))
			return;
	}
	dump_finish(dump);
}

static void
dump_on_limit(void *arg)
{
	struct dump *dump = arg;

	if (dump->helper != 0)
		(void)kill(dump->helper, SIGKILL); /* dump_on_looked() finishes */
	else
		dump_close(dump);
}

/* --- the worker's part -------------------------------------------------------- */

static void
dump_check(struct dump *dump)
{
	if (dump->fd != -1 && dump->helper == 0 && !dump->want_frames && !dump->want_told)
		dump_finish(dump);
}

static void
dump_write_frames(struct dump *dump)
{
	(void)dprintf(dump->fd, "\n# where the worker was\n");
	blame_write_frames(dump->pod->blame, dump->fd);
}

void
dump_on_frames(struct pod *pod, uint64_t seq)
{
	struct dump *dump = pod->dump;

	if (seq == 0 && dump->fd == -1) { /* somebody wants a dump by way of the worker */
		dump_begin(pod, NULL, NULL);
		return;
	}
	if (dump->fd == -1 || !dump->want_frames)
		return;
	dump->want_frames = false;
	dump_write_frames(dump);
	dump_check(dump);
}

void
dump_on_told(struct pod *pod)
{
	pod->dump->want_told = false;
	dump_check(pod->dump);
}

static void
dump_ask_worker(struct dump *dump)
{
	struct msg_head tell = {.type = MSG_TELL};
	union sigval seq = {.sival_int = (int)(++dump->seq & INT32_MAX)};
	struct pod *pod = dump->pod;
	struct life_status ls;
	char halt[2], link[64];

	life_status(pod->life, &ls);
	if (ls.pid == 0)
		return;
	(void)snprintf(link, sizeof link, "/proc/%ld/exe", (long)ls.pid);
	record_exe(dump->fd, "exe", link);
	blame_halt(pod->blame, halt, sizeof halt);
	if (ls.held[0] != '\0' && halt[0] != '\0')
		dump_write_frames(dump); /* of before it stopped */
	dump->want_frames = true;	 /* in one way or the other */
	/* one that is held answers when it goes on, when nobody asks any more */
	if (ls.held[0] != '\0' || !blame_answers(pod->blame))
		return;
	(void)sigqueue(ls.pid, SIGUSR1, seq);
	dump->want_told = true;
	life_send(pod->life, &tell, NULL, &dump->fd, 1);
}

/* --- the beginning ------------------------------------------------------------ */

static int
dump_open(struct dump *dump)
{
	struct pod *pod = dump->pod;
	char name[64];

	(void)snprintf(name, sizeof name, "dump-%" PRIu64 ".txt", clock_boot_us());
	dump->fd = openat(pod->dir_fd, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dump->fd == -1)
		return -errno;
	(void)snprintf(dump->path, sizeof dump->path, "%s/%s", pod->args->dir, name);
	return 0;
}

void
dump_begin(struct pod *pod, dump_done_cb cb, void *arg)
{
	struct dump *dump = pod->dump;
	bool under_way = dump->fd != -1;
	int rc = under_way ? 0 : dump_open(dump);

	if (rc == 0 && cb != NULL && dump->n_askers == LIMIT_ADMIN_CONNS)
		rc = -EAGAIN;
	if (rc < 0) {
		log_errx("dump: %s", strerror(-rc));
		if (cb != NULL)
			cb(-rc, strerror(-rc), arg);
		return;
	}
	if (cb != NULL)
		dump->askers[dump->n_askers++] = (struct dump_asker){cb, arg};
	if (under_way)
		return;
	dump_keeper(dump);
	dump_ask_worker(dump);
	if (dump->want_told)
		loop_timer_set(pod->loop, &dump->limit, LIMIT_DUMP_US);
	else
		dump_close(dump);
}

void
dump_forget_asker(struct pod *pod, const void *arg)
{
	struct dump *dump = pod->dump;
	size_t i, kept = 0;

	for (i = 0; dump != NULL && i < dump->n_askers; i++)
		if (dump->askers[i].arg != arg)
			dump->askers[kept++] = dump->askers[i];
	if (dump != NULL)
		dump->n_askers = kept;
}

struct dump *
dump_new(struct pod *pod)
{
	struct dump *dump = calloc(1, sizeof *dump);

	if (dump == NULL)
		return NULL;
	dump->pod = pod;
	dump->fd = dump->fail_fd = -1;
	loop_timer_init(&dump->limit, dump_on_limit, dump);
	return dump;
}

void
dump_free(struct dump *dump)
{
	if (dump == NULL)
		return;
	reaper_forget(dump->pod->reaper, &dump->reap);
	loop_timer_stop(dump->pod->loop, &dump->limit);
	fd_close(&dump->fd);
	fd_close(&dump->fail_fd);
	free(dump);
}

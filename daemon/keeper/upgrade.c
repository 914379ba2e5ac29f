/*
 * The check before an upgrade: a child like any other, with a limit in time.
 * It is told which protocols we speak, and looks at the pod's state; what it
 * says on standard error is what the one who asked is told.
 */
#include "keeper/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "ipc/msg.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/reaper.h"
#include "keeper/spawn.h"

struct upgrade {
	struct pod *pod;
	int exe_fd; /* -1: none under way */
	int fail_fd;
	int said_fd; /* its standard error */
	pid_t pid;
	struct reap_node reap;
	struct loop_timer limit;
	life_done_cb done; /* NULL: the one who asked is gone */
	void *arg;
};

static void
upgrade_tell(struct upgrade *up, int rc, const char *text)
{
	life_done_cb done = up->done;

	up->done = NULL;
	if (done != NULL)
		done(rc, text, up->arg);
}

/* The first line that the check said, or "". */
static void
upgrade_said(struct upgrade *up, char *out, size_t cap)
{
	off_t end = up->said_fd == -1 ? 0 : lseek(up->said_fd, 0, SEEK_CUR);
	size_t want = end > 0 && (uintmax_t)end < cap ? (size_t)end : cap - 1, i;
	ssize_t n = end <= 0 ? 0 : pread(up->said_fd, out, want, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] < ' ' || out[i] > '~')
			out[i] = '?';
}

static void
upgrade_on_checked(const struct death *death, void *arg)
{
	struct upgrade *up = arg;
	struct spawn_failure failure;
	struct err err = ERR_INIT;
	int exe_fd = steal_fd(&up->exe_fd);
	char text[256], said[200];
	int rc = 0;

	loop_timer_stop(up->pod->loop, &up->limit);
	if (spawn_failed(up->fail_fd, &failure))
		rc = err_set(&err, failure.error, "%s of the new worker", failure.what);
	upgrade_said(up, said, sizeof said);
	fd_close(&up->said_fd);
	if (rc == 0 && death->status != 0)
		rc = err_setx(&err, ENOEXEC,
		    "the new worker cannot work here: %s%sits check ended with %s %d",
		    said, said[0] == '\0' ? "" : "; ",
		    WIFSIGNALED(death->status) ? "signal" : "status",
		    WIFSIGNALED(death->status) ? WTERMSIG(death->status)
					       : WEXITSTATUS(death->status));
	fd_close(&up->fail_fd);
	if (rc == 0 && up->done == NULL)
		rc = err_setx(&err, ECANCELED, "the one who asked is gone");
	if (rc == 0) {
		life_done_cb done = up->done;

		up->done = NULL;
		rc = life_replace(up->pod->life, exe_fd, done, up->arg, &err);
		if (rc == 0)
			return;
		up->done = done;
	}
	fd_close(&exe_fd);
	(void)snprintf(text, sizeof text, "%.240s", err.text);
	upgrade_tell(up, rc, text);
}

static void
upgrade_on_limit(void *arg)
{
	struct upgrade *up = arg;

	(void)kill(up->pid, SIGKILL);
}

int
upgrade_begin(struct pod *pod, int exe_fd, life_done_cb done, void *arg, struct err *err)
{
	static const uint32_t stderr_num = STDERR_FILENO;
	char proto[32];
	const char *argv[] = {
	    "podshim-worker", "--check", pod->args->dir, "--proto", proto, NULL};
	struct upgrade *up = pod->upgrade;
	struct spawn sp = {.exe_fd = exe_fd,
	    .argv = (char *const *)(uintptr_t)argv,
	    .fds = &up->said_fd,
	    .fd_nums = &stderr_num,
	    .die_with_us = true};

	if (up->exe_fd != -1)
		return err_setx(err, EBUSY, "an upgrade is under way");
	(void)snprintf(proto, sizeof proto, "%u-%u", IPC_PROTO_MIN, IPC_PROTO_MAX);
	up->said_fd = memfd_bounded("podshim-check", 4096);
	sp.n_fds = up->said_fd >= 0 ? 1 : 0;
	up->pid = spawn_fork(&sp, &up->fail_fd);
	if (up->pid < 0) {
		fd_close(&up->said_fd);
		return err_set(err, -up->pid, "check the new worker");
	}
	up->exe_fd = exe_fd;
	up->done = done;
	up->arg = arg;
	loop_timer_set(pod->loop, &up->limit, LIMIT_UPGRADE_US);
	reaper_watch(pod->reaper, &up->reap, up->pid, upgrade_on_checked, up);
	return 0;
}

void
upgrade_forget_asker(struct pod *pod, void *arg)
{
	if (pod->upgrade != NULL && pod->upgrade->arg == arg)
		pod->upgrade->done = NULL;
}

struct upgrade *
upgrade_new(struct pod *pod)
{
	struct upgrade *up = calloc(1, sizeof *up);

	if (up == NULL)
		return NULL;
	up->pod = pod;
	up->exe_fd = up->fail_fd = up->said_fd = -1;
	loop_timer_init(&up->limit, upgrade_on_limit, up);
	return up;
}

void
upgrade_free(struct upgrade *up)
{
	if (up == NULL)
		return;
	reaper_forget(up->pod->reaper, &up->reap);
	loop_timer_stop(up->pod->loop, &up->limit);
	fd_close(&up->exe_fd);
	fd_close(&up->fail_fd);
	fd_close(&up->said_fd);
	free(up);
}

/*
 * The keeper's one object: built from its parts, which are told of each other
 * here and nowhere else.
 */
#include "keeper/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/admin_server.h"
#include "keeper/blame.h"
#include "keeper/conn.h"
#include "keeper/dump.h"
#include "keeper/end.h"
#include "keeper/fdstore.h"
#include "keeper/handle.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/reaper.h"
#include "keeper/request.h"
#include "keeper/spare.h"
#include "keeper/step.h"
#include "keeper/upgrade.h"

static void
pod_on_step(const struct msg_step *step, void *arg)
{
	handle_tell_step(arg, step);
}

static void
pod_on_exit(const struct msg_exit *exit, void *arg)
{
	handle_tell_exit(arg, exit);
}

static bool
pod_is_open(uint64_t n, void *arg)
{
	struct pod *pod = arg;

	return requests_known(pod->requests, n);
}

static void
pod_on_change(void *arg)
{
	pod_changed(arg);
}

static const struct steps_ops pod_steps_ops = {
    .on_step = pod_on_step,
    .on_exit = pod_on_exit,
    .is_open = pod_is_open,
    .on_change = pod_on_change,
};

static void
pod_on_signal(int signo, void *arg)
{
	struct pod *pod = arg;

	if (signo == SIGUSR1)
		dump_begin(pod, NULL, NULL);
	else
		end_on_term(pod->end, signo);
}

void
pod_changed(struct pod *pod)
{
	if (pod->end != NULL)
		end_check(pod->end);
}

/* How many descriptors the store may take. */
static size_t
fds_max(void)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) == -1 ||
	    now.rlim_cur >= LIMIT_FDS + LIMIT_FDS_RESERVE)
		return LIMIT_FDS;
	return now.rlim_cur > 2 * LIMIT_FDS_RESERVE
	    ? (size_t)now.rlim_cur - LIMIT_FDS_RESERVE
	    : LIMIT_FDS_RESERVE;
}

static int
pod_open_dir(struct pod *pod, struct err *err)
{
	pod->dir_fd =
	    open(pod->args->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pod->dir_fd == -1)
		return err_set(err, errno, "open '%s'", pod->args->dir);
	(void)snprintf(pod->dir_alias, sizeof pod->dir_alias, "/proc/%ld/fd/%d",
	    (long)getpid(), pod->dir_fd);
	return 0;
}

int
pod_init(struct pod *pod, struct loop *loop, const struct pod_args *args,
    const struct rlimit *old_nofile, struct err *err)
{
	int listen_fd = args->listen_fd, admin_fd = args->admin_fd, rc;

	*pod = (struct pod){.args = args,
	    .loop = loop,
	    .dir_fd = -1,
	    .born = clock_boot_us(),
	    .old_nofile = *old_nofile};
	spare_fill();
	rc = pod_open_dir(pod, err);
	if (rc == 0 && getrandom(pod->inst, sizeof pod->inst, 0) != sizeof pod->inst)
		rc = err_set(err, errno, "random instance id");
	if (rc == 0) {
		pod->steps_env = (struct steps_env){.loop = loop,
		    .dir_fd = pod->dir_fd,
		    .dir_alias = pod->dir_alias,
		    .nofile = &pod->old_nofile};
		pod->requests = requests_new(pod);
		pod->reaper = pod->steps_env.reaper =
		    reaper_new(loop, pod_on_signal, pod);
		pod->fds = pod->steps_env.fds = fdstore_new(fds_max());
		pod->steps = steps_new(&pod->steps_env, &pod_steps_ops, pod);
		pod->blame = blame_new(pod);
		pod->life = life_new(pod);
		pod->upgrade = upgrade_new(pod);
		pod->dump = dump_new(pod);
		pod->end = end_new(pod);
		pod->conns = conns_new(loop, listen_fd, &requests_conn_ops, pod);
		pod->admin = admin_server_new(pod, admin_fd);
		listen_fd = admin_fd = -1;
		if (pod->requests == NULL || pod->reaper == NULL || pod->fds == NULL ||
		    pod->steps == NULL || pod->blame == NULL || pod->life == NULL ||
		    pod->upgrade == NULL || pod->dump == NULL || pod->end == NULL ||
		    pod->conns == NULL || pod->admin == NULL)
			rc = err_set(err, ENOMEM, "start the keeper");
	}
	fd_close(&listen_fd);
	fd_close(&admin_fd);
	if (rc < 0)
		pod_fini(pod);
	return rc;
}

void
pod_fini(struct pod *pod)
{
	struct end *end = pod->end;

	pod->end = NULL; /* nothing below is a reason to end */
	admin_server_free(pod->admin);
	requests_free(pod->requests);
	conns_free(pod->conns);
	upgrade_free(pod->upgrade);
	dump_free(pod->dump);
	pod->dump = NULL;
	life_free(pod->life);
	blame_free(pod->blame);
	steps_free(pod->steps);
	fdstore_free(pod->fds);
	reaper_free(pod->reaper);
	end_free(end);
	free(pod->mark);
	fd_close(&pod->dir_fd);
}

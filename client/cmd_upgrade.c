/*
 * podshimctl upgrade and restart: asking keepers for a new worker. Asking
 * blocks until the new worker is ready or the old one is back, so each keeper
 * is asked by a child of ours, and a few at a time.
 *
 * All checks that protect a pod are the keeper's (upgrade.c): here is only who
 * is asked, and what people are told.
 */
#include "client/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/build.h"
#include "client/find.h"
#include "client/json.h"
#include "client/text.h"
#include "ipc/admin.h"

/* The check, the old one's leave, the new one's start, and some air: 5 + 2 + 120 s. */
#define REPLACE_TIMEOUT_MS 140000
#define JOBS_DEFAULT	   4
#define JOBS_MAX	   64

enum outcome { OUT_WAITING, OUT_RUNS, OUT_DONE, OUT_SKIPPED, OUT_FAILED };

struct job {
	struct pod *pod;
	enum outcome outcome;
	char *before; /* build */
	char *text;   /* what there is to say */
	pid_t pid;
	int fd; /* what the child says: 'y' or 'n', and text */
};

struct batch {
	struct ctl *ctl;
	struct job *jobs;
	size_t n;
	size_t ended;
	int exe_fd; /* -1: each pod's own build */
	bool all;
	size_t at_once;
};

/* --- one pod -------------------------------------------------------------- */

/* In the child. */
static void
ask_keeper(const struct pod *pod, int exe_fd, int out)
{
	int dirfd = open(pod->path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), rc;
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	if (dirfd == -1)
		rc = err_set(&err, errno, "open '%s'", pod->path);
	else if (exe_fd != -1)
		rc = admin_upgrade(dirfd, exe_fd, REPLACE_TIMEOUT_MS, &text, &err);
	else
		rc = admin_restart(dirfd, REPLACE_TIMEOUT_MS, &text, &err);
	if (rc == -ETIMEDOUT)
		rc = err_setx(&err, ETIMEDOUT,
		    "the new worker is not ready after %d s; "
		    "'podshimctl list' tells what becomes of it",
		    REPLACE_TIMEOUT_MS / 1000);
	(void)dprintf(out, "%c%s", rc == 0 ? 'y' : 'n', rc == 0 ? text : err.text);
}

static void
job_report(struct batch *b, struct job *job)
{
	static const char *const words[] = {
	    [OUT_DONE] = "", [OUT_SKIPPED] = "left alone: ", [OUT_FAILED] = "FAILED: "};
	AUTO_FREE char *line = NULL;
	AUTO_FREE char *safe = NULL;
	bool was =
	    job->outcome == OUT_DONE && job->before != NULL && *job->before != '\0';

	b->ended++;
	if (ctl_is_json(b->ctl))
		return;
	line = mem_printf("%s/%s: %s%s%s%s%s", job->pod->ns, job->pod->group,
	    words[job->outcome], job->text, was ? " (was " : "", was ? job->before : "",
	    was ? ")" : "");
	safe = text_safe(line);
	(void)fprintf(b->ctl->out, "[%zu/%zu] %s\n", b->ended, b->n, safe);
	(void)fflush(b->ctl->out);
}

static void
job_end(struct batch *b, struct job *job, enum outcome outcome, const char *text)
{
	job->outcome = outcome;
	job->text = mem_strdup(text);
	job_report(b, job);
}

/* Those that need no asking end at once. */
static void
job_begin(struct batch *b, struct job *job)
{
	int fds[2];

	job->before = build_of_pod(job->pod);
	if (job->pod->keeper == KEEPER_DEAD) {
		job_end(b, job, b->all ? OUT_SKIPPED : OUT_FAILED, "no keeper");
		return;
	}
	if (job->pod->keeper == KEEPER_UNRESPONSIVE) {
		job_end(b, job, OUT_FAILED, "the keeper does not answer");
		return;
	}
	if (b->all && b->exe_fd != -1 && build_is_same(job->pod, b->exe_fd)) {
		job_end(b, job, OUT_SKIPPED, "it runs this build");
		return;
	}
	if (pipe2(fds, O_CLOEXEC) == -1) {
		job_end(b, job, OUT_FAILED, strerror(errno));
		return;
	}
	job->pid = fork();
	if (job->pid == 0) {
		(void)close(fds[0]);
		ask_keeper(job->pod, b->exe_fd, fds[1]);
		_exit(0);
	}
	(void)close(fds[1]);
	job->fd = fds[0];
	if (job->pid == -1) {
		job_end(b, job, OUT_FAILED, strerror(errno));
		fd_close(&job->fd);
		return;
	}
	job->outcome = OUT_RUNS;
}

/* Its child says something, or is gone. */
static void
job_finish(struct batch *b, struct job *job)
{
	AUTO_FREE char *said = NULL;
	size_t len = 0;
	int status;

	if (fd_read_all(job->fd, 4096, &said, &len, NULL) < 0)
		len = 0;
	fd_close(&job->fd);
	while (waitpid(job->pid, &status, 0) == -1 && errno == EINTR)
		;
	if (len == 0)
		job_end(b, job, OUT_FAILED, "nothing was heard of it");
	else
		job_end(b, job, said[0] == 'y' ? OUT_DONE : OUT_FAILED, said + 1);
}

/* --- all of them ---------------------------------------------------------- */

static void
batch_run(struct batch *b)
{
	struct pollfd polls[64];
	struct job *of[64];
	size_t next = 0, i, n;

	for (;;) {
		n = 0;
		for (i = 0; i < next; i++) {
			if (b->jobs[i].outcome != OUT_RUNS)
				continue;
			polls[n] = (struct pollfd){.fd = b->jobs[i].fd, .events = POLLIN};
			of[n++] = &b->jobs[i];
		}
		if (n < b->at_once && n < ARRAY_LEN(polls) && next < b->n) {
			job_begin(b, &b->jobs[next++]);
			continue;
		}
		if (n == 0)
			return;
		if (poll(polls, n, -1) <= 0)
			continue;
		for (i = 0; i < n; i++)
			if (polls[i].revents != 0)
				job_finish(b, of[i]);
	}
}

static size_t
batch_count(const struct batch *b, enum outcome outcome)
{
	size_t i, n = 0;

	for (i = 0; i < b->n; i++)
		n += b->jobs[i].outcome == outcome;
	return n;
}

static void
batch_summary(const struct batch *b)
{
	static const char *const names[] = {
	    [OUT_DONE] = "done", [OUT_SKIPPED] = "skipped", [OUT_FAILED] = "failed"};
	struct ctl *ctl = b->ctl;
	json_t *array;
	size_t i;

	if (!ctl_is_json(ctl)) {
		if (b->all)
			(void)fprintf(ctl->out,
			    "%zu pods: %zu %s, %zu left alone, %zu failed\n", b->n,
			    batch_count(b, OUT_DONE),
			    b->exe_fd != -1 ? "upgraded" : "restarted",
			    batch_count(b, OUT_SKIPPED), batch_count(b, OUT_FAILED));
		return;
	}
	array = json_array();
	for (i = 0; i < b->n; i++)
		(void)json_array_append_new(array,
		    json_pack("{s:o, s:o, s:s, s:o, s:o}", "namespace",
			js_text(b->jobs[i].pod->ns), "pod",
			js_text(b->jobs[i].pod->group), "result",
			names[b->jobs[i].outcome], "was", js_name(b->jobs[i].before),
			"text", js_text(b->jobs[i].text)));
	js_print(ctl, array);
}

/* What is asked for, before anything is touched. */
static int
batch_init(struct batch *b, struct ctl *ctl)
{
	int64_t jobs = JOBS_DEFAULT;
	int rc = ctl_one_or_all(ctl);

	if (rc == CTL_OK)
		rc = ctl_option_num(ctl, "jobs", 1, JOBS_MAX, &jobs);
	*b = (struct batch){.ctl = ctl,
	    .exe_fd = -1,
	    .all = ctl_option(ctl, "all") != NULL,
	    .at_once = (size_t)jobs};
	return rc;
}

static int
replace(struct ctl *ctl, struct batch *b)
{
	struct pods pods = {0};
	struct found one = {0};
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	/* what could not be read of a pod does not keep its worker from being replaced */
	rc = b->all ? CTL_OK : find_pod(ctl, &pods, ctl->argv[0], &one);
	if (rc == CTL_OK) {
		b->n = b->all ? pods.n : 1;
		b->jobs = mem_zalloc((b->n + 1) * sizeof *b->jobs);
		for (i = 0; i < b->n; i++)
			b->jobs[i] =
			    (struct job){.pod = b->all ? &pods.v[i] : one.pod, .fd = -1};
		batch_run(b);
		batch_summary(b);
		if (batch_count(b, OUT_FAILED) > 0)
			rc = CTL_FAILED;
	}
	for (i = 0; i < b->n; i++) {
		free(b->jobs[i].before);
		free(b->jobs[i].text);
	}
	free(b->jobs);
	pods_fini(&pods);
	return rc;
}

static int
cmd_restart(struct ctl *ctl)
{
	struct batch b;
	int rc = batch_init(&b, ctl);

	return rc != CTL_OK ? rc : replace(ctl, &b);
}

static int
cmd_upgrade(struct ctl *ctl)
{
	const char *worker = ctl_option(ctl, "worker");
	AUTO_FREE char *path =
	    worker != NULL ? mem_strdup(worker) : build_installed_path();
	AUTO_CLOSE int fd = -1;
	struct batch b;
	struct stat sb;
	int rc = batch_init(&b, ctl);

	if (rc != CTL_OK)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1 || fstat(fd, &sb) == -1)
		return ctl_fail(ctl, "open '%s': %s", path, strerror(errno));
	if (!S_ISREG(sb.st_mode) || (sb.st_mode & 0111) == 0)
		return ctl_fail(ctl, "'%s' is not an executable", path);
	b.exe_fd = fd;
	return replace(ctl, &b);
}

#define OPTIONS_OF_BOTH                                                                  \
	{"all", 0, NULL, "all pods instead of one"},                                     \
	{                                                                                \
		"jobs", 0, "N", "so many pods at a time, 1 to 64; 4 by default"          \
	}

static const struct ctl_option restart_options[] = {OPTIONS_OF_BOTH, {0}};
static const struct ctl_option upgrade_options[] = {
    {"worker", 0, "FILE", "this executable instead of the installed one"},
    OPTIONS_OF_BOTH, {0}};

const struct ctl_verb verb_restart = {
    .name = "restart",
    .group = GROUP_ACT,
    .args = "POD|--all",
    .summary = "restart workers, each with the build it has",
    .text = "Containers, connections and output are not touched; a request that comes\n"
	    "meanwhile waits some milliseconds.",
    .options = restart_options,
    .examples = "  podshimctl restart web",
    .max_args = 1,
    .run = cmd_restart,
};

const struct ctl_verb verb_upgrade = {
    .name = "upgrade",
    .group = GROUP_ACT,
    .args = "POD|--all",
    .summary = "give pods the installed worker, or another",
    .text = "The new worker is first asked whether it speaks the keeper's protocol and\n"
	    "can read the pod's database; if not, it is refused, and nothing has\n"
	    "happened. If it stands still for 5 s before it is ready, the old build\n"
	    "comes back.\n"
	    "Containers, connections and output are not touched.",
    .options = upgrade_options,
    .examples = "  podshimctl upgrade --all --jobs 8\n"
		"  podshimctl upgrade --worker ./podshim-worker web",
    .max_args = 1,
    .run = cmd_upgrade,
};

/*
 * podshimctl logs: what a container has written, from its log. Where that is, the
 * pod's database knows: the URI of init's stdout.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/find.h"
#include "client/log_read.h"
#include "client/pods.h"
#include "client/relay.h"
#include "client/rpc.h"
#include "client/run_logger.h"
#include "client/verbs.h"
#include "ipc/attach.h"
#include "proto/task.pb-c.h"

/* After the container's end, if nothing tells of the log's. */
#define QUIET_MS 2000

struct logs {
	struct ctl *ctl;
	struct log_reader *reader;
	bool times;
	bool midline[2]; /* a piece of a line was the last thing printed there */
	/* what may end a -f */
	int inotify_fd, attach_fd;
	struct rpc *rpc;
	uint32_t wait;
};

/* --- printing --------------------------------------------------------------------------- */

static void
print_line(struct logs *l, const struct log_line *line)
{
	FILE *to = line->is_stderr ? l->ctl->err : l->ctl->out;

	/* the two must come out in the order in which they are in the log */
	(void)fflush(line->is_stderr ? l->ctl->out : l->ctl->err);
	if (l->times && !l->midline[line->is_stderr])
		(void)fprintf(to, "%.*s ", (int)line->time_len, line->time);
	(void)fwrite(line->text, 1, line->len, to);
	if (!line->partial)
		(void)fputc('\n', to);
	l->midline[line->is_stderr] = line->partial;
}

/* False: there was nothing. */
static bool
print_all(struct logs *l)
{
	struct log_line line;
	bool any = false;

	while (log_next(l->reader, &line)) {
		print_line(l, &line);
		any = true;
	}
	(void)fflush(l->ctl->out);
	(void)fflush(l->ctl->err);
	return any;
}

/* --- following -------------------------------------------------------------------------- */

static int
follow_begin(
    struct logs *l, const struct found *f, const struct logged *log, struct err *err)
{
	Containerd__Task__V2__WaitRequest wait = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(f->container->id);
	AUTO_FREE char *dir = mem_strdup(log->path);
	int rc;

	*strrchr(dir, '/') = '\0';
	l->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->inotify_fd == -1 ||
	    inotify_add_watch(l->inotify_fd, dir[0] != '\0' ? dir : "/",
		IN_MODIFY | IN_CREATE | IN_MOVED_TO) == -1)
		return err_set(err, errno, "watch '%s'", dir);
	/* its end is the log's; without that, the container's end has to do */
	if (log->attach != NULL)
		l->attach_fd = relay_attach(log->attach, ATTACH_WATCH, NULL);
	if (l->attach_fd >= 0)
		return 0;
	rc = rpc_open(f->pod, &l->rpc, err);
	wait.id = id;
	return rc < 0 ? rc : rpc_begin(l->rpc, "Wait", &wait.base, 0, &l->wait, err);
}

/* Wait until there may be more. False: there will not. */
static bool
follow_wait(struct logs *l, int ms)
{
	struct pollfd pfd[3] = {
	    {.fd = l->inotify_fd, .events = POLLIN},
	    {.fd = l->attach_fd, .events = POLLIN},
	    {.fd = l->rpc == NULL ? -1 : rpc_fd(l->rpc), .events = POLLIN},
	};
	char buf[4096], packet[64];
	bool more = false;

	if (poll(pfd, 3, ms) <= 0)
		return ms < 0;
	while (pfd[0].revents != 0 && read(l->inotify_fd, buf, sizeof buf) > 0)
		more = true;
	if (pfd[1].revents != 0) {
		/* the bytes come from the file */
		ssize_t n = recv(l->attach_fd, packet, sizeof packet, MSG_DONTWAIT);

		more = n > 0 || (n == -1 && errno == EAGAIN);
	}
	return more;
}

/*
 * Nothing tells of the log's end: until none of its lines has come for a while. Other
 * files of the directory change, too.
 */
static void
follow_quiet(struct logs *l)
{
	boot_us_t now = clock_boot_us(), end = now + QUIET_MS * US_PER_MS;

	while (now < end) {
		(void)follow_wait(l, (int)((end - now) / US_PER_MS) + 1);
		now = clock_boot_us();
		if (print_all(l))
			end = now + QUIET_MS * US_PER_MS;
	}
}

static void
follow(struct logs *l)
{
	(void)print_all(l);
	while (follow_wait(l, -1))
		(void)print_all(l);
	(void)print_all(l);
	if (l->attach_fd >= 0)
		return;
	/* it has told what it had to tell, and would wake us up for ever */
	rpc_close(l->rpc);
	l->rpc = NULL;
	follow_quiet(l);
}

/* --- the verb ----------------------------------------------------------------------------- */

static int
logs_print(struct ctl *ctl, const struct found *f, const struct logged *log)
{
	struct logs l = {.ctl = ctl,
	    .times = ctl_option(ctl, "timestamps") != NULL,
	    .inotify_fd = -1,
	    .attach_fd = -1};
	bool running = f->container->processes[0].state != TASK_STOPPED;
	struct err err = ERR_INIT;
	struct log_line last;
	int64_t tail = -1;
	int rc = ctl_option_num(ctl, "tail", 0, INT64_MAX, &tail);

	if (rc != CTL_OK)
		return rc;
	rc = log_open(log->path, log->plain, &l.reader, &err);
	if (rc < 0)
		return ctl_fail_as(ctl, ctl_exit_of(rc), "%s", err.text);
	if (tail >= 0)
		log_seek_tail(l.reader, (uint64_t)tail);
	if (ctl_option(ctl, "follow") == NULL || !running)
		(void)print_all(&l);
	else if ((rc = follow_begin(&l, f, log, &err)) < 0)
		rc = ctl_fail_as(ctl, ctl_exit_of(rc), "%s", err.text);
	else
		follow(&l);
	if (log_last(l.reader, &last))
		print_line(&l, &last);
	log_close(l.reader);
	rpc_close(l.rpc);
	fd_close(&l.inotify_fd);
	if (l.attach_fd >= 0)
		fd_close(&l.attach_fd);
	return rc;
}

static int
logs_of(struct ctl *ctl, const struct found *f)
{
	const struct container_info *c = f->container;
	const char *uri = c->n_processes > 0 ? c->processes[0].stdout_path : "";
	struct logged log = {0};
	int rc;

	if (!logged_of_uri(uri, c->id, f->pod->ns, &log) || log.path == NULL) {
		if (uri[0] == '\0')
			rc = ctl_fail(ctl, "container '%s' has no output", c->id);
		else if (log.attach != NULL)
			rc = ctl_fail(ctl,
			    "container '%s' has no log file (see 'journalctl "
			    "CONTAINER_ID=%s', if it was run with --log journald)",
			    c->id, c->id);
		else
			rc = ctl_fail(ctl,
			    "the output of container '%s' goes to '%s': whoever reads it "
			    "there has it",
			    c->id, uri);
	} else {
		rc = logs_print(ctl, f, &log);
	}
	logged_fini(&log);
	return rc;
}

static int
cmd_logs(struct ctl *ctl)
{
	return find_and_do(ctl, logs_of);
}

static const struct ctl_option logs_options[] = {
    {"follow", 'f', NULL, "go on until the container has ended"},
    {"tail", 0, "N", "only the last N lines"},
    {"timestamps", 't', NULL, "say when each line was written"},
    {0},
};

const struct ctl_verb verb_logs = {
    .name = "logs",
    .group = GROUP_RUN,
    .args = "CONTAINER",
    .summary = "show what a container has written",
    .text = "For containers made by 'run', and others whose output goes to a file or to\n"
	    "podshim-logger. Rotated files are read, too. What the container wrote to\n"
	    "stderr goes to stderr.",
    .options = logs_options,
    .examples = "  podshimctl logs -f web\n"
		"  podshimctl logs --tail 20 --timestamps web 2>/dev/null",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_logs,
};

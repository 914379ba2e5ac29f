/*
 * Output to a log program (contract.md 8.4): binary: URIs name one, file: URIs
 * and plain files get ours, so that no hung disk can hang the worker. Without a
 * terminal the program has the container's pipes themselves, and a dead worker is
 * not even noticed; with one, a pipe that we splice the terminal into.
 *
 * We keep the pipes' read ends as well. So the program's end is no SIGPIPE
 * for the container: ours is started again, which goes on where the other was
 * (what a killed one had read and not yet written is lost), instead of another's
 * what comes is dropped. Until it is there the container may have to wait.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/msg.h"
#include "worker/io.h"
#include "worker/io_int.h"
#include "oci/io_uri.h"
#include "worker/link.h"
#include "worker/logger.h"

/*
 * In a row: one that has lived that long begins another. The first comes at once; then
 * there are pauses, together 11 s. That is long for a shortage to last, and
 * about as long as a container may be held up.
 */
#define LOG_RESTARTS_MAX   8u
#define LOG_PAUSE_FIRST_US (100 * US_PER_MS)
#define LOG_PAUSE_MAX_US   (5 * US_PER_S)
#define LOG_LIVED_US	   (60 * US_PER_S)
/*
 * How long a program may live on in a drain after it has read all there will
 * ever be; not all end by themselves then.
 */
#define LOG_QUIET_TICKS	   5u
#define LOG_TICK_US	   100000

struct io_log {
	struct io *io;
	struct logger *lg; /* NULL: ended; restart_ev is pending, or there will be none */
	char *name;	   /* in the store, with the step's key */
	struct strv argv, env;
	char *what;
	bool own; /* ours */
	enum logger_ready ready_kind;
	unsigned restarts;
	boot_us_t began; /* or we came to it */
	bool is_ready, quiet;
	char *error; /* why it is not ready and will not be */
	char *why;   /* of the last one that was started again: why it was in vain */
	struct event restart_ev;
	unsigned quiet_ticks;
	struct event quiet_ev;
};

static const struct logger_ops log_ops;

/* The pipe's read end that we keep. */
static int
log_fd(const struct io *io, enum io_which which)
{
	const struct stream *s = &io->s[which];

	if (io->terminal)
		return which == IO_OUT ? s->fd[IO_KEEP] : -1;
	return s->state == STREAM_LOGGED ? s->fd[IO_SRC] : -1;
}

static int
log_start(struct io_log *log, struct err *err)
{
	struct io *io = log->io;
	const struct logger_spec spec = {
	    .argv = log->argv.v,
	    .envp = log->env.v,
	    .what = log->what,
	    .fds = {log_fd(io, IO_OUT), log_fd(io, IO_ERR)},
	    .own_exe = log->own,
	    .ready = log->ready_kind,
	};
	AUTO_FREE char *prefix = mem_printf("%slog.", io->prefix);
	AUTO_FREE char *old = steal_ptr(&log->name);
	int rc;

	rc = logger_start(io->loop, io->lk, &spec, prefix, &log_ops, log, &log->lg, err);
	if (rc < 0) {
		log->name = steal_ptr(&old);
		return rc;
	}
	log->name = mem_printf("%s%" PRIx64, prefix, logger_key(log->lg));
	log->began = clock_boot_us();
	if (old != NULL)
		link_fd_drop(io->lk, old, false);
	return 0;
}

/* --- what the program tells ------------------------------------------------------------ */

static void
log_on_ready(const char *error, void *arg)
{
	struct io_log *log = arg;

	if (log->is_ready) {
		/* of one that was started again: told if no other can take its place */
		free(log->why);
		log->why = mem_strdup(error);
		return;
	}
	log->is_ready = error == NULL;
	log->error = mem_strdup(error);
	if (error != NULL)
		log_warnx("log program of %s: %s", log->what, error);
	io_check_ready(log->io);
}

/* Have all pipes been read to their end? */
static bool
log_is_quiet(const struct io *io)
{
	int i;

	for (i = IO_OUT; i <= IO_ERR; i++) {
		struct pollfd pfd = {.fd = log_fd(io, i), .events = POLLIN};

		if (pfd.fd != -1 && (poll(&pfd, 1, 0) != 1 || pfd.revents != POLLHUP))
			return false;
	}
	return true;
}

/*
 * We have not stopped ours, and there is more for it to do. It need not have failed:
 * after anybody's SIGTERM it says that all is well. Will there be another?
 */
static bool
log_restart(struct io_log *log)
{
	uint64_t pause = 0;
	struct timeval tv;

	if (log->restarts == LOG_RESTARTS_MAX) {
		log_errx("log program of %s: it ended %u times in a row%s%s; output is "
			 "dropped from now on",
		    log->what, log->restarts + 1, log->why != NULL ? ": " : "",
		    log->why != NULL ? log->why : "");
		return false;
	}
	if (log->restarts > 0)
		pause = LOG_PAUSE_FIRST_US << (log->restarts - 1);
	if (pause > LOG_PAUSE_MAX_US)
		pause = LOG_PAUSE_MAX_US;
	log->restarts++;
	tv = (struct timeval){.tv_sec = (time_t)(pause / US_PER_S),
	    .tv_usec = (suseconds_t)(pause % US_PER_S)};
	(void)evtimer_add(&log->restart_ev, &tv);
	return true;
}

/* It is gone: start it again, or see that the container can go on without. */
static void
log_replace(struct io_log *log)
{
	struct io *io = log->io;
	int i;

	for (i = IO_OUT; i <= IO_ERR; i++) {
		if (io->s[i].missing > 0)
			return; /* io_log_arrived() follows */
	}
	if (log->own && log->is_ready && !log_is_quiet(io) && log_restart(log))
		return;
	for (i = IO_OUT; i <= IO_ERR; i++) {
		if (io->s[i].state == STREAM_LOGGED || (io->terminal && i == IO_OUT))
			stream_discard(&io->s[i]);
	}
	io_check_drained(io);
}

static void
log_on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct io_log *log = arg;
	struct err err = ERR_INIT;

	(void)fd;
	(void)what;
	if (!log_is_quiet(log->io)) {
		if (log_start(log, &err) == 0)
			return;
		log_warnx("log program of %s: %s", log->what, err.text);
		log_on_ready(err.text, log);
	}
	log_replace(log);
}

static void
log_on_end(void *arg)
{
	struct io_log *log = arg;

	logger_stop(log->lg);
	log->lg = NULL;
	if (clock_boot_us() - log->began >= LOG_LIVED_US)
		log->restarts = 0;
	log_replace(log);
}

static bool
log_is_due(const struct io_log *log)
{
	return evtimer_pending(&log->restart_ev, NULL);
}

void
io_log_arrived(struct io *io)
{
	if (io->log != NULL && io->log->lg == NULL && !log_is_due(io->log))
		log_replace(io->log);
}

static const struct logger_ops log_ops = {.on_ready = log_on_ready, .on_end = log_on_end};

/* --- draining ------------------------------------------------------------------------------- */

bool
io_log_ready(const struct io *io, const char **error)
{
	const struct io_log *log = io->log;

	*error = log == NULL ? NULL : log->error;
	return log == NULL || log->is_ready || log->error != NULL;
}

bool
io_log_busy(const struct io *io)
{
	const struct io_log *log = io->log;

	return log != NULL && (log->lg != NULL || log_is_due(log)) && !log->quiet;
}

static void
log_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct io_log *log = arg;

	(void)fd;
	(void)what;
	log->quiet_ticks = log_is_quiet(log->io) ? log->quiet_ticks + 1 : 0;
	if (log->quiet_ticks < LOG_QUIET_TICKS)
		return;
	log->quiet = true;
	(void)event_del(&log->quiet_ev);
	io_check_drained(log->io);
}

void
io_log_drain(struct io *io)
{
	const struct timeval tick = {.tv_usec = LOG_TICK_US};

	if (io_log_busy(io))
		(void)event_add(&io->log->quiet_ev, &tick);
}

/* --- life ------------------------------------------------------------------------------------ */

static struct io_log *
log_new(struct io *io, const struct io_spec *spec)
{
	struct io_log *log = mem_zalloc(sizeof *log);

	log->io = io;
	log->what = mem_printf("%s/%s", spec->container, spec->exec_id);
	(void)event_assign(
	    &log->quiet_ev, loop_base(io->loop), -1, EV_PERSIST, log_on_tick, log);
	(void)evtimer_assign(&log->restart_ev, loop_base(io->loop), log_on_restart, log);
	io->log = log;
	return log;
}

void
io_log_free(struct io *io, bool stop)
{
	struct io_log *log = io->log;

	if (log == NULL)
		return;
	io->log = NULL;
	if (stop)
		logger_stop(log->lg);
	else
		logger_abandon(log->lg);
	(void)event_del(&log->quiet_ev);
	(void)event_del(&log->restart_ev);
	event_debug_unassign(&log->quiet_ev);
	event_debug_unassign(&log->restart_ev);
	strv_fini(&log->argv);
	strv_fini(&log->env);
	free(log->what);
	free(log->name);
	free(log->error);
	free(log->why);
	free(log);
}

/* Ours, or one that only root can have put there. */
static int
log_check_binary(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return err_set(err, errno, "log program '%s'", path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return err_setx(err, EINVAL, "log program '%s' is not executable", path);
	if (st.st_uid != 0 || (st.st_mode & 022) != 0)
		return err_setx(err, EINVAL,
		    "log program '%s' is not root's, or others may write to it", path);
	return 0;
}

bool
io_log_wanted(const struct io_uri *uri)
{
	struct stat st;

	switch (uri->kind) {
	case URI_NONE: return false;
	case URI_PATH: return stat(uri->path, &st) == 0 && S_ISREG(st.st_mode);
	case URI_FILE:
	case URI_BINARY: return true;
	}
	return false;
}

static void
log_plan_binary(struct io_log *log, const struct io_uri *uri)
{
	size_t i;

	strv_add(&log->argv, uri->path);
	for (i = 0; i < uri->args.n; i++)
		strv_add(&log->argv, uri->args.v[i]);
	log->ready_kind = uri->must_ready ? LOGGER_READY_BYTE : LOGGER_READY_BYTE_OR_END;
}

/*
 * Has ours something to write there? Of one that an earlier worker began the store
 * tells: to look at the path would be to wait for its file system, which may be dead,
 * and a worker that waits in its recovery is killed, and the next one.
 */
static bool
log_takes(
    const struct io_log *log, enum io_which which, const struct io_uri *uri, bool resumed)
{
	return resumed && uri->kind == URI_PATH ? stream_is_logged(&log->io->s[which])
						: io_log_wanted(uri);
}

/*
 * What it is called with: stdout's URI decides (contract.md 8.1). resumed: it runs
 * already, and only ours may be started again.
 */
static int
log_plan(struct io_log *log, const struct io_spec *spec, bool resumed, struct err *err)
{
	struct io_uri out = {0}, errs = {0};
	int rc;

	strv_addf(&log->env, "CONTAINER_ID=%s",
	    spec->exec_id[0] == '\0' ? spec->container : spec->exec_id);
	strv_addf(&log->env, "CONTAINER_NAMESPACE=%s", spec->ns == NULL ? "" : spec->ns);
	rc = io_uri_parse(spec->stdout_path, &out, err);
	if (rc == 0)
		rc = io_uri_parse(spec->stderr_path, &errs, err);
	if (rc == 0 && out.kind == URI_BINARY) {
		rc = resumed ? 0 : log_check_binary(out.path, err);
		log_plan_binary(log, &out);
	} else if (rc == 0) {
		log->own = true;
		log->ready_kind = LOGGER_READY_TEXT;
		strv_addf(&log->argv, "/proc/self/fd/%d", LOGGER_EXE_NUM);
		strv_add(
		    &log->argv, out.kind == URI_FILE ? "--log-file" : "--log-append");
		strv_add(
		    &log->argv, log_takes(log, IO_OUT, &out, resumed) ? out.path : "-");
		strv_add(&log->argv,
		    out.kind != URI_FILE && log_takes(log, IO_ERR, &errs, resumed)
			? errs.path
			: "-");
	}
	io_uri_fini(&out);
	io_uri_fini(&errs);
	return rc;
}

int
io_log_open(struct io *io, const struct io_spec *spec, struct err *err)
{
	struct io_log *log = log_new(io, spec);
	AUTO_FREE char *prefix = mem_printf("%slog.", io->prefix);
	int rc = log_plan(log, spec, false, err);

	if (rc < 0)
		return rc;
	/* of a worker that died before the runtime ran; io_sweep() ends it */
	link_fd_drop(io->lk, prefix, true);
	return log_start(log, err);
}

struct find_key {
	const char *prefix;
	uint64_t key;
};

static void
find_key(const char *name, void *arg)
{
	struct find_key *f = arg;
	uint64_t key;

	if (strncmp(name, f->prefix, strlen(f->prefix)) != 0)
		return;
	/* a worker died between putting the second and dropping the first */
	key = strtoull(name + strlen(f->prefix), NULL, 16);
	if (key > f->key)
		f->key = key;
}

void
io_log_resume(struct io *io, const struct io_spec *spec)
{
	AUTO_FREE char *prefix = mem_printf("%slog.", io->prefix);
	struct find_key f = {.prefix = prefix};
	struct err err = ERR_INIT;
	struct io_log *log;

	link_each_fd(io->lk, find_key, &f);
	if (f.key == 0)
		return;
	log = log_new(io, spec);
	if (log_plan(log, spec, true, &err) < 0)
		log_warnx("%s", err.text);
	log->name = mem_printf("%s%" PRIx64, prefix, f.key);
	log->began = clock_boot_us();
	log->is_ready = true; /* or the runtime command would not have been spawned */
	log->lg = logger_attach(io->loop, io->lk, f.key, log->what,
	    log->own ? log->name : NULL, &log_ops, log);
}

void
io_sweep(struct loop *loop, struct link *lk)
{
	logger_sweep(loop, lk);
}

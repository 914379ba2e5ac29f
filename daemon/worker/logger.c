/*
 * Log programs as the keeper's children. The list is of all that this worker
 * knows of, so that logger_sweep() can tell whose nobody's are: a worker died
 * while it waited for one to end, or before the container it was for existed.
 */
#include "worker/logger.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "worker/link.h"

#define LOGGER_TERM_S  12
/* How often the keeper is given time to tell that it could not be executed. */
#define LOGGER_LOOKS   40u
#define LOGGER_LOOK_US 5000

struct logger {
	LIST_ENTRY(logger) link;
	struct loop *loop;
	struct link *lk;
	struct grave grave;
	uint64_t key;
	char *what;		      /* whose, for notes */
	const struct logger_ops *ops; /* NULL: nobody's any more */
	void *arg;
	bool ended;
	enum logger_ready ready;
	bool said;    /* ready: what comes now are notes */
	int ready_fd; /* -1 once it is ready, or says no more */
	unsigned looks;
	struct event ready_ev;
	struct event silent_ev;
	struct event term_ev;
};

static LIST_HEAD(, logger) loggers = LIST_HEAD_INITIALIZER(loggers);

/* --- readiness -------------------------------------------------------------------- */

static void
logger_ready_over(struct logger *lg)
{
	if (lg->ready_fd == -1)
		return;
	(void)event_del(&lg->ready_ev);
	(void)event_del(&lg->silent_ev);
	fd_close(&lg->ready_fd);
}

static void
logger_tell_ready(struct logger *lg, const char *error)
{
	if (!lg->said)
		logger_ready_over(lg);
	if (lg->ops != NULL)
		lg->ops->on_ready(error, lg->arg);
}

/*
 * It has said nothing and will not. A program may do that to say that it is ready, but
 * only one that runs: the keeper tells so (an old one does not), or why it does not.
 */
static void
logger_on_silent(evutil_socket_t fd, short what, void *arg)
{
	static const char *const errors[] = {
	    [LOGGER_READY_BYTE_OR_END] = NULL,
	    [LOGGER_READY_BYTE] = "it ended without a ready byte",
	    [LOGGER_READY_TEXT] = "it ended at once",
	};
	const struct timeval next = {.tv_usec = LOGGER_LOOK_US};
	struct logger *lg = arg;
	const struct msg_step *step = link_step_known(lg->lk, lg->key);

	(void)fd;
	(void)what;
	if (!lg->ended && step != NULL && step->child_pid == 0 &&
	    lg->looks++ < LOGGER_LOOKS)
		(void)evtimer_add(&lg->silent_ev, &next);
	else
		logger_tell_ready(lg, errors[lg->ready]);
}

/* Lines; each was written at once. */
static void
logger_note(struct logger *lg, char *text)
{
	char *save = NULL, *line;

	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		log_warnx("log of %s: %s", lg->what, line);
}

/* Has it said anything? */
static bool
logger_hear(struct logger *lg)
{
	const char *error = NULL;
	char text[LOGGER_NOTE_MAX + 2];
	ssize_t n = read(lg->ready_fd, text, sizeof text - 1);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	text[n > 0 ? n : 0] = '\0';
	if (lg->said) {
		logger_note(lg, text);
		if (n <= 0)
			logger_ready_over(lg);
		return n > 0;
	}
	if (n <= 0) {
		(void)event_del(&lg->ready_ev);
		logger_on_silent(-1, 0, lg);
		return false;
	}
	if (lg->ready == LOGGER_READY_TEXT && text[0] != '\0')
		error = text;
	lg->said = lg->ready == LOGGER_READY_TEXT && error == NULL;
	logger_tell_ready(lg, error);
	if (lg->said && n > 1)
		logger_note(lg, text + 1);
	return true;
}

static void
logger_on_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)logger_hear(arg);
}

static void
logger_listen(struct logger *lg, int fd)
{
	lg->ready_fd = fd;
	(void)event_assign(&lg->ready_ev, loop_base(lg->loop), fd, EV_READ | EV_PERSIST,
	    logger_on_ready, lg);
	(void)event_add(&lg->ready_ev, NULL);
}

/* --- the end ---------------------------------------------------------------------- */

static void
logger_bury(void *arg)
{
	struct logger *lg = arg;

	free(lg->what);
	free(lg);
}

static void
logger_free(struct logger *lg)
{
	link_fd_forget(lg->lk, lg);
	logger_ready_over(lg);
	(void)event_del(&lg->term_ev);
	event_debug_unassign(&lg->ready_ev);
	event_debug_unassign(&lg->silent_ev);
	event_debug_unassign(&lg->term_ev);
	LIST_REMOVE(lg, link);
	loop_bury(lg->loop, &lg->grave, logger_bury, lg);
}

static void
logger_on_step(const struct msg_step *step, void *arg)
{
	struct logger *lg = arg;
	bool ok = step->state == STEP_DONE && WIFEXITED(step->wait_status) &&
	    WEXITSTATUS(step->wait_status) == 0;
	bool waited_for = lg->ops != NULL && lg->ready_fd != -1 && !lg->said;
	AUTO_FREE char *failure = step->state != STEP_FAILED
	    ? NULL
	    : mem_printf("%s: %s", step->text, strerror(step->error));

	lg->ended = true;
	if (failure != NULL && !waited_for)
		log_warnx("start log program: %s", failure);
	else if (failure == NULL && !ok && lg->ops != NULL)
		log_warnx(
		    "log program ends with status %#x", (unsigned)step->wait_status);
	/* what it said before it died, if anything; nobody's too: it counts what was lost */
	while (failure == NULL && lg->ready_fd != -1 && logger_hear(lg))
		;
	if (lg->ops == NULL) {
		link_ack(lg->lk, lg->key);
		logger_free(lg);
		return;
	}
	if (lg->ready_fd != -1 && !lg->said)
		logger_tell_ready(lg, failure != NULL ? failure : "it ended at once");
	if (lg->ops != NULL)
		lg->ops->on_end(lg->arg);
}

static void
logger_on_term_late(evutil_socket_t fd, short what, void *arg)
{
	struct logger *lg = arg;

	(void)fd;
	(void)what;
	link_kill(lg->lk, lg->key);
}

void
logger_stop(struct logger *lg)
{
	const struct timeval late = {.tv_sec = LOGGER_TERM_S};

	if (lg == NULL)
		return;
	lg->ops = NULL;
	if (lg->ended) {
		link_ack(lg->lk, lg->key);
		logger_free(lg);
		return;
	}
	link_signal(lg->lk, link_internal_key(lg->lk), lg->key, SIGTERM, NULL, NULL);
	(void)evtimer_add(&lg->term_ev, &late);
}

void
logger_abandon(struct logger *lg)
{
	if (lg == NULL)
		return;
	link_step_unwatch(lg->lk, lg->key);
	logger_free(lg);
}

/* --- the beginning ------------------------------------------------------------------ */

static struct logger *
logger_new(struct loop *loop, struct link *lk, uint64_t key, const char *what,
    const struct logger_ops *ops, void *arg)
{
	struct logger *lg = mem_zalloc(sizeof *lg);

	lg->loop = loop;
	lg->lk = lk;
	lg->key = key;
	lg->what = mem_strdup(what);
	lg->ops = ops;
	lg->arg = arg;
	lg->ready_fd = -1;
	(void)event_assign(&lg->ready_ev, loop_base(loop), -1, 0, logger_on_ready, lg);
	(void)evtimer_assign(&lg->silent_ev, loop_base(loop), logger_on_silent, lg);
	(void)evtimer_assign(&lg->term_ev, loop_base(loop), logger_on_term_late, lg);
	LIST_INSERT_HEAD(&loggers, lg, link);
	return lg;
}

int
logger_start(struct loop *loop, struct link *lk, const struct logger_spec *spec,
    const char *name_prefix, const struct logger_ops *ops, void *arg, struct logger **out,
    struct err *err)
{
	uint32_t nums[4] = {LOGGER_READY_NUM};
	char tag[MSG_TAG_MAX], name[MSG_NAME_MAX];
	AUTO_CLOSE int ready = -1, theirs = -1, exe = -1, null = -1;
	int fds[4], pair[2], i, n = 1;
	struct msg_spawn spawn = {.flags = SPAWN_SURVIVE,
	    .argv = spec->argv,
	    .envp = spec->envp,
	    .fds = fds,
	    .fd_nums = nums,
	    .tag = {.p = tag}};
	struct logger *lg;

	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null == -1 || pipe2(pair, O_CLOEXEC) == -1)
		return err_set(err, errno, "prepare a log program");
	ready = pair[0];
	fds[0] = theirs = pair[1];
	if (spec->own_exe) {
		exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (exe == -1)
			return err_set(err, errno, "open /proc/self/exe");
		nums[n] = LOGGER_EXE_NUM;
		fds[n++] = exe;
	}
	for (i = 0; i < 2; i++) {
		nums[n] = 3 + (uint32_t)i;
		fds[n++] = spec->fds[i] == -1 ? null : spec->fds[i];
	}
	spawn.n_fds = (size_t)n;
	i = snprintf(tag, sizeof tag, "%c%s", LOGGER_TAG, spec->what);
	spawn.tag.len = (size_t)i < sizeof tag ? (size_t)i : sizeof tag - 1;
	spawn.key = link_internal_key(lk);
	lg = logger_new(loop, lk, spawn.key, spec->what, ops, arg);
	lg->ready = spec->ready;
	(void)snprintf(name, sizeof name, "%s%" PRIx64, name_prefix, spawn.key);
	link_fd_put(lk, name, ready);
	link_spawn(lk, &spawn, logger_on_step, lg);
	(void)fd_set_nonblock(ready, true);
	logger_listen(lg, steal_fd(&ready));
	*out = lg;
	return 0;
}

static void
logger_on_fetched(int fd, void *arg)
{
	struct logger *lg = arg;

	if (fd < 0)
		return;
	lg->ready = LOGGER_READY_TEXT;
	lg->said = true;
	logger_listen(lg, fd);
}

struct logger *
logger_attach(struct loop *loop, struct link *lk, uint64_t key, const char *what,
    const char *name, const struct logger_ops *ops, void *arg)
{
	struct logger *lg;

	if (link_step_known(lk, key) == NULL)
		return NULL;
	lg = logger_new(loop, lk, key, what, ops, arg);
	if (name != NULL)
		link_fd_get(lk, name, logger_on_fetched, lg);
	link_step_watch(lk, key, logger_on_step, lg);
	return lg;
}

uint64_t
logger_key(const struct logger *lg)
{
	return lg->key;
}

/* --- nobody's ------------------------------------------------------------------------ */

struct sweep {
	struct loop *loop;
	struct link *lk;
	uint64_t keys[64];
	size_t n;
};

static void
sweep_step(const struct msg_step *step, void *arg)
{
	struct sweep *sw = arg;
	const struct logger *lg;

	if (!key_is_internal(step->key) || step->tag.len == 0 ||
	    *(const char *)step->tag.p != LOGGER_TAG || sw->n == ARRAY_LEN(sw->keys))
		return;
	LIST_FOREACH (lg, &loggers, link) {
		if (lg->key == step->key)
			return;
	}
	sw->keys[sw->n++] = step->key;
}

void
logger_sweep(struct loop *loop, struct link *lk)
{
	struct sweep sw = {.loop = loop, .lk = lk};
	size_t i;

	do {
		sw.n = 0;
		link_each_step(lk, sweep_step, &sw);
		for (i = 0; i < sw.n; i++) {
			log_warnx("log program %" PRIx64 " belongs to nobody, ending it",
			    sw.keys[i]);
			logger_stop(
			    logger_attach(loop, lk, sw.keys[i], NULL, NULL, NULL, NULL));
		}
	} while (sw.n == ARRAY_LEN(sw.keys));
}

/*
 * The memory of what was done. See step.h, and recovery.md's idea: the keeper
 * is the only one who surely remembers, so every effect that may not happen
 * twice goes through here, under a key.
 *
 * A record is RUNNING from fork to reap; the process that it may bring forth
 * (adopt.c) lives on in the same record. It is freed when three things hold:
 * the step has ended, nobody will ask for it again (released), and no exit of
 * its process is unacknowledged.
 */
#include "keeper/step.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "keeper/adopt.h"
#include "keeper/console.h"
#include "keeper/fdstore.h"
#include "keeper/idmap.h"
#include "keeper/limits.h"
#include "keeper/reaper.h"
#include "keeper/spawn.h"

enum proc_state { PROC_NONE, PROC_ALIVE, PROC_EXITED };

struct step {
	struct idnode by_key;
	TAILQ_ENTRY(step) link;
	TAILQ_ENTRY(step) exit_link; /* while PROC_EXITED */
	struct steps *ss;
	enum step_kind kind;
	enum step_state state;
	unsigned flags; /* enum spawn_flags */
	bool timed_out;
	bool released;
	int error;
	int wait_status;
	boot_us_t t;
	/* the command */
	pid_t pid;
	uint64_t since; /* ticks when it began */
	boot_us_t deadline;
	struct reap_node reap;
	int fail_fd;
	struct spawn_failure failure;
	struct event ev_fail;
	struct loop_timer timer; /* of the deadline */
	struct console *console;
	/* the process it left */
	enum proc_state proc;
	pid_t proc_pid;
	uint64_t proc_start;
	struct reap_node proc_reap;
	uint64_t exit_seq;
	struct death death;
	char text[160]; /* what failed; while RUNNING, the command's name */
	const char *pid_file;
	size_t tag_len;
	char tag[]; /* then the pid file's name */
};

struct steps {
	const struct steps_env *env;
	const struct steps_ops *ops;
	void *arg;
	struct idmap by_key;
	TAILQ_HEAD(, step) all;
	TAILQ_HEAD(, step) exits; /* by seq */
	uint64_t last_seq;
	size_t children;
	size_t unreleased;
};

static uint64_t
step_key(const struct step *s)
{
	return s->by_key.id;
}

static struct step *
step_find(struct steps *ss, uint64_t key)
{
	struct idnode *node = idmap_get(&ss->by_key, key);

	return node == NULL ? NULL : container_of(node, struct step, by_key);
}

struct steps *
steps_new(const struct steps_env *env, const struct steps_ops *ops, void *arg)
{
	struct steps *ss = calloc(1, sizeof *ss);

	if (ss == NULL)
		return NULL;
	ss->env = env;
	ss->ops = ops;
	ss->arg = arg;
	TAILQ_INIT(&ss->all);
	TAILQ_INIT(&ss->exits);
	return ss;
}

/* --- telling --------------------------------------------------------------- */

static void
step_tell(const struct step *s, bool snapshot)
{
	struct msg_step m = {.key = step_key(s),
	    .kind = s->kind,
	    .state = s->state,
	    .error = s->error,
	    .wait_status = s->wait_status,
	    .timed_out = s->timed_out,
	    .snapshot = snapshot,
	    .t = s->t,
	    .tag = {s->tag, s->tag_len},
	    .text = s->state == STEP_FAILED ? s->text : ""};

	if (s->state == STEP_RUNNING) {
		m.child_pid = (int)s->pid;
	} else {
		m.child_pid = (int)s->proc_pid;
		m.child_start = s->proc_start;
	}
	s->ss->ops->on_step(&m, s->ss->arg);
}

static void
exit_tell(const struct step *s)
{
	struct msg_exit m = {.key = step_key(s),
	    .seq = s->exit_seq,
	    .pid = (int)s->proc_pid,
	    .start = s->proc_start,
	    .wait_status = s->death.status,
	    .t_real_ns = s->death.t_real_ns,
	    .t_boot = s->death.t_boot,
	    .tag = {s->tag, s->tag_len}};

	s->ss->ops->on_exit(&m, s->ss->arg);
}

/* Nothing was done and there is no room to remember that: so it may be asked again. */
static void
tell_no_room(struct steps *ss, uint64_t key, enum step_kind kind, int error,
    const struct msg_bytes *tag)
{
	struct msg_step m = {.key = key,
	    .kind = kind,
	    .state = STEP_FAILED,
	    .error = error,
	    .t = clock_boot_us(),
	    .tag = *tag,
	    .text = "the keeper has no room for another step"};

	ss->ops->on_step(&m, ss->arg);
}

/* --- life of a record ------------------------------------------------------ */

static struct step *
step_new(struct steps *ss, uint64_t key, enum step_kind kind, const struct msg_bytes *tag,
    const char *pid_file)
{
	size_t pid_file_len = pid_file == NULL ? 0 : strlen(pid_file) + 1;
	struct step *s;

	if (ss->by_key.n >= LIMIT_STEPS || tag->len > MSG_TAG_MAX)
		return NULL;
	s = calloc(1, sizeof *s + tag->len + pid_file_len);
	if (s == NULL)
		return NULL;
	s->ss = ss;
	s->kind = kind;
	s->fail_fd = -1;
	s->tag_len = tag->len;
	if (tag->len > 0)
		memcpy(s->tag, tag->p, tag->len);
	if (pid_file != NULL) {
		memcpy(s->tag + tag->len, pid_file, pid_file_len);
		s->pid_file = s->tag + tag->len;
	}
	idmap_add(&ss->by_key, &s->by_key, key);
	TAILQ_INSERT_TAIL(&ss->all, s, link);
	ss->unreleased++;
	return s;
}

static void
step_disarm(struct step *s)
{
	if (s->fail_fd != -1)
		(void)event_del(&s->ev_fail);
	fd_close(&s->fail_fd);
	loop_timer_stop(s->ss->env->loop, &s->timer);
	console_free(s->console);
	s->console = NULL;
}

/* Nobody will ask for it again. */
static void
step_release(struct step *s)
{
	if (!s->released)
		s->ss->unreleased--;
	s->released = true;
}

static void
step_free(struct step *s)
{
	struct steps *ss = s->ss;

	step_release(s);
	if (s->state == STEP_RUNNING)
		step_disarm(s);
	reaper_forget(ss->env->reaper, &s->reap);
	reaper_forget(ss->env->reaper, &s->proc_reap);
	if (s->proc == PROC_EXITED)
		TAILQ_REMOVE(&ss->exits, s, exit_link);
	TAILQ_REMOVE(&ss->all, s, link);
	idmap_del(&ss->by_key, &s->by_key);
	free(s);
}

void
steps_free(struct steps *ss)
{
	if (ss == NULL)
		return;
	while (!TAILQ_EMPTY(&ss->all))
		step_free(TAILQ_FIRST(&ss->all));
	free(ss);
}

static void
step_maybe_free(struct step *s)
{
	if (s->released && s->state != STEP_RUNNING && s->proc == PROC_NONE)
		step_free(s);
}

static bool
step_is_internal(const struct step *s)
{
	return key_is_internal(step_key(s)) ||
	    !s->ss->ops->is_open(key_request(step_key(s)), s->ss->arg);
}

void
steps_request_done(struct steps *ss, uint64_t n)
{
	unsigned i;

	/* most requests only look, and while nothing else is going on that is all */
	for (i = 0; i <= 255 && ss->unreleased > 0; i++) {
		struct step *s = step_find(ss, key_of_step(n, i));

		/* one that is RUNNING has become internal: kept until ACK */
		if (s == NULL || s->state == STEP_RUNNING)
			continue;
		step_release(s);
		step_maybe_free(s);
	}
}

void
steps_ack(struct steps *ss, uint64_t key, uint64_t what)
{
	struct step *s = step_find(ss, key);

	if (s == NULL)
		return;
	if (what == ACK_EXIT && s->proc == PROC_EXITED) {
		TAILQ_REMOVE(&ss->exits, s, exit_link);
		s->proc = PROC_NONE;
	} else if (what == ACK_EXIT) {
		log_warnx("step %" PRIx64 ": ACK of an exit that was not, ignoring", key);
		return;
	}
	/* an open request's step outlives its process's exit: a replay needs it */
	if (s->state != STEP_RUNNING && step_is_internal(s))
		step_release(s);
	step_maybe_free(s);
}

/* --- the end of a command -------------------------------------------------- */

static void
step_fail(struct step *s, int error, const char *text)
{
	s->state = STEP_FAILED;
	s->error = error;
	(void)snprintf(s->text, sizeof s->text, "%.*s", (int)sizeof s->text - 1, text);
}

static void
proc_on_death(const struct death *death, void *arg)
{
	struct step *s = arg;

	s->ss->children--;
	s->proc = PROC_EXITED;
	s->death = *death;
	s->exit_seq = ++s->ss->last_seq;
	TAILQ_INSERT_TAIL(&s->ss->exits, s, exit_link);
	exit_tell(s);
	s->ss->ops->on_change(s->ss->arg);
}

/* Its command has ended well: what it was for must be there. 0 or -errno. */
static int
step_collect(struct step *s, struct adopted *adopted, struct err *err)
{
	int rc;

	if (s->console != NULL) {
		rc = console_finish(s->console, err);
		if (rc < 0)
			return rc;
	}
	if ((s->flags & SPAWN_ADOPT) == 0)
		return 0;
	rc = adopt_find(
	    s->ss->env->reaper, s->ss->env->dir_fd, s->pid_file, s->since, adopted, err);
	if (rc < 0)
		return rc;
	s->proc_pid = adopted->pid;
	s->proc_start = adopted->start;
	return 0;
}

static void
step_drop_terminal(struct step *s)
{
	char name[CONSOLE_NAME_MAX];

	if ((s->flags & SPAWN_CONSOLE) == 0)
		return;
	console_store(name, step_key(s));
	(void)fdstore_drop(s->ss->env->fds, name, false);
}

static void
step_on_death(const struct death *death, void *arg)
{
	struct step *s = arg;
	struct steps *ss = s->ss;
	struct adopted adopted = {0};
	struct err err = ERR_INIT;
	char text[sizeof s->text];

	ss->children--;
	s->state = STEP_DONE;
	s->wait_status = death->status;
	s->t = death->t_boot;
	if (s->failure.error == 0)
		(void)spawn_failed(s->fail_fd, &s->failure);
	if (s->failure.error != 0) {
		(void)snprintf(
		    text, sizeof text, "%s '%.120s'", s->failure.what, s->text);
		step_fail(s, s->failure.error, text);
	} else if (death->status == 0 && step_collect(s, &adopted, &err) < 0) {
		step_fail(s, err.code, err.text);
	}
	if (s->state == STEP_FAILED || death->status != 0)
		step_drop_terminal(s);
	if ((s->flags & SPAWN_ADOPT) != 0) {
		(void)unlinkat(ss->env->dir_fd, s->pid_file, 0);
		reaper_remember_end(ss->env->reaper);
	}
	step_disarm(s);
	if (s->proc_pid != 0) {
		s->proc = PROC_ALIVE;
		ss->children++;
		if (!adopted.ended)
			reaper_watch(ss->env->reaper, &s->proc_reap, s->proc_pid,
			    proc_on_death, s);
	}
	step_tell(s, false);
	if (adopted.ended)
		proc_on_death(&adopted.death, s);
	ss->ops->on_change(ss->arg);
}

static void
step_on_deadline(void *arg)
{
	struct step *s = arg;

	log_warnx("step %" PRIx64 ": '%s' is past its deadline, killing it", step_key(s),
	    s->text);
	s->timed_out = true;
	spawn_kill(s->pid);
}

/* End of file: it has started, and the pipe is of no more use. */
static void
step_on_fail_fd(evutil_socket_t fd, short what, void *arg)
{
	struct step *s = arg;

	(void)what;
	if (!spawn_failed(fd, &s->failure) && (s->flags & SPAWN_SURVIVE) != 0)
		step_tell(s, false);
	(void)event_del(&s->ev_fail);
	fd_close(&s->fail_fd);
}

static void
step_on_console(void *arg)
{
	struct step *s = arg;

	log_debug("step %" PRIx64 ": terminal stored", step_key(s));
}

/* --- its beginning --------------------------------------------------------- */

/* argv with the terminal socket's path in its place; the caller frees it. */
static char **
argv_with_console(char *const *argv, char *path)
{
	size_t i, n = 0;
	char **copy;

	while (argv[n] != NULL)
		n++;
	copy = calloc(n + 1, sizeof *copy);
	for (i = 0; copy != NULL && i < n; i++)
		copy[i] = strcmp(argv[i], SPAWN_CONSOLE_ARG) == 0 ? path : argv[i];
	return copy;
}

/* A command and what it starts, in a process group: spawn_kill() is for all of it. */
static bool
step_has_group(unsigned flags)
{
	return (flags & SPAWN_SURVIVE) == 0;
}

static int
step_fork(struct step *s, const struct msg_spawn *m, char *const *argv, struct err *err)
{
	struct steps *ss = s->ss;
	struct event_base *base = loop_base(ss->env->loop);
	struct spawn sp = {.exe_fd = -1,
	    .argv = argv,
	    .envp = m->envp,
	    .cwd = m->cwd,
	    .fds = m->fds,
	    .fd_nums = m->fd_nums,
	    .n_fds = m->n_fds,
	    .nice = (m->flags & SPAWN_NICE) != 0,
	    .die_with_us = (m->flags & SPAWN_SURVIVE) == 0,
	    .own_group = step_has_group(m->flags),
	    .nofile = ss->env->nofile};
	pid_t pid;

	s->since = clock_boot_ticks();
	pid = spawn_fork(&sp, &s->fail_fd);
	if (pid < 0)
		return err_set(err, -pid, "fork");
	s->pid = pid;
	(void)event_assign(
	    &s->ev_fail, base, s->fail_fd, EV_READ | EV_PERSIST, step_on_fail_fd, s);
	/* if not: step_on_death() reads it, too */
	(void)event_add(&s->ev_fail, NULL);
	if (s->deadline != 0) {
		boot_us_t now = clock_boot_us();

		loop_timer_init(&s->timer, step_on_deadline, s);
		loop_timer_set(
		    ss->env->loop, &s->timer, s->deadline > now ? s->deadline - now : 0);
	}
	reaper_watch(ss->env->reaper, &s->reap, pid, step_on_death, s);
	ss->children++;
	return 0;
}

/* 0, or -errno with nothing started. */
static int
step_begin(struct step *s, const struct msg_spawn *m, int fd_error, struct err *err)
{
	const struct steps_env *env = s->ss->env;
	char path[128], file[CONSOLE_NAME_MAX];
	AUTO_FREE char **argv = NULL;
	int rc;

	if (fd_error != 0)
		return err_set(
		    err, fd_error, "receive the descriptors of '%s'", m->argv[0]);
	if (m->deadline != 0 && m->deadline <= clock_boot_us()) {
		s->timed_out = true;
		return err_setx(err, ETIMEDOUT,
		    "its deadline had passed before '%s' began", m->argv[0]);
	}
	if ((m->flags & SPAWN_CONSOLE) != 0) {
		s->console = console_new(env->loop, env->dir_fd, step_key(s), env->fds,
		    step_on_console, s, err);
		if (s->console == NULL)
			return -err->code;
		console_file(file, step_key(s));
		(void)snprintf(path, sizeof path, "%s/%s", env->dir_alias, file);
		argv = argv_with_console(m->argv, path);
		if (argv == NULL)
			return err_set(err, ENOMEM, "spawn '%s'", m->argv[0]);
	}
	if ((m->flags & SPAWN_ADOPT) != 0) {
		(void)unlinkat(env->dir_fd, s->pid_file, 0);
		if (reaper_remember_begin(env->reaper) < 0)
			return err_set(err, ENOMEM, "spawn '%s'", m->argv[0]);
	}
	rc = step_fork(s, m, argv != NULL ? argv : m->argv, err);
	if (rc < 0 && (m->flags & SPAWN_ADOPT) != 0)
		reaper_remember_end(env->reaper);
	return rc;
}

void
steps_spawn(struct steps *ss, const struct msg_spawn *m, int fd_error)
{
	struct step *s = step_find(ss, m->key);
	struct err err = ERR_INIT;

	if (s != NULL) {
		step_tell(s, false);
		return;
	}
	s = step_new(ss, m->key, STEP_SPAWN, &m->tag, m->pid_file);
	if (s == NULL) {
		tell_no_room(ss, m->key, STEP_SPAWN, ENOMEM, &m->tag);
		return;
	}
	s->state = STEP_RUNNING;
	s->flags = m->flags;
	s->deadline = m->deadline;
	(void)snprintf(s->text, sizeof s->text, "%s", m->argv[0]);
	if (step_begin(s, m, fd_error, &err) == 0)
		return;
	step_disarm(s);
	s->t = clock_boot_us();
	step_fail(s, err.code, err.text);
	step_tell(s, false);
}

void
steps_signal(struct steps *ss, uint64_t key, uint64_t target, int signo,
    const struct msg_bytes *tag)
{
	struct step *s = step_find(ss, key), *t = step_find(ss, target);
	pid_t pid = 0;

	if (s != NULL) {
		step_tell(s, false);
		return;
	}
	s = step_new(ss, key, STEP_SIGNAL, tag, NULL);
	if (s == NULL) {
		tell_no_room(ss, key, STEP_SIGNAL, ENOMEM, tag);
		return;
	}
	if (t != NULL && t->proc == PROC_ALIVE)
		pid = t->proc_pid;
	else if (t != NULL && t->kind == STEP_SPAWN && t->state == STEP_RUNNING)
		pid = t->pid;
	s->state = STEP_DONE;
	s->t = clock_boot_us();
	/* a zombie that was not reaped yet takes any signal: our pids are ours */
	if (pid == 0)
		step_fail(s, ESRCH, "no such process");
	else if (signo == SIGKILL && t->proc != PROC_ALIVE && step_has_group(t->flags))
		spawn_kill(pid);
	else if (kill(pid, signo) == -1)
		step_fail(s, errno, "kill");
	step_tell(s, false);
}

/* --- looking --------------------------------------------------------------- */

void
steps_snapshot(struct steps *ss, size_t *n_steps, size_t *n_exits)
{
	const struct step *s;

	*n_steps = *n_exits = 0;
	TAILQ_FOREACH (s, &ss->all, link) {
		step_tell(s, true);
		++*n_steps;
	}
	TAILQ_FOREACH (s, &ss->exits, exit_link) {
		exit_tell(s);
		++*n_exits;
	}
}

size_t
steps_count(const struct steps *ss)
{
	return ss->by_key.n;
}

size_t
steps_children(const struct steps *ss)
{
	return ss->children;
}

void
steps_each(const struct steps *ss, void (*cb)(const char *line, void *arg), void *arg)
{
	static const char *const states[] = {
	    [STEP_RUNNING] = "running", [STEP_DONE] = "done", [STEP_FAILED] = "failed"};
	static const char *const procs[] = {
	    [PROC_NONE] = "", [PROC_ALIVE] = " alive", [PROC_EXITED] = " exited"};
	const struct step *s;
	char line[384];

	TAILQ_FOREACH (s, &ss->all, link) {
		(void)snprintf(line, sizeof line,
		    "step key=%" PRIx64
		    " %s %s pid=%ld status=%d error=%d deadline_us=%" PRIu64
		    " process=%ld%s%s text='%s'",
		    step_key(s), s->kind == STEP_SPAWN ? "spawn" : "signal",
		    states[s->state], (long)s->pid, s->wait_status, s->error, s->deadline,
		    (long)s->proc_pid, procs[s->proc], s->released ? " released" : "",
		    s->text);
		admin_clean(line);
		cb(line, arg);
	}
}

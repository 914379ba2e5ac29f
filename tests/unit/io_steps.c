/*
 * The steps of the fake link (io_help.h): the test process spawns, signals and reaps
 * as the keeper would. They outlive io_abandon(), as they outlive a worker.
 */
#include "io_help.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "worker/link.h"

struct fake_step {
	LIST_ENTRY(fake_step) link;
	struct msg_step step;
	char tag[MSG_TAG_MAX], text[160];
	pid_t pid;
	bool due;
	link_step_cb cb;
	void *arg;
};

static LIST_HEAD(, fake_step) steps = LIST_HEAD_INITIALIZER(steps);
static struct event *tick;
static uint64_t counter;

static struct fake_step *
step_find(uint64_t key)
{
	struct fake_step *s;

	LIST_FOREACH (s, &steps, link) {
		if (s->step.key == key)
			return s;
	}
	return NULL;
}

static void
step_reap(struct fake_step *s)
{
	int status;

	if (s->step.state != STEP_RUNNING || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	s->step.state = STEP_DONE;
	s->step.wait_status = status;
	s->step.child_pid = 0;
	s->due = true;
}

static void
steps_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct fake_step *s, *next;
	link_step_cb cb;

	(void)fd;
	(void)what;
	(void)arg;
	LIST_FOREACH (s, &steps, link)
		step_reap(s);
	for (s = LIST_FIRST(&steps); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		if (!s->due || s->cb == NULL)
			continue;
		s->due = false;
		cb = s->cb;
		s->cb = NULL;
		cb(&s->step, s->arg);
		next = LIST_FIRST(&steps); /* it may have changed the list */
	}
}

void
fake_steps_begin(struct loop *loop)
{
	const struct timeval tv = {.tv_usec = 1000};

	tick = event_new(loop_base(loop), -1, EV_PERSIST, steps_on_tick, NULL);
	event_add(tick, &tv);
}

void
fake_steps_end(void)
{
	struct fake_step *s;

	event_free(tick);
	tick = NULL;
	while ((s = LIST_FIRST(&steps)) != NULL) {
		if (s->step.state == STEP_RUNNING) {
			(void)kill(s->pid, SIGKILL);
			(void)waitpid(s->pid, NULL, 0);
		}
		LIST_REMOVE(s, link);
		free(s);
	}
}

size_t
fake_steps_count(void)
{
	struct fake_step *s;
	size_t n = 0;

	LIST_FOREACH (s, &steps, link)
		n++;
	return n;
}

pid_t
fake_steps_pid(void)
{
	struct fake_step *s;

	LIST_FOREACH (s, &steps, link) {
		if (s->step.state == STEP_RUNNING)
			return s->pid;
	}
	return 0;
}

uint64_t
link_internal_key(struct link *lk)
{
	(void)lk;
	return KEY_INTERNAL | UINT64_C(1) << 32 | ++counter;
}

/* In the child: descriptors to their places, all else closed, signals as new. */
static void
child_run(const struct msg_spawn *m, int fail_fd)
{
	int high[MSG_FDS_MAX], fail;
	size_t i;
	int fd;

	fail_fd = fcntl(fail_fd, F_DUPFD_CLOEXEC, 300);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the test */
	for (i = 0; i < m->n_fds; i++)
		high[i] = fcntl(m->fds[i], F_DUPFD, 100);
	for (fd = 0; fd < 100; fd++)
		(void)close(fd);
	(void)open("/dev/null", O_RDWR);
	(void)dup(0);
	(void)dup(0);
	for (i = 0; i < m->n_fds; i++)
		(void)dup2(high[i], (int)m->fd_nums[i]);
	for (fd = 100; fd < 300; fd++)
		(void)close(fd);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(m->argv[0], m->argv, m->envp);
	fail = errno;
	(void)!write(fail_fd, &fail, sizeof fail);
	_exit(127);
}

void
link_spawn(struct link *lk, const struct msg_spawn *m, link_step_cb cb, void *arg)
{
	struct fake_step *s = mem_zalloc(sizeof *s);
	int fail[2];

	(void)lk;
	s->step.key = m->key;
	s->step.kind = STEP_SPAWN;
	s->step.state = STEP_RUNNING;
	s->step.text = "";
	memcpy(s->tag, m->tag.p, m->tag.len);
	s->step.tag = (struct msg_bytes){.p = s->tag, .len = m->tag.len};
	s->cb = cb;
	s->arg = arg;
	LIST_INSERT_HEAD(&steps, s, link);
	if (pipe2(fail, O_CLOEXEC) == -1)
		abort();
	s->pid = fork();
	if (s->pid == 0)
		child_run(m, fail[1]);
	(void)close(fail[1]);
	if (read(fail[0], &s->step.error, sizeof s->step.error) > 0) {
		(void)waitpid(s->pid, NULL, 0);
		(void)snprintf(s->text, sizeof s->text, "exec '%s'", m->argv[0]);
		s->step.text = s->text;
		s->step.state = STEP_FAILED;
		s->due = true;
	} else {
		s->step.child_pid = s->pid;
	}
	(void)close(fail[0]);
}

void
link_signal(
    struct link *lk, uint64_t key, uint64_t target, int signo, link_step_cb cb, void *arg)
{
	struct fake_step *s = step_find(target);

	(void)lk;
	(void)key;
	(void)cb;
	(void)arg;
	if (s != NULL && s->step.state == STEP_RUNNING)
		(void)kill(s->pid, signo);
}

const struct msg_step *
link_step_known(struct link *lk, uint64_t key)
{
	struct fake_step *s = step_find(key);

	(void)lk;
	return s == NULL ? NULL : &s->step;
}

void
link_step_watch(struct link *lk, uint64_t key, link_step_cb cb, void *arg)
{
	struct fake_step *s = step_find(key);

	(void)lk;
	s->cb = cb;
	s->arg = arg;
	s->due = s->step.state != STEP_RUNNING;
}

void
link_step_unwatch(struct link *lk, uint64_t key)
{
	struct fake_step *s = step_find(key);

	(void)lk;
	if (s != NULL)
		s->cb = NULL;
}

void
link_each_step(
    struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg)
{
	struct fake_step *s, *next;

	(void)lk;
	for (s = LIST_FIRST(&steps); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		cb(&s->step, arg);
	}
}

void
link_ack(struct link *lk, uint64_t key)
{
	struct fake_step *s = step_find(key);

	(void)lk;
	if (s == NULL)
		return;
	LIST_REMOVE(s, link);
	free(s);
}

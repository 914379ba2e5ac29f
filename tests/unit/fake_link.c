/*
 * See fake_link.h. Being linked before libworker.a, it takes the place of the
 * real link.
 */
#include "fake_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"

#define STEPS_MAX 64u
#define FDS_MAX	  64u

struct fake_step {
	struct msg_step step;
	void *tag;
	boot_us_t deadline;
	bool used, due;
	link_step_cb cb;
	void *arg;
};

struct link {
	struct fake_step steps[STEPS_MAX];
	struct {
		char name[64];
		int fd; /* -1: free */
	} fds[FDS_MAX];
	struct {
		link_fd_cb cb;
		void *arg;
		int fd;
	} gets[8];
	size_t n_gets;
	uint64_t counter;
	unsigned most, spawned;
	bool stuck;
};

struct link *
fake_link_new(void)
{
	struct link *lk = mem_zalloc(sizeof *lk);
	size_t i;

	for (i = 0; i < FDS_MAX; i++)
		lk->fds[i].fd = -1;
	return lk;
}

static void
step_clear(struct fake_step *s)
{
	free(s->tag);
	*s = (struct fake_step){0};
}

void
fake_link_free(struct link *lk)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++) {
		struct fake_step *s = &lk->steps[i];

		if (s->used && s->step.state == STEP_RUNNING) {
			(void)kill(s->step.child_pid, SIGKILL);
			(void)waitpid(s->step.child_pid, NULL, 0);
		}
		if (s->used)
			step_clear(s);
	}
	for (i = 0; i < FDS_MAX; i++)
		fd_close(&lk->fds[i].fd);
	free(lk);
}

static struct fake_step *
find(struct link *lk, uint64_t key)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++) {
		if (lk->steps[i].used && lk->steps[i].step.key == key)
			return &lk->steps[i];
	}
	return NULL;
}

static unsigned
running(const struct link *lk)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < STEPS_MAX; i++)
		n += lk->steps[i].used && lk->steps[i].step.state == STEP_RUNNING;
	return n;
}

uint64_t
link_internal_key(struct link *lk)
{
	return KEY_INTERNAL | UINT64_C(1) << 32 | ++lk->counter;
}

static void
child(const struct msg_spawn *spawn, int exec_err)
{
	int high[8];
	size_t i;

	/* out of the way of the targets first */
	for (i = 0; i < spawn->n_fds; i++)
		high[i] = fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, 100);
	for (i = 0; i < spawn->n_fds; i++)
		(void)dup2(high[i], (int)spawn->fd_nums[i]);
	(void)execvp(spawn->argv[0], spawn->argv);
	(void)!write(exec_err, &errno, sizeof errno);
	_exit(127);
}

void
link_spawn(struct link *lk, const struct msg_spawn *spawn, link_step_cb cb, void *arg)
{
	struct fake_step *s = lk->steps;
	int err_pipe[2], code;
	pid_t pid;

	assert(find(lk, spawn->key) == NULL);
	while (s->used)
		s++;
	*s = (struct fake_step){
	    .used = true, .cb = cb, .arg = arg, .deadline = spawn->deadline};
	s->step.key = spawn->key;
	s->step.kind = STEP_SPAWN;
	s->step.state = STEP_RUNNING;
	s->tag = mem_dup(spawn->tag.p, spawn->tag.len);
	s->step.tag.p = s->tag;
	s->step.tag.len = spawn->tag.len;
	s->step.text = "";
	if (pipe2(err_pipe, O_CLOEXEC) == -1 || (pid = fork()) == -1)
		abort();
	if (pid == 0)
		child(spawn, err_pipe[1]);
	(void)close(err_pipe[1]);
	if (read(err_pipe[0], &code, sizeof code) == (ssize_t)sizeof code) {
		(void)waitpid(pid, NULL, 0);
		s->step.state = STEP_FAILED;
		s->step.error = code;
		s->step.text = "exec";
		s->due = true;
	}
	(void)close(err_pipe[0]);
	s->step.child_pid = pid;
	lk->spawned++;
	if (running(lk) > lk->most)
		lk->most = running(lk);
}

void
fake_link_poll(struct link *lk)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++) {
		struct fake_step *s = &lk->steps[i];
		int status;

		if (!s->used)
			continue;
		if (s->step.state == STEP_RUNNING && s->deadline != 0 &&
		    clock_boot_us() >= s->deadline && !s->step.timed_out) {
			s->step.timed_out = true;
			(void)kill(s->step.child_pid, SIGKILL);
		}
		if (s->step.state == STEP_RUNNING && !lk->stuck &&
		    waitpid(s->step.child_pid, &status, WNOHANG) > 0) {
			s->step.state = STEP_DONE;
			s->step.wait_status = status;
			s->due = true;
		}
		if (s->due && s->cb != NULL) {
			link_step_cb cb = s->cb;

			s->due = false;
			s->cb = NULL;
			cb(&s->step, s->arg);
		}
	}
	while (lk->n_gets > 0) {
		lk->n_gets--;
		lk->gets[lk->n_gets].cb(
		    lk->gets[lk->n_gets].fd, lk->gets[lk->n_gets].arg);
	}
}

void
link_ack(struct link *lk, uint64_t key)
{
	struct fake_step *s = find(lk, key);

	assert(s != NULL && s->step.state != STEP_RUNNING);
	step_clear(s);
}

void
link_each_step(
    struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++) {
		if (lk->steps[i].used && lk->steps[i].cb == NULL)
			cb(&lk->steps[i].step, arg);
	}
}

void
link_step_watch(struct link *lk, uint64_t key, link_step_cb cb, void *arg)
{
	struct fake_step *s = find(lk, key);

	s->cb = cb;
	s->arg = arg;
	s->due = s->step.state != STEP_RUNNING;
}

void
link_step_unwatch(struct link *lk, uint64_t key)
{
	struct fake_step *s = find(lk, key);

	if (s != NULL)
		s->cb = NULL;
}

static size_t
find_fd(const struct link *lk, const char *name)
{
	size_t i;

	for (i = 0; i < FDS_MAX; i++) {
		if (lk->fds[i].fd >= 0 && strcmp(lk->fds[i].name, name) == 0)
			break;
	}
	return i;
}

void
link_fd_put(struct link *lk, const char *name, int fd)
{
	size_t i;

	for (i = 0; lk->fds[i].fd >= 0; i++)
		;
	lk->fds[i].fd = fd_dup(fd);
	(void)strncpy(lk->fds[i].name, name, sizeof lk->fds[i].name - 1);
}

void
link_fd_put_fifo(struct link *lk, const char *name, int path_fd, bool writes)
{
	int fd = fifo_open_end(path_fd, writes);

	if (fd < 0)
		return;
	link_fd_put(lk, name, fd);
	(void)close(fd);
}

void
link_fd_drop(struct link *lk, const char *name, bool prefix)
{
	size_t i = find_fd(lk, name);

	assert(!prefix);
	if (i < FDS_MAX)
		fd_close(&lk->fds[i].fd);
}

bool
link_fd_known(struct link *lk, const char *name)
{
	return find_fd(lk, name) < FDS_MAX;
}

void
link_fd_get(struct link *lk, const char *name, link_fd_cb cb, void *arg)
{
	size_t i = find_fd(lk, name);

	lk->gets[lk->n_gets].cb = cb;
	lk->gets[lk->n_gets].arg = arg;
	lk->gets[lk->n_gets++].fd = i < FDS_MAX ? fd_dup(lk->fds[i].fd) : -ENOENT;
}

void
link_fd_forget(struct link *lk, const void *arg)
{
	size_t i, n = 0;

	for (i = 0; i < lk->n_gets; i++) {
		if (lk->gets[i].arg != arg)
			lk->gets[n++] = lk->gets[i];
		else if (lk->gets[i].fd >= 0)
			(void)close(lk->gets[i].fd);
	}
	lk->n_gets = n;
}

void
fake_link_worker_dies(struct link *lk)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++)
		lk->steps[i].cb = NULL;
}

void
fake_link_stick(struct link *lk, bool stuck)
{
	lk->stuck = stuck;
}

size_t
fake_link_steps(const struct link *lk)
{
	size_t i, n = 0;

	for (i = 0; i < STEPS_MAX; i++)
		n += lk->steps[i].used;
	return n;
}

size_t
fake_link_fds(const struct link *lk)
{
	size_t i, n = 0;

	for (i = 0; i < FDS_MAX; i++)
		n += lk->fds[i].fd >= 0;
	return n;
}

unsigned
fake_link_most(const struct link *lk)
{
	return lk->most;
}

unsigned
fake_link_spawned(const struct link *lk)
{
	return lk->spawned;
}

int
fake_link_child(const struct link *lk)
{
	size_t i;

	for (i = 0; i < STEPS_MAX; i++) {
		if (lk->steps[i].used && lk->steps[i].step.state == STEP_RUNNING)
			return lk->steps[i].step.child_pid;
	}
	return 0;
}

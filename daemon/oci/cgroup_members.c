/*
 * A cgroup and those below it: whose processes they are, and killing these.
 *
 * A container that may make cgroups may make a hundred thousand, and who walks them
 * may be the worker's loop. So a walk has a time; and where the kernel kills all at
 * once (v2), nothing is walked at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/cgroup_int.h"

#define CGROUP_TEXT_MAX	  (16u * 1024u * 1024u)
#define CGROUP_DEPTH_MAX  64u
#define CGROUP_WALK_LEAST 1024u
#define CGROUP_ROUNDS_MAX 1024u
#define CGROUP_PIDFDS_MAX 128u /* open at a time */
/* A walk, and the last round of a kill that does not get to the end of its walks. */
#define CGROUP_WALK_US	  (500 * US_PER_MS)
#define CGROUP_ROUNDS_US  (2 * US_PER_S)

/* --- walking ------------------------------------------------------------------ */

static bool walks_are_short; /* for a test */

struct walk {
	void (*cb)(int dirfd, const char *name, int fd, void *arg);
	void *arg;
	boot_us_t end;
	unsigned seen;
	bool cut; /* the time was over first */
};

void
cgroup_set_short_walks_for_test(bool on)
{
	walks_are_short = on;
}

/* However busy the machine is, a container of usual size is seen as a whole. */
static bool
walk_is_over(struct walk *w)
{
	w->seen++;
	return walks_are_short ||
	    (w->seen > CGROUP_WALK_LEAST && clock_boot_us() >= w->end);
}

static void
walk_one(struct walk *w, int parent, const char *name, unsigned depth)
{
	AUTO_CLOSEDIR DIR *d = dir_open(parent, name);
	struct dirent *de;
	struct stat st;
	bool leaf;

	if (d == NULL)
		return;
	/* a cgroup's links are itself twice and those below it */
	leaf = fstat(dirfd(d), &st) == 0 && st.st_nlink == 2;
	while (
	    !leaf && depth < CGROUP_DEPTH_MAX && !w->cut && (de = dir_next(d)) != NULL) {
		if (de->d_type != DT_DIR)
			continue;
		w->cut = walk_is_over(w);
		if (!w->cut)
			walk_one(w, dirfd(d), de->d_name, depth + 1);
	}
	w->cb(parent, name, dirfd(d), w->arg);
}

bool
cgroup_walk(
    int dirfd, void (*cb)(int dirfd, const char *name, int fd, void *arg), void *arg)
{
	struct walk w = {.cb = cb, .arg = arg, .end = clock_boot_us() + CGROUP_WALK_US};

	walk_one(&w, dirfd, ".", 0);
	return !w.cut;
}

/* --- members ------------------------------------------------------------------ */

struct pid_list {
	pid_t *v;
	size_t n, cap;
};

static void
pid_list_fini(struct pid_list *l)
{
	free(l->v);
	*l = (struct pid_list){0};
}
#define AUTO_PIDS __attribute__((cleanup(pid_list_fini)))

static void
pid_list_add_text(struct pid_list *l, const char *text)
{
	char *end;

	for (;;) {
		long pid = strtol(text, &end, 10);

		if (end == text)
			return;
		text = end;
		if (pid <= 0) /* of a pid namespace that we cannot see into */
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap == 0 ? 16 : l->cap * 2;
			l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
		}
		l->v[l->n++] = (pid_t)pid;
	}
}

static int
cgroup_too_large(const char *path, struct err *err)
{
	return err_setx(err, ETIMEDOUT,
	    "'%s' has too many cgroups below it, some are left out", path);
}

static void
cgroup_collect(int dirfd, const char *name, int fd, void *arg)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)dirfd;
	(void)name;
	/* a threaded v2 cgroup has no cgroup.procs to read: its domain lists them */
	if (file_read(fd, "cgroup.procs", CGROUP_TEXT_MAX, &text, &len, NULL) == 0)
		pid_list_add_text(arg, text);
}

static int
pid_compare(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static bool
pid_list_has(const struct pid_list *l, pid_t pid)
{
	return l->n > 0 && bsearch(&pid, l->v, l->n, sizeof *l->v, pid_compare) != NULL;
}

/* Sorted, each once. False: of some cgroups only. */
static bool
cgroup_list(int fd, struct pid_list *l)
{
	size_t i, n = 0;
	bool whole;

	l->n = 0;
	whole = cgroup_walk(fd, cgroup_collect, l);
	if (l->n == 0)
		return whole;
	qsort(l->v, l->n, sizeof *l->v, pid_compare);
	for (i = 0; i < l->n; i++) {
		if (i == 0 || l->v[i] != l->v[i - 1])
			l->v[n++] = l->v[i];
	}
	l->n = n;
	return whole;
}

int
cgroup_pids(const char *path, pid_t **pids, size_t *n, struct err *err)
{
	AUTO_CLOSE int fd = cgroup_open(path, err);
	AUTO_PIDS struct pid_list l = {0};

	if (fd < 0 && fd != -ENOENT && fd != -ENODEV)
		return fd;
	if (fd >= 0 && !cgroup_list(fd, &l))
		return cgroup_too_large(path, err);
	*n = l.n;
	*pids = steal_ptr(&l.v);
	return 0;
}

/* --- killing ------------------------------------------------------------------ */

/*
 * Signal one round's worth. A pid may have been given to a stranger since the
 * list was read; so each is pinned first, and signalled only if a second
 * reading still has it. Returns how many pids were dealt with for the first time.
 */
static size_t
cgroup_kill_round(int fd, const struct pid_list *now, struct pid_list *done)
{
	AUTO_PIDS struct pid_list again = {0};
	int pins[CGROUP_PIDFDS_MAX];
	pid_t pinned[CGROUP_PIDFDS_MAX];
	size_t i, n = 0;
	bool whole = true;

	for (i = 0; i < now->n && n < CGROUP_PIDFDS_MAX; i++) {
		if (pid_list_has(done, now->v[i]))
			continue;
		pins[n] = (int)syscall(SYS_pidfd_open, now->v[i], 0);
		if (pins[n] == -1 && errno != ENOSYS && errno != EMFILE &&
		    errno != ENFILE)
			continue; /* it has ended */
		pinned[n++] = now->v[i];
	}
	if (n > 0)
		whole = cgroup_list(fd, &again);
	for (i = 0; i < n; i++) {
		if (pid_list_has(&again, pinned[i])) {
			if (pins[i] >= 0)
				(void)syscall(
				    SYS_pidfd_send_signal, pins[i], SIGKILL, NULL, 0);
			else
				(void)kill(pinned[i], SIGKILL);
		}
		fd_close(&pins[i]);
	}
	for (i = 0; i < n; i++) {
		char text[24];

		if (!whole && !pid_list_has(&again, pinned[i]))
			continue; /* it was only not seen: once more */
		(void)snprintf(text, sizeof text, "%ld", (long)pinned[i]);
		pid_list_add_text(done, text);
	}
	if (done->n > 0)
		qsort(done->v, done->n, sizeof *done->v, pid_compare);
	return n;
}

static int
cgroup_is_ours(const char *path, struct err *err)
{
	return err_setx(err, EPERM, "'%s' holds podshim itself, not killing it", path);
}

/* All at once, where the kernel can: v2. 1: it cannot, or we cannot tell where we are. */
static int
cgroup_kill_v2(int fd, const char *path, struct err *err)
{
	AUTO_CLOSE int kill_fd =
	    openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int self, parent;

	if (kill_fd < 0)
		return 1;
	self = cgroup_v2_has(fd, getpid());
	parent = cgroup_v2_has(fd, getppid());
	if (self > 0 || parent > 0)
		return cgroup_is_ours(path, err);
	return self == 0 && parent == 0 && write(kill_fd, "1", 1) == 1 ? 0 : 1;
}

/*
 * A process with SIGKILL pending cannot fork any more, so the rounds come to an
 * end; their bound is for what we did not think of, the time for many cgroups.
 */
static int
cgroup_kill_rounds(int fd, const char *path, struct err *err)
{
	AUTO_PIDS struct pid_list now = {0}, done = {0};
	boot_us_t end = clock_boot_us() + CGROUP_ROUNDS_US;
	unsigned round;

	for (round = 0; round < CGROUP_ROUNDS_MAX; round++) {
		bool whole = cgroup_list(fd, &now);

		if (pid_list_has(&now, getpid()) || pid_list_has(&now, getppid()))
			return cgroup_is_ours(path, err);
		if (cgroup_kill_round(fd, &now, &done) == 0)
			return whole ? 0 : cgroup_too_large(path, err);
		if (!whole && clock_boot_us() >= end)
			return cgroup_too_large(path, err);
	}
	return err_setx(err, EAGAIN, "'%s' grows faster than it is killed", path);
}

int
cgroup_kill(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = cgroup_open(path, err);
	int rc;

	if (fd == -ENOENT || fd == -ENODEV)
		return 0;
	if (fd < 0)
		return fd;
	rc = cgroup_kill_v2(fd, path, err);
	return rc > 0 ? cgroup_kill_rounds(fd, path, err) : rc;
}

/*
 * Watching for kills; see oom.h.
 *
 *	v1  eventfd, registered in cgroup.event_control for memory.oom_control
 *	v2  EPOLLPRI on memory.events; one nested epoll descriptor per pod
 *
 * What surprises: v1 notifies once more when the cgroup is removed, and all
 * containers below a limit when that is hit, whoever is killed then; so only
 * the count is believed. It notifies before it kills, and counts after that: the count is
 * looked at again for a second or so. On v2 the next notification comes only after a pread of
 * that very descriptor. A TaskOOM that waits in the outbox already stands for
 * those that follow: a container whose children are killed for days while
 * containerd is away costs one event.
 */
#include "worker/oom.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/cgroup_dirs.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/events.h"
#include "worker/pod.h"
#include "worker/process.h"

#define OOM_TEXT_MAX  4096u
#define OOM_BATCH     32
#define OOM_AGAIN_US  (4 * US_PER_MS) /* v1: then four times that, and so on: five looks */
#define OOM_AGAIN_MAX (2 * US_PER_S)

struct oom_watch {
	struct container *c;
	bool v2;
	int fd;	       /* v1: the directory; v2: memory.events */
	int notify_fd; /* v1: the eventfd */
	/* v1 */
	struct event *ev;
	struct loop_timer again;
	uint64_t again_us;
};

/* --- counting -------------------------------------------------------------------- */

bool
oom_parse(const char *text, const char *key, uint64_t *out)
{
	size_t len = strlen(key);

	while (*text != '\0') {
		if (strncmp(text, key, len) == 0 && text[len] == ' ') {
			*out = strtoull(text + len + 1, NULL, 10);
			return true;
		}
		text = strchrnul(text, '\n');
		text += *text == '\n';
	}
	return false;
}

static bool
oom_read(int fd, uint64_t *out)
{
	char text[OOM_TEXT_MAX];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return oom_parse(text, "oom_kill", out);
}

bool
oom_count_v2(int events_fd, uint64_t *out)
{
	return oom_read(events_fd, out);
}

static bool
oom_count_one(int dirfd, uint64_t *out)
{
	AUTO_CLOSE int fd =
	    openat(dirfd, "memory.oom_control", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && oom_read(fd, out);
}

struct oom_sum {
	uint64_t sum;
	bool last; /* did the last one say? */
};

static void
oom_add(int parent, const char *name, int fd, void *arg)
{
	struct oom_sum *s = arg;
	uint64_t own;

	(void)parent;
	(void)name;
	s->last = oom_count_one(fd, &own);
	if (s->last)
		s->sum += own;
}

bool
oom_count_v1(int dirfd, uint64_t *out, bool *whole)
{
	struct oom_sum s = {0};
	bool all = cgroup_walk(dirfd, oom_add, &s);

	if (!s.last) /* the cgroup itself */
		return false;
	*out = s.sum;
	*whole = all;
	return true;
}

/* --- telling ---------------------------------------------------------------------- */

static bool
oom_has_grown(struct container *c)
{
	bool whole = true;
	uint64_t count;

	if (c->oom == NULL ||
	    !(c->oom->v2 ? oom_count_v2(c->oom->fd, &count)
			 : oom_count_v1(c->oom->fd, &count, &whole)))
		return false;
	if (count == c->oom_seen)
		return false;
	log_debug("container '%s': %llu killed for memory, %llu told", c->id,
	    (unsigned long long)count, (unsigned long long)c->oom_seen);
	/* less: cgroups below it have gone, and their counts with them; or not all were seen */
	if (count < c->oom_seen) {
		if (whole)
			c->oom_seen = count;
		return false;
	}
	c->oom_seen = count;
	return true;
}

static bool
oom_is_told_event(const struct row_event *row, void *arg)
{
	struct container **c = arg;

	if (strcmp(row->topic, "/tasks/oom") != 0 ||
	    strcmp(row->container, (*c)->id) != 0)
		return true;
	*c = NULL;
	return false;
}

static bool
oom_is_waiting(struct container *c)
{
	struct container *arg = c;

	return store_each_event(c->pod->store, 0, oom_is_told_event, &arg, NULL) == 0 &&
	    arg == NULL;
}

static void
oom_tell(struct container *c)
{
	if (!c->purging && !oom_is_waiting(c))
		events_oom(c);
	store_audit(c->pod->store, c->id, "", "oom", "");
	container_put(c);
}

void
oom_note(struct container *c)
{
	if (oom_has_grown(c))
		oom_tell(c);
}

static void
oom_look(struct container *c)
{
	/* not before TaskStart: its Start, or its exit, looks again */
	if (c->init->starting || c->init->state == TASK_CREATED || !oom_has_grown(c))
		return;
	CRASH_POINT("oom.seen");
	pod_begin(c->pod);
	oom_tell(c);
	(void)pod_commit(c->pod, STORE_KEEP, NULL);
	CRASH_POINT("oom.committed");
}

/* --- v1 ----------------------------------------------------------------------------- */

static void
oom_on_again(void *arg)
{
	struct oom_watch *w = arg;

	if (w->again_us <= OOM_AGAIN_MAX)
		loop_timer_set(w->c->pod->loop, &w->again, w->again_us);
	w->again_us *= 4;
	oom_look(w->c);
}

static void
oom_on_eventfd(evutil_socket_t fd, short what, void *arg)
{
	struct oom_watch *w = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof n) == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!oom_count_one(w->fd, &n)) {
		oom_unwatch(w->c); /* the cgroup is gone: that was what it said */
		return;
	}
	w->again_us = OOM_AGAIN_US;
	oom_on_again(w);
}

static int
oom_register_v1(struct oom_watch *w, struct err *err)
{
	AUTO_CLOSE int target = -1, control = -1;
	char line[32];
	int n;

	target = openat(w->fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	if (target == -1)
		return err_set(err, errno, "open memory.oom_control");
	control = openat(w->fd, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
	if (control == -1)
		return err_set(err, errno, "open cgroup.event_control");
	w->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->notify_fd == -1)
		return err_set(err, errno, "eventfd");
	n = snprintf(line, sizeof line, "%d %d", w->notify_fd, target);
	if (write(control, line, (size_t)n) == -1)
		return err_set(err, errno, "write cgroup.event_control");
	w->ev = event_new(loop_base(w->c->pod->loop), w->notify_fd, EV_READ | EV_PERSIST,
	    oom_on_eventfd, w);
	if (w->ev == NULL || event_add(w->ev, NULL) == -1)
		abort();
	return 0;
}

/* --- v2 ------------------------------------------------------------------------------- */

static void
oom_on_epoll(evutil_socket_t fd, short what, void *arg)
{
	struct epoll_event evs[OOM_BATCH];
	int n, i;

	(void)what;
	(void)arg;
	n = epoll_wait(fd, evs, OOM_BATCH, 0);
	for (i = 0; i < n; i++) {
		struct oom_watch *w = evs[i].data.ptr;
		uint64_t count;

		/* the reading arms it again; one that cannot be read would be due for ever */
		if (!oom_count_v2(w->fd, &count))
			oom_unwatch(w->c);
		else
			oom_look(w->c);
	}
}

static int
oom_register_v2(struct oom_watch *w, struct err *err)
{
	struct pod *pod = w->c->pod;
	struct epoll_event want = {.events = EPOLLPRI, .data.ptr = w};

	if (pod->oom_ev == NULL) {
		int fd = epoll_create1(EPOLL_CLOEXEC);

		if (fd == -1)
			return err_set(err, errno, "epoll_create1");
		pod->oom_ev = event_new(
		    loop_base(pod->loop), fd, EV_READ | EV_PERSIST, oom_on_epoll, NULL);
		if (pod->oom_ev == NULL || event_add(pod->oom_ev, NULL) == -1)
			abort();
	}
	if (epoll_ctl(event_get_fd(pod->oom_ev), EPOLL_CTL_ADD, w->fd, &want) == -1)
		return err_set(err, errno, "epoll_ctl");
	return 0;
}

/* --- both ------------------------------------------------------------------------------ */

static int
oom_open(const struct cgroup_dirs *dirs)
{
	AUTO_CLOSE int dirfd = -1;
	const char *path = dirs->v2 ? dirs->path[0] : dirs->path[DIR_MEMORY];

	if (path == NULL)
		return -1;
	dirfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dirfd == -1 || !dirs->v2)
		return steal_fd(&dirfd);
	return openat(dirfd, "memory.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

void
oom_watch(struct container *c, bool fresh)
{
	struct err err = ERR_INIT;
	struct oom_watch *w;
	int fd, rc;

	if (c->oom != NULL || c->dirs == NULL || (fd = oom_open(c->dirs)) < 0)
		return;
	w = mem_zalloc(sizeof *w);
	*w = (struct oom_watch){.c = c, .v2 = c->dirs->v2, .fd = fd, .notify_fd = -1};
	loop_timer_init(&w->again, oom_on_again, w);
	c->oom = w;
	rc = w->v2 ? oom_register_v2(w, &err) : oom_register_v1(w, &err);
	if (rc < 0) /* the count is still looked at when a process exits */
		log_warnx(
		    "container '%s': no notice of OOM: %s, ignoring", c->id, err.text);
	if (!fresh)
		oom_look(c);
	else
		(void)oom_has_grown(c);
}

void
oom_unwatch(struct container *c)
{
	struct oom_watch *w = c->oom;

	if (w == NULL)
		return;
	c->oom = NULL;
	loop_timer_stop(c->pod->loop, &w->again);
	if (w->ev != NULL)
		event_free(w->ev);
	if (w->v2 && c->pod->oom_ev != NULL)
		(void)epoll_ctl(event_get_fd(c->pod->oom_ev), EPOLL_CTL_DEL, w->fd, NULL);
	fd_close(&w->notify_fd);
	fd_close(&w->fd);
	free(w);
}

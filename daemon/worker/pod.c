/*
 * The pod: transactions, and the question whether anything is left to do.
 *
 * Ending is the keeper's decision; we only say IDLE once nothing is left. The
 * timer that says so exists only while there is no container, so an idle pod
 * with containers has no timer at all (design P8).
 */
#include "worker/pod.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "worker/container.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/process.h"

#define POD_ROOM_MIN UINT64_C(65536) /* bytes, below which nothing is created */
#define POD_FLUSH_US US_PER_S
#define POD_DRAIN_US (5 * US_PER_S)
#define POD_GRACE_US (3 * US_PER_S)
#define POD_MARK_MAX 2048

struct event *
pod_timer_new(struct pod *pod, void (*cb)(int fd, short what, void *arg), void *arg)
{
	struct event *ev = event_new(loop_base(pod->loop), -1, 0, cb, arg);

	if (ev == NULL)
		abort();
	return ev;
}

void
pod_timer_set(struct event *ev, uint64_t after_us)
{
	struct timeval tv = {
	    .tv_sec = (time_t)(after_us / US_PER_S),
	    .tv_usec = (suseconds_t)(after_us % US_PER_S),
	};

	(void)event_add(ev, &tv);
}

/* --- transactions ------------------------------------------------------------ */

void
pod_begin(struct pod *pod)
{
	size_t i;

	store_begin(pod->store);
	if (pod->n_spent == 0 || link_queued(pod->link) > 0)
		return; /* an answer that is still ours may be asked for again */
	for (i = 0; i < pod->n_spent; i++)
		store_delete_answer(pod->store, pod->spent[i]);
	pod->n_spent_in_tx = pod->n_spent;
}

static void
pod_end_spent(struct pod *pod, int commit_rc)
{
	if (commit_rc >= 0 && pod->n_spent_in_tx > 0) {
		pod->n_spent -= pod->n_spent_in_tx;
		memmove(pod->spent, pod->spent + pod->n_spent_in_tx,
		    pod->n_spent * sizeof *pod->spent);
	}
	pod->n_spent_in_tx = 0;
}

/* The file was damaged and is a new one now: all that memory knows. */
static void
pod_put_all(void *arg)
{
	struct pod *pod = arg;
	struct container *c, *next_c;
	struct process *p, *next_p;

	log_errx("the store was damaged, writing all rows anew");
	store_set_meta(pod->store, STORE_PARTIAL, NULL);
	HASH_ITER (hh, pod->containers, c, next_c) {
		if (c->state == TASK_CREATING && !c->from_row)
			continue;
		container_put(c);
		if (c->state != TASK_CREATING)
			process_put(c->init);
		HASH_ITER (hh, c->execs, p, next_p)
			process_put(p);
	}
	if (pod->shutdown_seen)
		store_set_meta(pod->store, "shutdown_seen", "1");
}

/* Whoever committed that, also the outbox. Before GO nothing is written anyway. */
static void
pod_on_kept(const char *why, void *arg)
{
	struct pod *pod = arg;

	if (!pod->live)
		return;
	log_errx("the store does not take our rows: %s; going on from memory", why);
	if (!event_pending(pod->flush_ev, EV_TIMEOUT, NULL))
		pod_timer_set(pod->flush_ev, POD_FLUSH_US);
}

void
pod_use_store(struct pod *pod, struct store *st)
{
	pod->store = st;
	store_on_kept(st, pod_on_kept, pod);
	store_on_replaced(st, pod_put_all, pod);
}

void
pod_kick_events(struct pod *pod)
{
	struct container *c = pod->containers;

	while (c != NULL && container_stopped(c))
		c = c->hh.next;
	outbox_at_end(pod->outbox, c == NULL);
	outbox_kick(pod->outbox);
}

/* Nothing waits for the disk any more: neither do the keeper's exits and memos. */
static void
pod_written(struct pod *pod)
{
	size_t i;

	for (i = 0; i < pod->n_unacked; i++)
		link_ack_exit(pod->link, pod->unacked[i]);
	free(pod->unacked);
	pod->unacked = NULL;
	pod->n_unacked = 0;
	for (i = 0; i < pod->n_memos; i++)
		link_ack(pod->link, pod->memos[i]);
	free(pod->memos);
	pod->memos = NULL;
	pod->n_memos = 0;
}

int
pod_commit(struct pod *pod, enum store_commit_mode mode, struct err *err)
{
	struct err local = ERR_INIT;
	int rc = store_commit(pod->store, mode, &local);

	pod_end_spent(pod, rc);
	if (rc < 0 && pod->live)
		log_errx("the store does not take our rows: %s", local.text);
	if (rc < 0 && err != NULL)
		*err = local;
	if (store_backlog(pod->store) == 0)
		pod_written(pod);
	/* before GO outbox_resume() must come first: it finds what is on its way already */
	if (pod->live)
		pod_kick_events(pod);
	return rc;
}

int
pod_flush(struct pod *pod, struct err *err)
{
	/* a migration that did not fit at GO comes first: nothing else is written before */
	int rc = store_commit_migration(pod->store, err);

	if (rc == 0)
		rc = store_flush(pod->store, err);
	if (rc == 0)
		pod_written(pod);
	else
		pod_timer_set(pod->flush_ev, POD_FLUSH_US);
	return rc;
}

void
pod_note_gone(struct pod *pod, enum tag_kind kind, const char *container,
    const char *exec_id, int commit_rc)
{
	const struct tag tag = {.kind = kind, .container = container, .exec_id = exec_id};
	char text[MSG_TAG_MAX];
	struct msg_bytes bytes = {.p = text};

	if (commit_rc == 0)
		return;
	bytes.len = tag_write(text, &tag);
	pod->memos = mem_realloc(pod->memos, (pod->n_memos + 1) * sizeof *pod->memos);
	pod->memos[pod->n_memos++] = link_memo(pod->link, &bytes);
}

static void
pod_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct pod *pod = arg;

	(void)fd;
	(void)what;
	if (pod_flush(pod, NULL) == 0)
		log_info("the store takes our rows again");
}

int
pod_writable(struct pod *pod, struct err *err)
{
	struct statvfs vfs;

	/* the runtime's pid file and log lie there, too, and our row may still have fitted */
	if (fstatvfs(pod->dirfd, &vfs) == 0 &&
	    (uint64_t)vfs.f_bavail * vfs.f_frsize < POD_ROOM_MIN)
		return err_setx(
		    err, ENOSPC, "no room for the pod's state in '%s'", pod->dir);
	/* acknowledges memos, too: what is created now must not be taken for what they name */
	if (pod_flush(pod, err) == 0)
		return 0;
	return err_wrap(err, -ENOSPC, "the pod's state cannot be written");
}

void
pod_spent(struct pod *pod, uint64_t n)
{
	if (pod->n_spent == pod->cap_spent) {
		pod->cap_spent = pod->cap_spent == 0 ? 16 : pod->cap_spent * 2;
		pod->spent = mem_realloc(pod->spent, pod->cap_spent * sizeof *pod->spent);
	}
	pod->spent[pod->n_spent++] = n;
}

void
pod_ack_exit(struct pod *pod, uint64_t key, int commit_rc)
{
	if (commit_rc == 0) {
		link_ack_exit(pod->link, key);
		return;
	}
	pod->unacked =
	    mem_realloc(pod->unacked, (pod->n_unacked + 1) * sizeof *pod->unacked);
	pod->unacked[pod->n_unacked++] = key;
}

/* --- the end ------------------------------------------------------------------ */

static bool
pod_empty(const struct pod *pod)
{
	return pod->containers == NULL && pod->ops == NULL;
}

static bool
pod_still_ends(void *arg)
{
	const struct pod *pod = arg;

	return !pod->leaving && pod_empty(pod);
}

static void
pod_on_drained(void *arg)
{
	struct pod *pod = arg;

	if (!pod_still_ends(pod))
		return;
	log_debug("nothing left, saying so");
	pod->idle_said = true;
	pod->idle_n = pod->highest_n;
	link_idle(pod->link, pod->idle_n);
	/* a pin, or a request on its way, may make the keeper ignore it: for a while */
	pod_timer_set(pod->idle_ev,
	    pod->conf.end_delay_us > POD_GRACE_US ? pod->conf.end_delay_us
						  : POD_GRACE_US);
}

static void
pod_on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct pod *pod = arg;

	(void)fd;
	(void)what;
	if (pod_still_ends(pod))
		outbox_drain(
		    pod->outbox, POD_DRAIN_US, pod_still_ends, pod_on_drained, pod);
}

void
pod_check_idle(struct pod *pod)
{
	if (!pod->live || pod->leaving)
		return;
	if (!pod_empty(pod)) {
		(void)event_del(pod->idle_ev);
		outbox_drain_stop(pod->outbox);
		pod->idle_said = false;
		return;
	}
	if (pod->idle_said && pod->highest_n > pod->idle_n) {
		/* a request crossed our IDLE, which the keeper therefore ignored */
		pod_timer_set(pod->idle_ev, 0);
		return;
	}
	if (event_pending(pod->idle_ev, EV_TIMEOUT, NULL))
		return;
	pod_timer_set(
	    pod->idle_ev, pod->shutdown_seen ? POD_GRACE_US : pod->conf.end_delay_us);
}

void
pod_end_now(struct pod *pod)
{
	pod_timer_set(pod->idle_ev, 0);
}

/* --- small things ------------------------------------------------------------- */

void
pod_mark(struct pod *pod)
{
	char text[POD_MARK_MAX];
	struct container *c, *next;
	size_t len = 0;

	text[0] = '\0';
	HASH_ITER (hh, pod->containers, c, next) {
		int n = snprintf(text + len, sizeof text - len, "%s%s=%s",
		    len > 0 ? " " : "", c->id, task_state_name(c->state));

		if (n < 0 || (size_t)n >= sizeof text - len) {
			text[len] = '\0';
			break;
		}
		len += (size_t)n;
	}
	link_mark(pod->link, text);
}

static bool
pod_log_is_in(const struct pod *pod, const struct container *c)
{
	size_t len = strlen(c->bundle);

	return len > 0 && strncmp(pod->log_path, c->bundle, len) == 0 &&
	    pod->log_path[len] == '/';
}

void
pod_choose_log(struct pod *pod, const struct container *leaving)
{
	struct container *c, *next;
	struct stat st;

	if (pod->log_path == NULL)
		return; /* standard error */
	if (stat(pod->log_path, &st) == 0 &&
	    (leaving == NULL || !pod_log_is_in(pod, leaving)))
		return;
	HASH_ITER (hh, pod->containers, c, next) {
		AUTO_FREE char *path = mem_printf("%s/log", c->bundle);

		if (c == leaving || c->bundle[0] == '\0' || stat(path, &st) == -1)
			continue;
		free(pod->log_path);
		pod->log_path = steal_ptr(&path);
		log_set_path(pod->log_path);
		link_log(pod->link, pod->log_path);
		return;
	}
}

char *
pod_key_name(const char *what, uint64_t key)
{
	return mem_printf("%s.%" PRIx64, what, key);
}

char *
pod_key_path(const struct pod *pod, const char *what, uint64_t key)
{
	return mem_printf("%s/%s.%" PRIx64, pod->dir, what, key);
}

void
pod_unlink_key(struct pod *pod, const char *what, uint64_t key)
{
	AUTO_FREE char *name = pod_key_name(what, key);

	(void)unlinkat(pod->dirfd, name, 0);
}

int
pod_check_id(const char *what, const char *id, struct err *err)
{
	size_t len = strlen(id), i;
	bool sep = true; /* a separator may not come first, last, or twice */

	if (len == 0)
		return err_setx(err, EINVAL, "%s is empty", what);
	if (len > POD_ID_MAX)
		return err_setx(
		    err, EINVAL, "%s is longer than %u characters", what, POD_ID_MAX);
	for (i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)id[i];

		if (isalnum(ch)) {
			sep = false;
		} else if ((ch == '.' || ch == '_' || ch == '-') && !sep) {
			sep = true;
		} else {
			sep = true;
			break;
		}
	}
	if (sep)
		return err_setx(err, EINVAL, "%s is not a valid identifier", what);
	return 0;
}

void
pod_init(struct pod *pod, struct loop *loop)
{
	*pod = (struct pod){.loop = loop, .dirfd = -1, .exe_fd = -1};
	pod->flush_ev = pod_timer_new(pod, pod_on_flush, pod);
	pod->idle_ev = pod_timer_new(pod, pod_on_idle, pod);
}

void
pod_fini(struct pod *pod)
{
	event_free(pod->flush_ev);
	event_free(pod->idle_ev);
	free(pod->log_path);
	free(pod->leaked);
	free(pod->spent);
	free(pod->unacked);
	free(pod->memos);
	pod->spent = pod->unacked = pod->memos = NULL;
}

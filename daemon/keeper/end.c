/*
 * The end. It is checked whenever something went that stood against it: a pin,
 * a child, an answer. What must hold at one moment, under the pod's lock: the
 * worker is idle and has seen every request; no pin, no child, no unanswered
 * request, no unwritten answer; nobody waits in the backlog.
 *
 * A launcher that wants to join holds the lock, so it either comes before that
 * moment, and its pin is seen, or after, and finds nothing of us: the socket
 * goes first, the lock file last.
 */
#include "keeper/end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "ipc/msg.h"
#include "keeper/admin_server.h"
#include "keeper/conn.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/request.h"
#include "keeper/step.h"

#define RETRY_US     (100 * US_PER_MS)
/* for a lock that nobody holds and that cannot be had */
#define RETRY_MAX_US (5 * US_PER_S)
/* to empty the directory */
#define TIDY_TRIES   20

struct pin {
	LIST_ENTRY(pin) link;
	boot_us_t until;
	char id[];
};

struct end {
	struct pod *pod;
	LIST_HEAD(, pin) pins;
	size_t n_pins;
	struct loop_timer pin_timer;
	struct loop_timer retry;
	bool idle;
	uint64_t idle_n;
	bool term; /* asked to end; a pin or a request after it says no */
	uint64_t term_n;
	bool given_up; /* the same, should no worker come up any more */
	uint64_t given_up_n;
	boot_us_t busy_since; /* answers were unwritten when all else was done */
	int lock_fd;
	int lock_error; /* why it could not be had the last time; the log says so */
	uint64_t lock_retry_us;
	bool ending;
	unsigned tidied;
	/* the socket that is ours at that path */
	dev_t sock_dev;
	ino_t sock_ino;
};

/* --- pins ------------------------------------------------------------------ */

static void
pin_free(struct end *end, struct pin *pin)
{
	LIST_REMOVE(pin, link);
	end->n_pins--;
	free(pin);
}

static struct pin *
pin_find(struct end *end, const char *id)
{
	struct pin *pin;

	LIST_FOREACH (pin, &end->pins, link)
		if (strcmp(pin->id, id) == 0)
			return pin;
	return NULL;
}

static void
pin_tell(struct end *end, const struct pin *pin)
{
	_Alignas(8) char buf[512];
	struct msg_head head = {.type = MSG_PINNED, .a = pin->until};
	size_t len = 0;

	if (msg_put_str(buf, sizeof buf, &len, MF_NAME, pin->id) < 0)
		return;
	head.len = (uint32_t)len;
	life_send(end->pod->life, &head, buf, NULL, 0);
}

static void
pins_arm(struct end *end)
{
	boot_us_t now = clock_boot_us(), first = 0;
	const struct pin *pin;

	LIST_FOREACH (pin, &end->pins, link)
		if (first == 0 || pin->until < first)
			first = pin->until;
	if (first == 0)
		loop_timer_stop(end->pod->loop, &end->pin_timer);
	else
		loop_timer_set(
		    end->pod->loop, &end->pin_timer, first > now ? first - now : 0);
}

static void
end_on_pin_timer(void *arg)
{
	struct end *end = arg;
	boot_us_t now = clock_boot_us();
	struct pin *pin, *next;

	for (pin = LIST_FIRST(&end->pins); pin != NULL; pin = next) {
		next = LIST_NEXT(pin, link);
		if (pin->until > now)
			continue;
		log_warnx("nobody created container '%s': its pin has expired", pin->id);
		pin_free(end, pin);
	}
	pins_arm(end);
	end_check(end);
}

int
end_pin(struct end *end, const char *id)
{
	struct pin *pin = pin_find(end, id);
	size_t len = strlen(id) + 1;

	if (end->ending)
		return -EAGAIN;
	if (len > MSG_NAME_MAX)
		return -EINVAL;
	if (pin == NULL) {
		if (end->n_pins >= LIMIT_PINS)
			return -ENOBUFS;
		pin = malloc(sizeof *pin + len);
		if (pin == NULL)
			return -ENOMEM;
		memcpy(pin->id, id, len);
		LIST_INSERT_HEAD(&end->pins, pin, link);
		end->n_pins++;
	}
	pin->until = clock_boot_us() + LIMIT_PIN_US;
	end->term = end->given_up = false;
	pins_arm(end);
	pin_tell(end, pin);
	return 0;
}

void
end_unpin(struct end *end, const char *id)
{
	struct pin *pin = pin_find(end, id);

	if (pin == NULL)
		return;
	pin_free(end, pin);
	pins_arm(end);
	end_check(end);
}

size_t
end_pins(const struct end *end)
{
	return end->n_pins;
}

size_t
end_tell_pins(struct end *end)
{
	const struct pin *pin;

	LIST_FOREACH (pin, &end->pins, link)
		pin_tell(end, pin);
	return end->n_pins;
}

/* --- leaving nothing ------------------------------------------------------- */

static void
remove_socket(struct end *end)
{
	const char *path = end->pod->args->socket_path;
	struct stat st;

	/* a successor may have bound the path already */
	if (lstat(path, &st) == 0 && st.st_dev == end->sock_dev &&
	    st.st_ino == end->sock_ino)
		(void)unlink(path);
}

/* The lock file, and above it what has become empty. We hold the lock. */
static void
remove_lock(struct end *end)
{
	const char *path = end->pod->args->lock_path;
	struct stat mine, there;
	char up[4096], *slash;
	int level;

	if (fstat(end->lock_fd, &mine) == -1 || lstat(path, &there) == -1 ||
	    mine.st_dev != there.st_dev || mine.st_ino != there.st_ino)
		return;
	(void)unlink(path);
	(void)snprintf(up, sizeof up, "%s", path);
	for (level = 0; level < 2; level++) { /* namespace, state root */
		slash = strrchr(up, '/');
		if (slash == NULL || slash == up)
			return;
		*slash = '\0';
		if (rmdir(up) == -1)
			return;
	}
}

/* The worker is gone; we are dead to the world, and only tidy up. */
static void
end_finish(void *arg)
{
	struct end *end = arg;
	struct pod *pod = end->pod;

	tree_empty(pod->dir_fd);
	/* what is there now, without a lock, is not ours */
	if (end->lock_fd != -1 && rmdir(pod->args->dir) == -1 && errno != ENOENT) {
		log_warn("remove '%s'", pod->args->dir);
		/* perhaps there was no memory to list it */
		if (end->tidied++ < TIDY_TRIES) {
			loop_timer_init(&end->retry, end_finish, end);
			loop_timer_set(pod->loop, &end->retry, RETRY_US);
			return;
		}
	}
	remove_lock(end);
	log_info("the pod has ended");
	loop_stop(pod->loop);
}

static void
end_begin(struct end *end)
{
	end->ending = true;
	loop_timer_stop(end->pod->loop, &end->pin_timer);
	loop_timer_stop(end->pod->loop, &end->retry);
	remove_socket(end);
	conns_close_listener(end->pod->conns);
	admin_server_close(end->pod->admin);
	life_end(end->pod->life, end_finish, end);
}

/* --- deciding -------------------------------------------------------------- */

/* Also those that have ended: what is known of them would go with us. */
static bool
end_has_containers(const struct end *end)
{
	const char *mark = end->pod->mark;

	return steps_children(end->pod->steps) > 0 || (mark != NULL && mark[0] != '\0');
}

/* Does anything stand against it, apart from who may be on his way? */
static bool
end_is_due(struct end *end)
{
	struct pod *pod = end->pod;
	const bool hopeless = life_is_hopeless(pod->life);
	const uint64_t highest = requests_highest(pod->requests);
	bool term;

	if (!hopeless && end_has_containers(end))
		end->term = false; /* it is refused while there are any */
	if (steps_children(pod->steps) > 0) {
		end->term = false;
		return false;
	}
	term = (end->term && end->term_n == highest) ||
	    (hopeless && end->given_up && end->given_up_n == highest);
	if (end->n_pins > 0)
		return false;
	/* those that no worker will ever end have been answered */
	if (requests_count(pod->requests) > 0 && !(term && hopeless))
		return false;
	return term || (end->idle && end->idle_n >= requests_given(pod->requests)) ||
	    (hopeless && life_never_ran(pod->life));
}

/*
 * 0, or -errno: -EWOULDBLOCK, a launcher holds it; -ENOENT, its directory is
 * gone, and the pod's with it.
 */
static int
end_lock(struct end *end)
{
	if (end->lock_fd == -1)
		end->lock_fd = open(end->pod->args->lock_path,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (end->lock_fd == -1)
		return -errno;
	return flock(end->lock_fd, LOCK_EX | LOCK_NB) == -1 ? -errno : 0;
}

static void
end_retry_lock(struct end *end, int rc)
{
	if (rc == -EWOULDBLOCK || rc != end->lock_error)
		end->lock_retry_us = RETRY_US;
	else if (end->lock_retry_us < RETRY_MAX_US)
		end->lock_retry_us *= 2;
	if (rc != -EWOULDBLOCK && rc != end->lock_error)
		log_errx("the pod cannot end: lock '%s': %s", end->pod->args->lock_path,
		    strerror(-rc));
	end->lock_error = rc;
	loop_timer_set(end->pod->loop, &end->retry, end->lock_retry_us);
}

void
end_check(struct end *end)
{
	boot_us_t now;
	int rc;

	if (end->ending || !end_is_due(end))
		return;
	now = clock_boot_us();
	if (conns_busy(end->pod->conns)) {
		if (end->busy_since == 0)
			end->busy_since = now;
		if (now - end->busy_since < LIMIT_FLUSH_US) {
			loop_timer_set(end->pod->loop, &end->retry, RETRY_US);
			return;
		}
	}
	rc = end_lock(end);
	/* no way leads to the admin socket any more: nobody can be joining */
	if (rc < 0 && rc != -ENOENT) {
		end_retry_lock(end, rc);
		return;
	}
	if (conns_accept(end->pod->conns)) {
		/* hear what it has to say first */
		(void)flock(end->lock_fd, LOCK_UN);
		loop_timer_set(end->pod->loop, &end->retry, RETRY_US);
		return;
	}
	end_begin(end);
}

static void
end_on_retry(void *arg)
{
	end_check(arg);
}

void
end_on_idle(struct end *end, uint64_t n)
{
	end->idle = true;
	end->idle_n = n;
	end->busy_since = 0;
	end_check(end);
}

void
end_on_worker(struct end *end)
{
	end->idle = false;
}

static void
end_want(struct end *end)
{
	end->term = true;
	end->term_n = requests_highest(end->pod->requests);
	end->busy_since = 0;
}

int
end_ask(struct end *end)
{
	end->given_up = true;
	end->given_up_n = requests_highest(end->pod->requests);
	if (steps_children(end->pod->steps) > 0 || !life_is_hopeless(end->pod->life))
		return -EBUSY;
	log_info("no worker comes up, and the containers are given up: ending");
	end_want(end);
	/* not under our caller, who has an answer to give */
	loop_timer_set(end->pod->loop, &end->retry, 0);
	return 0;
}

void
end_on_term(struct end *end, int signo)
{
	if (end_has_containers(end)) {
		log_info("%s: there are containers, ignoring", strsignal(signo));
		return;
	}
	log_info("%s: ending", strsignal(signo));
	end_want(end);
	end_check(end);
}

struct end *
end_new(struct pod *pod)
{
	struct end *end = calloc(1, sizeof *end);
	struct stat st;

	if (end == NULL)
		return NULL;
	end->pod = pod;
	end->lock_fd = -1;
	LIST_INIT(&end->pins);
	if (lstat(pod->args->socket_path, &st) == 0) {
		end->sock_dev = st.st_dev;
		end->sock_ino = st.st_ino;
	}
	loop_timer_init(&end->pin_timer, end_on_pin_timer, end);
	loop_timer_init(&end->retry, end_on_retry, end);
	return end;
}

void
end_free(struct end *end)
{
	if (end == NULL)
		return;
	while (!LIST_EMPTY(&end->pins))
		pin_free(end, LIST_FIRST(&end->pins));
	loop_timer_stop(end->pod->loop, &end->pin_timer);
	loop_timer_stop(end->pod->loop, &end->retry);
	fd_close(&end->lock_fd);
	free(end);
}

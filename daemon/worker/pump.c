/*
 * The splice pumps. splice(2) takes bytes out of the source and puts them into
 * the sink in one system call: a SIGKILL between two calls finds every byte on
 * one side or the other, which no read-then-write can promise.
 *
 * What surprises: EAGAIN does not say which side was not ready, so poll(2)
 * decides whether to wait for the source or for the sink. Waiting for both,
 * level-triggered, would spin on the one that is ready. A terminal that nobody has
 * open reports a hang-up for as long as that lasts, so that wait is
 * edge-triggered. Kernels without splice on terminals (5.10) and sinks opened
 * O_APPEND answer EINVAL; for them bytes are copied, which a kill can tear.
 *
 * A writer of short lines would wake us up for each of them, and we its reader:
 * several times the price of the bytes. When that goes on we let the pipe fill for an
 * instant first. Whether this helps shows at once: one who waits for an answer to
 * each line writes no more in it, and is left alone.
 */
#include "worker/pump.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

/* Per pass, so that a chatty stream does not starve the others. */
#define PUMP_PASS_BYTES	  (512u * 1024u)
#define PUMP_PASS_CALLS	  16u
#define PUMP_CHUNK	  (256u * 1024u)
/* A terminal gives and takes at most 4 KiB; asking for more only costs pages. */
#define PUMP_CHUNK_TTY	  4096u
/*
 * Of a terminal whose process is gone: more than the kernel can hold of what it
 * wrote. A background job that goes on writing does not get beyond it.
 */
#define PUMP_LAST_BYTES	  (128u * 1024u)
/* Delay before another try where nothing tells when it is worth it; doubles. */
#define PUMP_DELAY_MS	  10u
#define PUMP_DELAY_MAX_MS 1280u

/* What is so little that the pipe is worth a wait, and so much that it needs none. */
#define PUMP_SMALL	4096u
#define PUMP_PLENTY	(32u * 1024u)
/* So many small passes, each so soon after the one before, are a stream of lines. */
#define PUMP_STREAM	16u
#define PUMP_STREAM_MAX 4096u
#define PUMP_SOON_US	200u
#define PUMP_FULLER_US	500u

enum pump_wait {
	WAIT_NONE,     /* ended */
	WAIT_SRC,      /* readable */
	WAIT_SRC_EDGE, /* a terminal without users: until something changes */
	WAIT_DST,      /* writable */
	WAIT_DELAY,
	WAIT_FULLER, /* a moment, for more to come */
};

struct pump {
	struct loop *loop;
	struct event ev; /* the one event; what for is in `wait` */
	struct grave grave;
	enum pump_wait wait;
	unsigned flags; /* enum pump_flags */
	int src, dst;
	bool copying; /* splice does not work here */
	bool exited;  /* pump_source_exited() */
	bool complained;
	unsigned stalls;    /* tries in a row that moved nothing though poll said go */
	unsigned last_left; /* bytes still taken once exited */
	uint64_t bytes, passes;
	unsigned small;	      /* small passes in a row */
	unsigned stream;      /* so many of them are a stream */
	unsigned before;      /* bytes of the last pass before the wait for more */
	boot_us_t passed;     /* when the last pass ended */
	uint64_t left_unread; /* by the reader of dst, at the end */
	char *left;	      /* read but not written yet; only while copying */
	size_t left_len, left_off;
	void (*end_cb)(void *arg);
	void *arg;
};

static void pump_on_ready(evutil_socket_t fd, short what, void *arg);

/* Wait for this and nothing else. */
static void
pump_arm(struct pump *p, enum pump_wait wait)
{
	unsigned delay_ms = PUMP_DELAY_MS << (p->stalls < 7 ? p->stalls : 7);
	struct timeval tv = {0};
	short what = 0;
	int fd = -1;

	if (p->wait == wait && wait != WAIT_DELAY && wait != WAIT_FULLER)
		return;
	(void)event_del(&p->ev);
	p->wait = wait;
	switch (wait) {
	case WAIT_NONE: return;
	case WAIT_SRC:
		fd = p->src;
		what = EV_READ | EV_PERSIST;
		break;
	case WAIT_SRC_EDGE:
		fd = p->src;
		what = EV_READ | EV_ET | EV_PERSIST;
		break;
	case WAIT_DST:
		fd = p->dst;
		what = EV_WRITE | EV_PERSIST;
		break;
	case WAIT_DELAY:
	case WAIT_FULLER: break;
	}
	if (what != 0) {
		(void)event_assign(
		    &p->ev, loop_base(p->loop), fd, what, pump_on_ready, p);
		if (event_add(&p->ev, NULL) == 0)
			return;
		/* what cannot be waited for is tried now and then */
		log_warn("wait for descriptor %d", fd);
		p->wait = WAIT_DELAY;
	}
	if (delay_ms > PUMP_DELAY_MAX_MS)
		delay_ms = PUMP_DELAY_MAX_MS;
	tv.tv_sec = delay_ms / 1000;
	tv.tv_usec = (suseconds_t)(delay_ms % 1000 * US_PER_MS);
	if (wait == WAIT_FULLER)
		tv = (struct timeval){.tv_usec = PUMP_FULLER_US};
	(void)event_assign(&p->ev, loop_base(p->loop), -1, 0, pump_on_ready, p);
	(void)event_add(&p->ev, &tv);
}

static void
pump_close(struct pump *p)
{
	pump_arm(p, WAIT_NONE);
	fd_close(&p->src);
	fd_close(&p->dst);
	free(p->left);
	p->left = NULL;
	p->left_len = p->left_off = 0;
}

static void
pump_end(struct pump *p)
{
	p->left_unread = pump_unread(p);
	pump_close(p);
	p->end_cb(p->arg);
}

/* The sink is gone for good: go on without one. */
static void
pump_discard(struct pump *p, int code)
{
	errno = code;
	log_warn("output has no reader any more, dropping it");
	/* first out of epoll: the keeper's duplicate would keep it in there */
	pump_arm(p, WAIT_NONE);
	fd_close(&p->dst);
	free(p->left);
	p->left = NULL;
	p->left_len = p->left_off = 0;
	pump_arm(p, WAIT_SRC);
}

/* --- moving: > 0 bytes, 0 end of the source, or -errno ----------------------- */

static ssize_t
pump_drop(struct pump *p)
{
	char buf[16 * 1024];
	ssize_t n = read(p->src, buf, sizeof buf);

	return n < 0 ? -errno : n;
}

/* Is this errno of a write only "later"? */
static bool
pump_is_later(const struct pump *p, int code)
{
	return code == EAGAIN || code == EINTR || (code == EIO && p->flags & PUMP_TO_TTY);
}

/* The sink refused len bytes with this errno. */
static ssize_t
pump_refused(struct pump *p, int code, size_t len)
{
	if (!(p->flags & PUMP_OUTPUT) || code == EPIPE)
		return -code;
	/* a full disk may have room again: drop these bytes only */
	if (!p->complained) {
		errno = code;
		log_warn("write output, dropping what does not fit");
	}
	p->complained = true;
	return (ssize_t)len;
}

static ssize_t
pump_flush(struct pump *p)
{
	size_t len = p->left_len - p->left_off;
	ssize_t n = write(p->dst, p->left + p->left_off, len);

	if (n == -1) {
		if (pump_is_later(p, errno))
			return -errno;
		n = pump_refused(p, errno, len);
		if (n < 0)
			return n;
	}
	p->left_off += (size_t)n;
	if (p->left_off == p->left_len) {
		free(p->left);
		p->left = NULL;
		p->left_len = p->left_off = 0;
	}
	return n;
}

/* The lossy way. Nothing is read before the sink has room for it. */
static ssize_t
pump_copy(struct pump *p)
{
	struct pollfd pfd = {.fd = p->dst, .events = POLLOUT};
	char buf[PUMP_CHUNK_TTY];
	ssize_t n, done;

	if (p->left_len > 0)
		return pump_flush(p);
	if (poll(&pfd, 1, 0) == 0)
		return -EAGAIN;
	n = read(p->src, buf, sizeof buf);
	if (n <= 0)
		return n == 0 ? 0 : -errno;
	done = write(p->dst, buf, (size_t)n);
	if (done == -1) {
		if (!pump_is_later(p, errno))
			return pump_refused(p, errno, (size_t)n);
		done = -errno;
	}
	if (done < n) {
		p->left_len = (size_t)(n - (done > 0 ? done : 0));
		p->left = mem_dup(buf + (n - (ssize_t)p->left_len), p->left_len);
	}
	return done;
}

static ssize_t
pump_move(struct pump *p)
{
	size_t len =
	    p->flags & (PUMP_FROM_TTY | PUMP_TO_TTY) ? PUMP_CHUNK_TTY : PUMP_CHUNK;
	ssize_t n;

	if (p->dst == -1)
		return pump_drop(p);
	if (!p->copying) {
		n = splice(
		    p->src, NULL, p->dst, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n >= 0)
			return n;
		if (errno != EINVAL)
			return -errno;
		p->copying = true;
	}
	return pump_copy(p);
}

/* --- deciding ------------------------------------------------------------------ */

/* Nothing moved: find out why, and wait for that. */
static void
pump_stalled(struct pump *p)
{
	struct pollfd pfd[2] = {
	    {.fd = p->src, .events = POLLIN},
	    {.fd = p->dst, .events = POLLOUT},
	};

	(void)poll(pfd, 2, 0);
	if (p->left_len > 0 ||
	    (p->dst != -1 && pfd[0].revents != 0 && pfd[1].revents == 0)) {
		pump_arm(p, WAIT_DST);
	} else if (pfd[0].revents == 0) {
		if (p->exited)
			pump_end(p); /* whoever has the terminal now does not count */
		else
			pump_arm(p, WAIT_SRC);
	} else if (p->stalls++ < 2) {
		event_active(&p->ev, EV_READ, 0); /* it changed under us: again */
	} else {
		pump_arm(p, WAIT_DELAY);
	}
}

static void
pump_failed(struct pump *p, int code)
{
	switch (code) {
	case EAGAIN: pump_stalled(p); return;
	case EIO:
		if (p->exited || !(p->flags & (PUMP_FROM_TTY | PUMP_TO_TTY)))
			break;
		if (p->flags & PUMP_FROM_TTY) {
			pump_arm(p, WAIT_SRC_EDGE);
		} else {
			/* input for a terminal nobody has open yet */
			p->stalls++;
			pump_arm(p, WAIT_DELAY);
		}
		return;
	case ENOMEM:
	case ENOBUFS:
		p->stalls++;
		pump_arm(p, WAIT_DELAY);
		return;
	case EPIPE:
		if (!(p->flags & PUMP_OUTPUT))
			break;
		pump_discard(p, code);
		return;
	default:
		errno = code;
		log_warn("stdio stream ends");
		break;
	}
	pump_end(p);
}

/*
 * After a pass that moved this much and left nothing: is it worth letting the pipe fill
 * before the next one?
 */
static bool
pump_lets_fill(struct pump *p, unsigned moved)
{
	boot_us_t now = clock_boot_us();
	bool soon = now < p->passed + PUMP_SOON_US;

	p->passed = now;
	if (p->wait == WAIT_FULLER) {
		if (moved > 2 * p->before)
			return moved < PUMP_PLENTY;
		p->small = 0;
		if (p->stream < PUMP_STREAM_MAX)
			p->stream *= 2;
		return false;
	}
	p->small = moved < PUMP_SMALL && soon ? p->small + 1 : 0;
	p->before = moved;
	return p->small >= p->stream;
}

static void
pump_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct pump *p = arg;
	const bool is_pipe =
	    !p->copying && !p->exited && (p->flags & (PUMP_FROM_TTY | PUMP_TO_TTY)) == 0;
	unsigned calls, moved = 0;
	ssize_t n;

	(void)fd;
	(void)what;
	p->passes++;
	for (calls = 0; calls < PUMP_PASS_CALLS && moved < PUMP_PASS_BYTES; calls++) {
		n = pump_move(p);
		if (n == -EINTR)
			continue;
		if (n < 0) {
			pump_failed(p, (int)-n);
			return;
		}
		if (n == 0) {
			pump_end(p);
			return;
		}
		p->stalls = 0;
		p->bytes += (uint64_t)n;
		moved += (unsigned)n;
		if (p->exited) {
			if ((unsigned)n >= p->last_left) {
				pump_end(p);
				return;
			}
			p->last_left -= (unsigned)n;
		}
		if (n < PUMP_SMALL && is_pipe)
			break; /* that was all, most likely */
	}
	/* more later: after the others' turn */
	if (p->left_len > 0)
		pump_arm(p, WAIT_DST);
	else
		pump_arm(p, is_pipe && pump_lets_fill(p, moved) ? WAIT_FULLER : WAIT_SRC);
}

/* --- life ---------------------------------------------------------------------- */

struct pump *
pump_new(struct loop *loop, int src, int dst, unsigned flags, void (*end_cb)(void *arg),
    void *arg)
{
	struct pump *p = mem_zalloc(sizeof *p);

	assert(dst != -1 || flags & PUMP_OUTPUT);
	p->loop = loop;
	p->src = src;
	p->dst = dst;
	p->flags = flags;
	p->end_cb = end_cb;
	p->arg = arg;
	p->stream = PUMP_STREAM;
	(void)event_assign(&p->ev, loop_base(loop), -1, 0, pump_on_ready, p);
	pump_arm(p, WAIT_SRC);
	return p;
}

void
pump_free(struct pump *p)
{
	if (p == NULL)
		return;
	pump_close(p);
	event_debug_unassign(&p->ev);
	loop_bury(p->loop, &p->grave, free, p);
}

void
pump_source_exited(struct pump *p)
{
	if (p->exited || p->wait == WAIT_NONE)
		return;
	p->exited = true;
	p->last_left = PUMP_LAST_BYTES;
	event_active(&p->ev, EV_READ, 0);
}

int
pump_src(const struct pump *p)
{
	return p->src;
}

int
pump_dst(const struct pump *p)
{
	return p->dst;
}

uint64_t
pump_bytes(const struct pump *p)
{
	return p->bytes;
}

uint64_t
pump_passes(const struct pump *p)
{
	return p->passes;
}

uint64_t
pump_unread(const struct pump *p)
{
	int n = 0;

	if (p->dst == -1)
		return p->left_unread;
	return ioctl(p->dst, FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

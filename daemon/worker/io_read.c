/*
 * What the clients have read of their FIFOs, for clients that leave too soon (doc/OUTPUT.md).
 *
 * A client that has not opened its FIFO yet when the process ends can only do so while
 * there is a writer, and one that hears of the exit may close it, read or not. So the
 * write end of a FIFO with unread bytes is kept, and an exit can be held back, both
 * for as long as somebody is reading. Where nobody is, both end soon.
 *
 * What surprises: nothing tells that a pipe has become empty. Its bytes are looked
 * at after 1, 2, 4 ms and so on, only ever at the end of a process.
 */
#include <assert.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "worker/io.h"
#include "worker/io_int.h"
#include "worker/pump.h"

#define LOOK_FIRST_US US_PER_MS
#define LOOK_MAX_US   (16 * US_PER_MS)

static int64_t
fd_unread(int fd)
{
	int n = 0;

	return fd != -1 && ioctl(fd, FIONREAD, &n) == 0 ? n : 0;
}

/* Does a client read this, from a FIFO? */
static bool
stream_has_client(const struct stream *s)
{
	return s->which != IO_IN && s->io->log == NULL && stream_known(s, IO_KEEP);
}

static int64_t
stream_unread(const struct stream *s)
{
	switch (s->state) {
	case STREAM_PUMPING: return (int64_t)pump_unread(s->pump);
	case STREAM_LEFT:
		/* the descriptor is still on its way: nobody knows */
		return s->fd[IO_KEEP] == -1 ? 1 : fd_unread(s->fd[IO_KEEP]);
	case STREAM_NONE:
	case STREAM_WAITING:
	case STREAM_LOGGED:
	case STREAM_OVER: break;
	}
	return 0;
}

static int64_t
stream_taken(const struct stream *s)
{
	uint64_t bytes = s->state == STREAM_PUMPING ? pump_bytes(s->pump) : s->bytes;

	return (int64_t)bytes - stream_unread(s);
}

static int64_t
io_taken(const struct io *io)
{
	return stream_taken(&io->s[IO_OUT]) + stream_taken(&io->s[IO_ERR]);
}

static bool
stream_is_read(const struct stream *s)
{
	if (s->state == STREAM_LEFT)
		return stream_unread(s) == 0;
	if (s->state == STREAM_WAITING && s->io->started && s->io->terminal)
		return !stream_has_client(s); /* it is on its way from the store */
	/* how much is in a terminal nobody knows, but it ends by itself */
	return s->state != STREAM_PUMPING || pump_dst(s->pump) == -1 ||
	    !stream_has_client(s) ||
	    (!s->io->terminal && stream_taken(s) >= (int64_t)s->goal);
}

static bool
io_is_read(const struct io *io)
{
	return stream_is_read(&io->s[IO_OUT]) && stream_is_read(&io->s[IO_ERR]);
}

static void
look_after(struct io *io, uint64_t us)
{
	struct timeval tv = {.tv_usec = (suseconds_t)us};

	(void)evtimer_add(&io->look_ev, &tv);
}

/* Begin to look, unless that has begun already. */
static void
look_begin(struct io *io)
{
	if (evtimer_pending(&io->look_ev, NULL))
		return;
	io->looks = 0;
	io->taken = io_taken(io);
	io->taken_at = clock_boot_us();
	look_after(io, LOOK_FIRST_US);
}

static void
left_end(struct stream *s)
{
	fd_close(&s->fd[IO_KEEP]);
	stream_over(s);
}

static void
io_on_look(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;
	int64_t taken = io_taken(io);
	boot_us_t now = clock_boot_us();
	void (*cb)(void *arg) = io->read_cb;
	bool stalled, left = false;
	uint64_t delay;
	int i;

	(void)fd;
	(void)what;
	if (taken != io->taken) {
		io->taken = taken;
		io->taken_at = now;
		io->looks = 0;
	}
	stalled = now - io->taken_at >= IO_STALL_US;
	for (i = IO_OUT; i <= IO_ERR; i++) {
		struct stream *s = &io->s[i];

		if (s->state != STREAM_LEFT)
			continue;
		if (stalled || stream_unread(s) == 0)
			left_end(s);
		else
			left = true;
	}
	if (cb != NULL && (stalled || now >= io->read_limit || io_is_read(io))) {
		io->read_cb = NULL;
		if (left)
			look_after(io, LOOK_FIRST_US);
		cb(io->read_arg); /* may free io */
		return;
	}
	if (cb == NULL && !left)
		return;
	delay = LOOK_FIRST_US << (io->looks < 4 ? io->looks : 4);
	io->looks++;
	look_after(io, delay < LOOK_MAX_US ? delay : LOOK_MAX_US);
}

bool
stream_leave(struct stream *s)
{
	if (!stream_has_client(s) || pump_unread(s->pump) == 0)
		return false;
	s->bytes = pump_bytes(s->pump);
	pump_free(s->pump);
	s->pump = NULL;
	s->state = STREAM_LEFT;
	stream_fetch(s, IO_KEEP);
	look_begin(s->io);
	return true;
}

void
io_look_now(struct io *io)
{
	if (io->read_cb != NULL)
		look_after(io, 0);
}

bool
io_await_readers(struct io *io, uint64_t limit_us, void (*cb)(void *arg), void *arg)
{
	int i;

	assert(io->read_cb == NULL && io->exited);
	for (i = IO_OUT; i <= IO_ERR; i++) {
		struct stream *s = &io->s[i];

		if (s->state == STREAM_PUMPING)
			s->goal =
			    pump_bytes(s->pump) + (uint64_t)fd_unread(pump_src(s->pump));
	}
	if (io_is_read(io))
		return false;
	io->read_cb = cb;
	io->read_arg = arg;
	io->read_limit = clock_boot_us() + limit_us;
	look_begin(io);
	return true;
}

void
io_read_init(struct io *io)
{
	(void)evtimer_assign(&io->look_ev, loop_base(io->loop), io_on_look, io);
}

void
io_read_fini(struct io *io)
{
	event_debug_unassign(&io->look_ev);
}

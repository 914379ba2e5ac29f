/*
 * The life of a process's stdio. Three streams, each with up to three
 * descriptors that also lie in the keeper's fd store:
 *
 *	      src                dst                keep
 *	in    FIFO, read end     pipe to process    FIFO, write end: no end of
 *	                                            file before CloseIO drops it
 *	out   pipe from process  FIFO, write end    FIFO, read end: never read, keeps
 *	                                            unread bytes until Delete
 *
 * With a terminal the pty master takes the process's side; it lies in the
 * store as tty/<key>, whoever put it there. What is in the store is the truth:
 * a stream whose src and dst are known there goes on after a worker's death,
 * one whose names are dropped is over, a stdin without "keep" is closed.
 *
 * What surprises: a FIFO's reader sees end of file only once the keeper's
 * duplicate of the writer is gone as well, so every close has its drop.
 */
#include "worker/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/msg.h"
#include "worker/io_int.h"
#include "worker/link.h"
#include "worker/pump.h"

#define IO_READY_S 30 /* contract.md 8.2 */

static const char *const stream_names[IO_STREAMS] = {"in", "out", "err"};
static const char *const slot_names[IO_SLOTS] = {"src", "dst", "keep"};

static void
io_name(const struct io *io, const struct stream *s, enum io_slot slot,
    char name[static MSG_NAME_MAX])
{
	/* ids are at most 76 bytes each (contract.md 7): it fits */
	(void)snprintf(name, MSG_NAME_MAX, "%s%s.%s", io->prefix, stream_names[s->which],
	    slot_names[slot]);
}

bool
stream_known(const struct stream *s, enum io_slot slot)
{
	char name[MSG_NAME_MAX];

	io_name(s->io, s, slot, name);
	return link_fd_known(s->io->lk, name);
}

static void
stream_drop(struct stream *s, enum io_slot slot)
{
	char name[MSG_NAME_MAX];

	io_name(s->io, s, slot, name);
	if (link_fd_known(s->io->lk, name)) {
		link_fd_drop(s->io->lk, name, false);
		s->stored &= ~(1u << slot);
	}
}

/* --- references and the store -------------------------------------------------- */

static void
io_destroy(void *obj)
{
	struct io *io = obj;

	io_read_fini(io);
	event_debug_unassign(&io->drain_ev);
	event_debug_unassign(&io->ready_ev);
	free(io->prefix);
	free(io->tty_name);
	free(io);
}

static void
io_unref(struct io *io)
{
	if (--io->refs == 0)
		loop_bury(io->loop, &io->grave, io_destroy, io);
}

struct io_fetch {
	struct io *io;
	void (*cb)(struct io *io, int slot, int fd);
	int slot;
};

static void
io_on_fetched(int fd, void *arg)
{
	struct io_fetch *f = arg;
	struct io *io = f->io;

	if (!io->gone)
		f->cb(io, f->slot, fd);
	else
		fd_close(&fd);
	free(f);
	io_unref(io);
}

void
io_fetch(struct io *io, const char *name, void (*cb)(struct io *io, int slot, int fd),
    int slot)
{
	struct io_fetch *f = mem_zalloc(sizeof *f);

	f->io = io;
	f->cb = cb;
	f->slot = slot;
	io->refs++;
	link_fd_get(io->lk, name, io_on_fetched, f);
}

static void
io_on_resumed(struct io *io, int slot, int fd)
{
	struct stream *s = &io->s[slot / IO_SLOTS];

	s->missing--;
	if (s->state == STREAM_NONE || s->state == STREAM_OVER) {
		fd_close(&fd); /* it ended while this was on its way */
		return;
	}
	if (fd < 0) {
		errno = -fd;
		log_warn("stdio %s%s.%s", io->prefix, stream_names[s->which],
		    slot_names[slot % IO_SLOTS]);
		stream_over(s);
		return;
	}
	s->fd[slot % IO_SLOTS] = fd;
	if (s->state == STREAM_WAITING && slot % IO_SLOTS != IO_KEEP) {
		/* our side's flag; the container's ends are other descriptions */
		(void)fd_set_nonblock(fd, true);
		if (s->which != IO_IN && slot % IO_SLOTS == IO_DST)
			(void)fcntl(fd, F_SETPIPE_SZ, FIFO_BYTES); /* if it is one */
		stream_begin(s);
	}
	if (s->missing == 0)
		io_log_arrived(io);
}

void
stream_fetch(struct stream *s, enum io_slot slot)
{
	char name[MSG_NAME_MAX];

	io_name(s->io, s, slot, name);
	s->missing++;
	io_fetch(s->io, name, io_on_resumed, (int)s->which * IO_SLOTS + (int)slot);
}

/* The stream's outer end is a FIFO: both its ends, of which we use one. */
static void
stream_store_fifo(struct stream *s)
{
	enum io_slot reads = s->which == IO_IN ? IO_SRC : IO_KEEP;
	enum io_slot writes = s->which == IO_IN ? IO_KEEP : IO_DST;
	char name[MSG_NAME_MAX];

	/* in this order: a write end opens only where there is a read end */
	io_name(s->io, s, reads, name);
	link_fd_put_fifo(s->io->lk, name, s->fifo, false);
	io_name(s->io, s, writes, name);
	link_fd_put_fifo(s->io->lk, name, s->fifo, true);
	s->stored |= 1u << reads | 1u << writes;
	fd_close(&s->fifo);
	stream_fetch(s, s->which == IO_IN ? IO_SRC : IO_DST);
}

void
io_store(struct io *io)
{
	char name[MSG_NAME_MAX];
	int i, slot;

	/*
	 * A worker that died here may have left the same names. They are replaced,
	 * not dropped first: a FIFO must never be without the ends it once had.
	 */
	for (i = 0; i < IO_STREAMS; i++) {
		struct stream *s = &io->s[i];

		if (s->fifo != -1)
			stream_store_fifo(s);
		for (slot = 0; slot < IO_SLOTS; slot++) {
			if (s->fd[slot] == -1)
				continue;
			io_name(io, s, slot, name);
			link_fd_put(io->lk, name, s->fd[slot]);
			s->stored |= 1u << slot;
		}
	}
}

bool
io_is_kept(const struct io *io)
{
	const struct stream *s;
	unsigned slot;

	for (s = io->s; s < io->s + IO_STREAMS; s++) {
		for (slot = 0; slot < IO_SLOTS; slot++) {
			if ((s->stored & 1u << slot) != 0 && !stream_known(s, slot))
				return false;
		}
	}
	return !io->unkept;
}

/* --- draining -------------------------------------------------------------------- */

static bool
io_is_drained(const struct io *io)
{
	int i;

	for (i = IO_OUT; i <= IO_ERR; i++) {
		/* what was never started has nothing to deliver */
		if (io->s[i].state == STREAM_PUMPING || io->s[i].state == STREAM_LEFT ||
		    (io->s[i].state == STREAM_WAITING && io->started))
			return false;
	}
	return !io_log_busy(io);
}

void
io_check_drained(struct io *io)
{
	static const struct timeval now;

	if (io->drain_cb != NULL && io_is_drained(io))
		(void)evtimer_add(&io->drain_ev, &now);
}

static void
io_on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;
	void (*cb)(void *arg) = io->drain_cb;

	(void)fd;
	(void)what;
	io->drain_cb = NULL;
	cb(io->drain_arg); /* may free io */
}

void
io_drain(struct io *io, uint64_t timeout_us, void (*cb)(void *arg), void *arg)
{
	struct timeval tv = {0};

	assert(io->drain_cb == NULL);
	io_process_exited(io);
	io->drain_cb = cb;
	io->drain_arg = arg;
	if (!io_is_drained(io)) {
		tv.tv_sec = (time_t)(timeout_us / US_PER_S);
		tv.tv_usec = (suseconds_t)(timeout_us % US_PER_S);
	}
	(void)evtimer_add(&io->drain_ev, &tv);
	io_log_drain(io);
}

/* --- readiness --------------------------------------------------------------------- */

static void
io_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;
	void (*cb)(const char *error, void *arg) = io->ready_cb;
	AUTO_FREE char *text = NULL;
	const char *error;

	(void)fd;
	(void)what;
	if (io_log_ready(io, &error))
		text = mem_strdup(error); /* cb may free the io and all of it */
	else
		text = mem_printf("the log program is not ready after %d s", IO_READY_S);
	io->ready_cb = NULL;
	cb(text, io->ready_arg);
}

void
io_check_ready(struct io *io)
{
	static const struct timeval now;
	const char *error;

	if (io->ready_cb != NULL && io_log_ready(io, &error))
		(void)evtimer_add(&io->ready_ev, &now);
}

bool
io_is_ready(const struct io *io)
{
	const char *error;

	return io_log_ready(io, &error) && error == NULL;
}

void
io_when_ready(struct io *io, void (*cb)(const char *error, void *arg), void *arg)
{
	const struct timeval late = {.tv_sec = IO_READY_S};

	assert(io->ready_cb == NULL);
	io->ready_cb = cb;
	io->ready_arg = arg;
	(void)evtimer_add(&io->ready_ev, &late);
	io_check_ready(io);
}

/* --- streams --------------------------------------------------------------------- */

static void
stream_close(struct stream *s)
{
	int slot;

	if (s->pump != NULL)
		s->bytes = pump_bytes(s->pump);
	pump_free(s->pump);
	s->pump = NULL;
	fd_close(&s->fifo);
	for (slot = 0; slot < IO_SLOTS; slot++) {
		/* an output's kept read end has the unread bytes in its hand */
		if (slot != IO_KEEP || s->which == IO_IN || s->io->gone)
			fd_close(&s->fd[slot]);
	}
}

void
stream_over(struct stream *s)
{
	stream_close(s);
	s->state = STREAM_OVER;
	stream_drop(s, IO_SRC);
	stream_drop(s, IO_DST);
	if (s->which == IO_IN)
		stream_drop(s, IO_KEEP);
	io_check_drained(s->io);
}

void
stream_discard(struct stream *s)
{
	if (s->io->terminal) {
		/* the pump finds its sink without a reader, and drops by itself */
		fd_close(&s->fd[IO_KEEP]);
		stream_drop(s, IO_KEEP);
		return;
	}
	s->to_null = true;
	s->state = STREAM_WAITING;
	(void)fd_set_nonblock(s->fd[IO_SRC], true);
	stream_begin(s);
}

static void
stream_on_end(void *arg)
{
	struct stream *s = arg;

	log_debug("stdio %s%s ends after %llu bytes", s->io->prefix,
	    stream_names[s->which], (unsigned long long)pump_bytes(s->pump));
	if (!stream_leave(s))
		stream_over(s);
	io_look_now(s->io);
}

void
stream_begin(struct stream *s)
{
	struct io *io = s->io;
	unsigned flags = s->which == IO_IN ? 0 : PUMP_OUTPUT;

	if (s->state != STREAM_WAITING || !io->started || s->missing > 0)
		return;
	if (s->fd[IO_SRC] == -1 || (s->fd[IO_DST] == -1 && !s->to_null))
		return; /* the terminal is not here yet */
	if (io->terminal)
		flags |= s->which == IO_IN ? PUMP_TO_TTY : PUMP_FROM_TTY;
	s->pump = pump_new(io->loop, steal_fd(&s->fd[IO_SRC]), steal_fd(&s->fd[IO_DST]),
	    flags, stream_on_end, s);
	s->state = STREAM_PUMPING;
	if (io->exited && io->terminal)
		pump_source_exited(s->pump);
}

/* --- life ------------------------------------------------------------------------ */

struct io *
io_new(struct loop *loop, struct link *lk, const struct io_spec *spec)
{
	struct io *io = mem_zalloc(sizeof *io);
	int i, slot;

	io->loop = loop;
	io->lk = lk;
	io->refs = 1;
	io->terminal = spec->terminal;
	io->prefix = mem_printf(
	    "io/%s/%s/", spec->container, spec->exec_id[0] == '\0' ? "-" : spec->exec_id);
	for (i = 0; i < IO_STREAMS; i++) {
		io->s[i].io = io;
		io->s[i].which = i;
		io->s[i].fifo = -1;
		for (slot = 0; slot < IO_SLOTS; slot++)
			io->s[i].fd[slot] = -1;
	}
	io_read_init(io);
	(void)evtimer_assign(&io->drain_ev, loop_base(loop), io_on_drained, io);
	(void)evtimer_assign(&io->ready_ev, loop_base(loop), io_on_ready, io);
	return io;
}

void
io_start(struct io *io, const char *tty_name)
{
	int i;

	io->started = true;
	if (io->terminal && tty_name != NULL && io->tty_name == NULL) {
		io->tty_name = mem_strdup(tty_name);
		console_fetch(io);
	}
	for (i = 0; i < IO_STREAMS; i++)
		stream_begin(&io->s[i]);
}

bool
stream_is_logged(const struct stream *s)
{
	if (s->io->terminal) /* there it reads the pipe behind the terminal */
		return s->which == IO_OUT && stream_known(s, IO_KEEP);
	/* a FIFO's other end is kept: if its own could not be stored, that is a failure */
	return s->which != IO_IN && stream_known(s, IO_SRC) && !stream_known(s, IO_DST) &&
	    !stream_known(s, IO_KEEP);
}

static void
stream_resume(struct stream *s)
{
	bool is_logged = s->io->log != NULL && !s->io->terminal && stream_is_logged(s);
	bool need_src = !s->io->terminal || s->which == IO_IN;
	bool need_dst =
	    (!s->io->terminal || s->which == IO_OUT) && !s->to_null && !is_logged;

	if ((need_src && !stream_known(s, IO_SRC)) ||
	    (need_dst && !stream_known(s, IO_DST))) {
		/* over, or it never was; a death may have left half of the names */
		stream_over(s);
		return;
	}
	s->state = is_logged ? STREAM_LOGGED : STREAM_WAITING;
	if (need_src)
		stream_fetch(s, IO_SRC);
	if (need_dst && s->state == STREAM_WAITING)
		stream_fetch(s, IO_DST);
	if (s->io->log != NULL && s->io->terminal && s->which == IO_OUT &&
	    stream_known(s, IO_KEEP))
		stream_fetch(s, IO_KEEP);
}

static struct io *
io_take_up(struct loop *loop, struct link *lk, const struct io_spec *spec, bool started)
{
	struct io *io = io_new(loop, lk, spec);
	int i;

	io->started = started;
	io_log_resume(io, spec);
	io->unkept = !started && !io_outputs_known(io, spec);
	/* an answer may come before the call returns: first all that it looks at */
	for (i = 0; i < IO_STREAMS; i++) {
		struct stream *s = &io->s[i];

		if (io->terminal && i == IO_OUT)
			s->to_null = spec->stdout_path[0] == '\0';
		if (!(io->terminal && i == IO_ERR))
			stream_resume(s);
	}
	return io;
}

struct io *
io_resume(
    struct loop *loop, struct link *lk, const struct io_spec *spec, const char *tty_name)
{
	struct io *io = io_take_up(loop, lk, spec, true);

	if (io->terminal && tty_name != NULL && link_fd_known(lk, tty_name)) {
		io->tty_name = mem_strdup(tty_name);
		console_fetch(io);
	}
	return io;
}

struct io *
io_resume_birth(struct loop *loop, struct link *lk, const struct io_spec *spec)
{
	return io_take_up(loop, lk, spec, false);
}

void
io_close_stdin(struct io *io)
{
	fd_close(&io->s[IO_IN].fd[IO_KEEP]);
	stream_drop(&io->s[IO_IN], IO_KEEP);
}

void
io_process_exited(struct io *io)
{
	struct stream *out = &io->s[IO_OUT];

	if (io->exited)
		return;
	io->exited = true;
	if (io->s[IO_IN].state != STREAM_NONE)
		stream_over(&io->s[IO_IN]);
	if (io->terminal && out->state == STREAM_PUMPING)
		pump_source_exited(out->pump);
}

static void
io_leave(struct io *io, bool stop)
{
	int i;

	io->gone = true;
	(void)event_del(&io->look_ev);
	(void)event_del(&io->drain_ev);
	(void)event_del(&io->ready_ev);
	io_log_free(io, stop);
	for (i = 0; i < IO_STREAMS; i++)
		stream_close(&io->s[i]);
	io_unref(io);
}

static uint64_t io_past[IO_STREAMS];

void
io_counts_past(uint64_t bytes[3])
{
	memcpy(bytes, io_past, sizeof io_past);
}

void
io_free(struct io *io)
{
	uint64_t bytes[IO_STREAMS];
	int i;

	if (io == NULL)
		return;
	io_counts(io, bytes);
	for (i = 0; i < IO_STREAMS; i++)
		io_past[i] += bytes[i];
	link_fd_drop(io->lk, io->prefix, true);
	if (io->tty_name != NULL)
		link_fd_drop(io->lk, io->tty_name, false);
	io_leave(io, true);
}

void
io_abandon(struct io *io)
{
	if (io != NULL)
		io_leave(io, false);
}

void
io_counts(const struct io *io, uint64_t bytes[3])
{
	int i;

	for (i = 0; i < IO_STREAMS; i++)
		bytes[i] =
		    io->s[i].pump != NULL ? pump_bytes(io->s[i].pump) : io->s[i].bytes;
}

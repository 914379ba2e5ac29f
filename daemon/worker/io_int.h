/*
 * What io.c, io_open.c, io_read.c, io_log.c and console.c share. Nobody else includes this.
 */
#ifndef PODSHIM_WORKER_IO_INT_H
#define PODSHIM_WORKER_IO_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/loop.h"
#include "worker/io.h"

struct io_log;
struct link;
struct pump;

enum io_which { IO_IN, IO_OUT, IO_ERR };
#define IO_STREAMS 3

/* The names in the fd store, and the slots of a stream. */
enum io_slot {
	IO_SRC,	 /* where bytes come from */
	IO_DST,	 /* where they go */
	IO_KEEP, /* in: the FIFO's holder; out, err: its kept read end */
};
#define IO_SLOTS 3

/* What a client's FIFO may hold, so that a burst passes while its reader is busy. */
#define FIFO_BYTES (1024 * 1024)

enum stream_state {
	STREAM_NONE,	/* there is none, or it needs no pump */
	STREAM_WAITING, /* for io_start(), or for descriptors */
	STREAM_PUMPING,
	STREAM_LOGGED, /* a log program reads src by itself */
	STREAM_LEFT,   /* the source has ended, the client has not read all of it */
	STREAM_OVER,
};

struct stream {
	struct io *io;
	enum io_which which;
	enum stream_state state;
	int fd[IO_SLOTS]; /* ours until the pump takes the first two */
	int fifo;	  /* O_PATH, while the keeper has not opened its ends */
	unsigned missing; /* descriptors asked for from the store */
	bool to_null;	  /* no sink wanted: what comes is dropped */
	unsigned stored;  /* slots, as bits, that the keeper was given and has to hold */
	struct pump *pump;
	uint64_t bytes; /* of a pump that has ended */
	uint64_t goal;	/* io_await_readers(): bytes that the client is to have read */
};

struct io {
	struct loop *loop;
	struct link *lk;
	struct grave grave;
	unsigned refs; /* the owner, and answers due from the fd store */
	bool gone;     /* freed by its owner */
	bool started, exited;
	bool terminal;
	bool unkept;	    /* taken up before it began, and not all of it was there */
	char *prefix;	    /* io/<container>/<exec or "-">/ */
	char *tty_name;	    /* NULL until known */
	struct io_log *log; /* NULL: no log program */
	struct stream s[IO_STREAMS];
	bool want_size;
	struct winsize size;  /* asked for before the terminal was here */
	struct event look_ev; /* io_read.c, from here */
	unsigned looks;	      /* in a row that saw nothing being read */
	int64_t taken;	      /* by the readers, as far as we saw */
	boot_us_t taken_at, read_limit;
	void (*read_cb)(void *arg);
	void *read_arg;
	struct event drain_ev;
	struct event ready_ev;
	void (*ready_cb)(const char *error, void *arg);
	void *ready_arg;
	void (*drain_cb)(void *arg);
	void *drain_arg;
};

/* io.c */
struct io *io_new(struct loop *loop, struct link *lk, const struct io_spec *spec);
/* Put a stream's descriptors into the store. */
void io_store(struct io *io);
/* io_open.c: is all in the store that io_open() put there for the process's output? */
bool io_outputs_known(const struct io *io, const struct io_spec *spec);
/* Look whether io_when_ready() has what it waits for. */
void io_check_ready(struct io *io);
/* Is this in the keeper's store? */
bool stream_known(const struct stream *s, enum io_slot slot);
/*
 * Of an io that is taken up again and has a log program: does that read this stream?
 * The names tell (it has no sink); a path could only be asked where nobody waits.
 */
bool stream_is_logged(const struct stream *s);
/* Get it from there; io->s[].missing counts what is due. */
void stream_fetch(struct stream *s, enum io_slot slot);
/* Look whether io_drain() has what it waits for. */
void io_check_drained(struct io *io);
/* Pump what is complete. */
void stream_begin(struct stream *s);
/* The stream has ended: forget its names, tell whoever drains. */
void stream_over(struct stream *s);
/* Fetch a stored descriptor; cb runs unless the io has been freed meanwhile. */
void io_fetch(struct io *io, const char *name,
    void (*cb)(struct io *io, int slot, int fd), int slot);

/* The stream's log program is gone: drop what comes. */
void stream_discard(struct stream *s);

/* io_read.c: what the clients read */
/*
 * An output's source has ended: is something of it unread? Then it is kept
 * STREAM_LEFT until that has been read, or nobody reads it.
 */
bool stream_leave(struct stream *s);
void io_read_init(struct io *io);
void io_read_fini(struct io *io);
/* Something has changed that io_await_readers() may wait for. */
void io_look_now(struct io *io);

/* io_log.c: the log program of an io, if it has one */
struct io_uri;
/* Does output to there, from now on, go through a log program? Looks at a path. */
bool io_log_wanted(const struct io_uri *uri);
/* Start it, for the streams that are STREAM_LOGGED, or the terminal's. */
int io_log_open(struct io *io, const struct io_spec *spec, struct err *err);
/* Find an earlier worker's, before the streams are looked at. */
void io_log_resume(struct io *io, const struct io_spec *spec);
/* A descriptor has come from the store. */
void io_log_arrived(struct io *io);
/* Has it said that it is ready, or why not? Also true without one. */
bool io_log_ready(const struct io *io, const char **error);
/* Is it there, and may it still have something to write? */
bool io_log_busy(const struct io *io);
/* io_drain() waits for it. */
void io_log_drain(struct io *io);
void io_log_free(struct io *io, bool stop);

/* console.c */
/* Ask for the pty master that io->tty_name names; both directions begin with it. */
void console_fetch(struct io *io);

#endif

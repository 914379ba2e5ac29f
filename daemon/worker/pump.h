/*
 * One direction of bytes: from a pipe, FIFO or terminal to another, by
 * splice(2), so that they never rest in our memory and a killed worker loses
 * none. Owns both descriptors. At any time it waits for one thing only, so a
 * half-closed end cannot spin.
 */
#ifndef PODSHIM_WORKER_PUMP_H
#define PODSHIM_WORKER_PUMP_H

#include <stdint.h>

struct loop;
struct pump;

enum pump_flags {
	/*
	 * src is a pty master. While no process has the terminal open it
	 * reports EIO; that is a pause, not the end (a system's init closes and
	 * opens its console again), until pump_source_exited().
	 */
	PUMP_FROM_TTY = 1,
	/* dst is a pty master: EIO is a pause here too. */
	PUMP_TO_TTY = 2,
	/*
	 * Output of a container: a sink that fails must not block it, so what
	 * the sink refuses is dropped and the pump goes on to the source's end.
	 * Without it the pump ends with its sink.
	 */
	PUMP_OUTPUT = 4,
};

/*
 * Takes src and dst, which must be O_NONBLOCK; with PUMP_OUTPUT dst may be -1:
 * all is dropped. The first bytes move from the loop. end_cb runs once, from
 * the loop, when the source has ended and all of it was handed to the sink, or the
 * sink is gone; both descriptors are closed by then. It may free the pump.
 */
struct pump *pump_new(struct loop *loop, int src, int dst, unsigned flags,
    void (*end_cb)(void *arg), void *arg);
/* Closes what is open, without end_cb. NULL is allowed. */
void pump_free(struct pump *p);

/*
 * The process behind a terminal is gone: what is in the terminal now is still
 * moved, then the pump ends, though a background job may hold it open.
 */
void pump_source_exited(struct pump *p);

/* The descriptors, still the pump's; -1 once closed. */
int pump_src(const struct pump *p);
int pump_dst(const struct pump *p);

uint64_t pump_bytes(const struct pump *p);
/* What lies unread in the pipe or FIFO dst; once the pump has ended: when it did. */
uint64_t pump_unread(const struct pump *p);
/* How often the loop has woken it: tests watch for spinning. */
uint64_t pump_passes(const struct pump *p);

#endif

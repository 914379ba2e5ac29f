/*
 * How long to wait before the next worker is started (recovery.md's back-off).
 */
#ifndef PODSHIM_KEEPER_BACKOFF_H
#define PODSHIM_KEEPER_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
	uint32_t deaths; /* in a row, without a quiet minute between them */
	uint32_t stuck;	 /* so many do not die, the last one among them */
	bool killed;	 /* the last one had come up, and died by no fault of its own */
	bool hopeless;	 /* no worker comes up any more */
	bool urgent;	 /* a request waits that containerd will not wait for long */
};

/*
 * Microseconds. None after the first death, then 50 ms, doubled with each death
 * up to 30 s; but never more than 1 s while a request is urgent, nor than
 * 100 ms after a kill from outside. Hopeless: 30 s. Three that are stuck: 30 s,
 * too, and twice that for each further one, so that they stay few.
 */
uint64_t backoff_us(const struct backoff *b);

#endif

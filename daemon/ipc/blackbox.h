/*
 * The black box: memory that a worker shares with its keeper, so that the
 * keeper can say after a crash which request was in hand, and while it runs
 * whether its loop turns. Written by the worker alone; the keeper reads it
 * as untrusted bytes.
 */
#ifndef PODSHIM_IPC_BLACKBOX_H
#define PODSHIM_IPC_BLACKBOX_H

#include <stdint.h>

#define BLACKBOX_MAGIC	UINT32_C(0x70624231)
#define BLACKBOX_SIZE	65536u
#define BLACKBOX_TRACES 256u
#define BLACKBOX_FRAMES 64u

struct blackbox_trace {
	uint64_t t_boot_us;
	uint64_t n;    /* request in hand, 0 none */
	char text[96]; /* NUL-terminated unless torn */
};

struct blackbox {
	uint32_t magic;
	uint32_t size;
	/*
	 * Request number at each dispatch and continuation; 0 between them. With
	 * KEY_INTERNAL (msg.h) the worker's own name for work that no request stands for.
	 */
	volatile uint64_t in_hand;
	/* grows once per pass of the worker's loop, and within a long one */
	volatile uint64_t loops;
	/* number of trace entries ever written; the last is (n-1) % TRACES */
	volatile uint64_t n_traces;
	/* set by the worker's fatal-signal handler: return addresses, then text */
	volatile uint32_t n_frames;
	/*
	 * Its number; negative if somebody sent it (si_code <= 0, unless it is
	 * abort(): SIGABRT from our own pid). The keeper blames nobody for those.
	 */
	volatile int32_t fatal_signal;
	uint64_t fatal_addr;
	uint64_t load_base; /* what to subtract for addr2line */
	uint64_t frames[BLACKBOX_FRAMES];
	/* the method in hand, for people */
	char what[64];
	/* where it waits for a debugger, "" while it does not; how often it did */
	char halt[16];
	volatile uint32_t halts;
	/* SIGUSR1 makes the worker write down where it is; what it wrote last */
	volatile uint32_t ask_ready;
	volatile uint32_t n_ask_frames;
	uint64_t ask_frames[BLACKBOX_FRAMES];
	struct blackbox_trace trace[BLACKBOX_TRACES];
};

_Static_assert(sizeof(struct blackbox) <= BLACKBOX_SIZE, "black box outgrew its page");

#endif

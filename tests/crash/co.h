/*
 * Coroutines on the event loop: the life of a container reads as a script,
 * while hundreds of them run in one thread, so nothing needs a lock.
 */
#ifndef PODSHIM_CRASH_CO_H
#define PODSHIM_CRASH_CO_H

#include <stdbool.h>

struct event_base;

void co_init(struct event_base *base);

/* Run fn(arg) in a coroutine of its own, soon. */
void co_spawn(void (*fn)(void *arg), void *arg);
/* How many live. */
unsigned co_count(void);

/* What coroutines wait for. {0} is ready to use. */
struct co_cond {
	struct co *waiters;
};

/* Wait until woken (true) or timeout_ms has passed (false); spurious wakes happen. */
bool co_wait(struct co_cond *cond, long timeout_ms);
void co_wake(struct co_cond *cond);

/* Wait for EV_READ or EV_WRITE on fd; false: time-out. */
bool co_wait_fd(int fd, short what, long timeout_ms);
void co_pause_us(long us);

/* Let a number of coroutines run and wait for their end. */
struct co_group {
	unsigned running;
	struct co_cond done;
};
void co_group_spawn(struct co_group *group, void (*fn)(void *arg), void *arg);
void co_group_wait(struct co_group *group);

#endif

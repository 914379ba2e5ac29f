/*
 * The event loop: libevent, plus deferred free. An object may not be freed
 * under its own callback, so it is buried, and freed once the pass is over.
 */
#ifndef PODSHIM_BASE_LOOP_H
#define PODSHIM_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct loop;

/* NULL on failure (no memory, no epoll). */
struct loop *loop_new(void);
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

/*
 * Run until loop_stop(). pass_cb, if any, runs once per pass, before the
 * callbacks of the next one and after the burials of the last.
 */
void loop_run(struct loop *loop, void (*pass_cb)(void *arg), void *arg);
/* One pass; blocks for an event unless nonblock. Tests use it. */
void loop_once(struct loop *loop, int nonblock);
void loop_stop(struct loop *loop);

/*
 * A timer inside its owner: setting it cannot fail, whatever the memory, so it
 * can be what everything else falls back on. {0} and init before use; stop it
 * before its owner goes.
 */
struct loop_timer {
	TAILQ_ENTRY(loop_timer) link;
	uint64_t when_us; /* CLOCK_MONOTONIC: suspended time does not count */
	bool on;
	void (*cb)(void *arg);
	void *arg;
};

void loop_timer_init(struct loop_timer *t, void (*cb)(void *arg), void *arg);
/* cb runs once, in us microseconds; one that runs already is set anew. */
void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t us);
void loop_timer_stop(struct loop *loop, struct loop_timer *t);

/*
 * Each timer that runs: in how many microseconds (less than 0: it is due), and
 * the address of the function that it will call. For people.
 */
void loop_each_timer(
    struct loop *loop, void (*cb)(int64_t in_us, uint64_t code, void *arg), void *arg);

/* Embed one in each object that is buried. */
struct grave {
	struct grave *next;
	void (*free_cb)(void *obj);
	void *obj;
};

/* free_cb(obj) runs after this pass. Burying twice is a bug (assert). */
void loop_bury(
    struct loop *loop, struct grave *grave, void (*free_cb)(void *), void *obj);

#endif

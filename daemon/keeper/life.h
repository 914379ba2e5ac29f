/*
 * The worker's life: start, HELLO, snapshot, READY, GO; death, and the next
 * one; hang detection; upgrade. There is never more than one.
 */
#ifndef PODSHIM_KEEPER_LIFE_H
#define PODSHIM_KEEPER_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/msg.h"

struct err;
struct life;
struct pod;

struct life *life_new(struct pod *pod);
void life_free(struct life *life);
/* Start the first worker. */
void life_begin(struct life *life);

/*
 * To the worker. Dropped while there is none, or none that has had its
 * snapshot: the snapshot of the next one says it.
 */
void life_send(struct life *life, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds);

/* GO was sent: new requests may be delivered. */
bool life_is_running(const struct life *life);
/* So many boots failed that requests are refused. */
bool life_is_hopeless(const struct life *life);
/* No worker has ever come up. */
bool life_never_ran(const struct life *life);
/* Somebody waits who will not wait long. */
void life_hurry(struct life *life);

/* What the worker said (handle.c). */
void life_on_hello(struct life *life, const struct msg_hello *hello);
void life_on_ready(struct life *life);
/* It sent what makes no sense: it is corrupt, and goes. */
void life_on_garbage(struct life *life, const char *what);

/*
 * Replace the worker: by this executable (taken on success), or for -1 by the
 * same. done runs once: 0 when the new one runs, -errno and a sentence if it
 * did not come up (an old build then comes back). -EBUSY: one is under way.
 */
typedef void (*life_done_cb)(int rc, const char *text, void *arg);
int life_replace(
    struct life *life, int exe_fd, life_done_cb done, void *arg, struct err *err);
/* The one who asked is gone. */
void life_forget_asker(struct life *life, void *arg);

/* Let the worker leave, for good; then cb. */
void life_end(struct life *life, void (*cb)(void *arg), void *arg);

/* For STATUS. */
struct life_status {
	const char *state; /* one word */
	pid_t pid;	   /* 0: none */
	uint32_t gen;
	uint32_t restarts;
	uint32_t failed_boots;
	uint32_t deaths;      /* in a row, without a quiet minute between */
	uint32_t left_behind; /* earlier ones that do not die */
	const char *build;
	size_t unread;
	char held[64]; /* " (stopped)" and the like: left alone; "" if it runs */
};
void life_status(struct life *life, struct life_status *out);

#endif

/*
 * Steps: what must not happen twice, under a key. A known key is never done
 * again; its result is told again. From an ADOPT step comes a process, from
 * the process an exit, all in one record that is allocated before anything
 * happens: recording an exit needs no memory.
 *
 * How long a record is kept stands in ipc/msg.h.
 */
#ifndef PODSHIM_KEEPER_STEP_H
#define PODSHIM_KEEPER_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "ipc/msg.h"

struct fdstore;
struct loop;
struct reaper;
struct steps;

struct steps_ops {
	/* A step has ended, or its end is told again. */
	void (*on_step)(const struct msg_step *step, void *arg);
	void (*on_exit)(const struct msg_exit *exit, void *arg);
	/* Is n still unanswered? */
	bool (*is_open)(uint64_t n, void *arg);
	/* A child less. */
	void (*on_change)(void *arg);
};

struct steps_env {
	struct loop *loop;
	struct reaper *reaper;
	struct fdstore *fds;	     /* where terminals go */
	int dir_fd;		     /* of the pod */
	const char *dir_alias;	     /* a short path to it */
	const struct rlimit *nofile; /* for commands; NULL: ours */
};

/* env is borrowed for the steps' life. */
struct steps *steps_new(
    const struct steps_env *env, const struct steps_ops *ops, void *arg);
void steps_free(struct steps *ss);

/* fd_error: the descriptors did not all arrive (positive errno), or 0. */
void steps_spawn(struct steps *ss, const struct msg_spawn *spawn, int fd_error);
void steps_signal(struct steps *ss, uint64_t key, uint64_t target, int signo,
    const struct msg_bytes *tag);
/* what: enum ack_what. */
void steps_ack(struct steps *ss, uint64_t key, uint64_t what);
/* n was answered: its ended steps go, the others turn internal. */
void steps_request_done(struct steps *ss, uint64_t n);

/* Tell every step by on_step(), then every exit by on_exit(), with counts. */
void steps_snapshot(struct steps *ss, size_t *n_steps, size_t *n_exits);

size_t steps_count(const struct steps *ss);
/* Running commands and adopted processes that live. */
size_t steps_children(const struct steps *ss);
void steps_each(
    const struct steps *ss, void (*cb)(const char *line, void *arg), void *arg);

#endif

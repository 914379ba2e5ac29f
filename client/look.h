/*
 * Looking at a pod from outside, whoever in it is dead, stopped or hung: its
 * processes in /proc, and what its keeper has in hand.
 */
#ifndef PODSHIM_CLIENT_LOOK_H
#define PODSHIM_CLIENT_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "client/pods.h"
#include "client/proc.h"

/* What the keeper does for the pod and has not ended. */
struct look_step {
	pid_t pid;
	int64_t left_us; /* until it is killed; -1: no deadline */
};

struct look_request {
	uint64_t n;
	int64_t age_us;
	bool delivered; /* the worker has it */
	bool orphan;	/* its caller is gone */
	char *method;	/* "Delete"; "" if that cannot be read */
	char *id;
	char *exec_id;
};

/* A descriptor in the keeper's store. */
struct look_fd {
	char *name; /* io/<container>/<exec or ->/out.src */
	int fd;	    /* in the keeper */
};

struct look {
	const struct pod *pod;
	const struct procs *procs;
	pid_t keeper; /* 0: not found */
	pid_t worker;
	char *address; /* containerd's socket, as the keeper was told; NULL */
	char *publisher;
	int64_t young_us; /* requests and commands younger than this are on their way */
	bool detailed;	  /* the keeper said what follows */
	struct look_step *steps;
	size_t n_steps;
	struct look_request *requests; /* by n */
	size_t n_requests;
	struct look_fd *fds;
	size_t n_fds;
};

/* pod must have been asked; both are borrowed. Waits 500 ms at most. young_us is 1 s. */
void look_at(const struct pod *pod, const struct procs *procs, struct look *out);
void look_fini(struct look *l);

/* Service, method and ids of a request by the first bytes of its frame. */
void look_parse_frame(const char *hex, struct look_request *out);

/* Does somebody take connections at this socket's path? Not waited for. */
bool look_somebody_listens(const char *path);

/* "pid 12 (sleep, 3 min old) in uninterruptible sleep (D) at nfs_wait"; malloc'ed. */
char *look_describe(const struct proc *p);
/* "3 s", "2 min", "1 h 4 min". Static buffer. */
const char *look_span(int64_t us);

#endif

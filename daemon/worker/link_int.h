/*
 * Inside the link only: link.c (messages), link_step.c and link_fd.c share it.
 */
#ifndef PODSHIM_WORKER_LINK_INT_H
#define PODSHIM_WORKER_LINK_INT_H

#include <uthash.h>

#include "base/loop.h"
#include "ipc/channel.h"
#include "worker/link.h"

struct event;

struct link_step {
	struct msg_step step; /* tag and text are owned */
	char *tag;
	char *text;
	link_step_cb cb;
	void *arg;
	bool due;	 /* ended before anybody asked: cb runs from due_ev */
	bool answered;	 /* its request is; it stays for the process it adopted */
	bool exit_acked; /* that process's exit is acknowledged */
	struct link_step *due_next;
	struct grave grave;
	UT_hash_handle hh;
};

struct link_name {
	UT_hash_handle hh;
	char name[];
};

/* A message that waits for GO. */
struct link_kept {
	struct link_kept *next;
	struct msg_head head;
	void *payload;
	int fds[MSG_FDS_MAX];
	size_t n_fds;
};

struct link_get {
	struct link_get *next;
	uint64_t id;
	link_fd_cb cb;
	void *arg;
};

struct link {
	struct loop *loop;
	struct channel *ch;
	struct link_ops ops;
	void *arg;
	struct blackbox *bb;
	char *dir_alias;
	uint32_t gen;
	uint32_t n_internal;
	bool held; /* GO has not come, or is not committed yet */
	bool ended;
	struct link_kept *kept, **kept_tail;
	struct event *due_ev;
	struct link_step *due, **due_tail;
	struct link_step *steps; /* by key */
	struct link_name *names; /* of the fd store, as far as we know */
	struct link_get *gets;
	uint64_t n_gets;
};

/* Send, or keep until link_release(). Returns as channel_send(). */
int link_send(struct link *lk, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds);
/* A message whose payload is one string field, or none with text NULL. */
void link_send_text(
    struct link *lk, struct msg_head *head, enum msg_field field, const char *text);

void link_on_step(struct link *lk, const struct packet *p);
void link_steps_init(struct link *lk);
void link_steps_fini(struct link *lk);
/* n is answered: the keeper forgets its ended steps, and so do we. */
void link_steps_forget(struct link *lk, uint64_t n);
/* The exit of this step's process is acknowledged. */
void link_steps_exited(struct link *lk, uint64_t key);

void link_on_fd(struct link *lk, struct packet *p);
void link_on_fdname(struct link *lk, const struct packet *p);
void link_fds_fini(struct link *lk);

#endif

/*
 * The worker's one object: everything it knows about its pod. Its parts are
 * open to all files of this folder; each field has one owner that writes it.
 */
#ifndef PODSHIM_WORKER_POD_H
#define PODSHIM_WORKER_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "state/store.h"
#include "worker/conf.h"
#include "worker/tag.h"

struct container;
struct err;
struct event;
struct held_exit;
struct link;
struct loop;
struct op;
struct outbox;
struct process;

/* Caps on what a peer can make us keep (design.md 9). */
#define POD_ID_MAX	   76u			 /* containerd's own limit */
#define POD_EXECS_MAX	   4096u		 /* per container */
#define POD_SPECS_MAX	   (16u * 1024u * 1024u) /* of execs that nobody has started */
#define POD_CONTAINERS_MAX 1024u
#define POD_PATH_MAX	   4096u

struct pod {
	struct loop *loop;
	struct link *link;
	struct store *store;
	struct outbox *outbox;
	struct conf conf;
	const char *ns;
	const char *group;
	const char *dir; /* absolute */
	int dirfd;
	int exe_fd;	/* our own executable: the mount helper is run from it */
	char *log_path; /* the log FIFO of one of our bundles */

	struct container *containers; /* container.c: by id */
	struct process *processes;    /* process.c: by key */
	struct op *ops;		      /* op.c: by n */
	struct held_exit *held;	      /* exits.c */
	struct event *oom_ev; /* oom.c: the nested epoll, once there is need of it */

	uint64_t suspect;   /* what the last worker killed itself with (msg.h, WELCOME) */
	char *leaked;	    /* leftover.c: ids, NULL none */
	uint64_t highest_n; /* of any request seen */
	size_t specs_len;   /* of all processes that are not started */
	bool live;	    /* GO was said: operations may begin */
	bool leaving;	    /* QUIESCE was said, or the keeper is gone */
	bool shutdown_seen; /* containerd asked us to end once we are empty */
	bool idle_said;
	uint64_t idle_n; /* highest_n when it was said */

	/* answered requests whose stored answers may go */
	uint64_t *spent;
	size_t n_spent, cap_spent;
	size_t n_spent_in_tx; /* the first of them: gone if this transaction succeeds */
	/* exits whose rows the disk did not take yet */
	uint64_t *unacked;
	size_t n_unacked;
	/* memos of what was answered from memory, until its rows are written */
	uint64_t *memos;
	size_t n_memos;
	struct event *flush_ev; /* while the store has a backlog */
	struct event *idle_ev;	/* while there is no container */
};

/* Opens nothing: fills in timers and defaults. */
void pod_init(struct pod *pod, struct loop *loop);
void pod_fini(struct pod *pod);
/* Takes st. If its file is damaged, what memory knows goes into the new one. */
void pod_use_store(struct pod *pod, struct store *st);

/*
 * One transaction: rows, events, answers. It also drops answers that have
 * reached the keeper. pod_commit returns as store_commit() does, and goes on
 * trying in the background where the disk is full (STORE_KEEP).
 */
void pod_begin(struct pod *pod);
int pod_commit(struct pod *pod, enum store_commit_mode mode, struct err *err);
/* Send the events that were committed; pod_commit() does, once the pod is live. */
void pod_kick_events(struct pod *pod);
/*
 * Write what the disk did not take and acknowledge what waited for it: exits, memos.
 * -errno: still not; it is tried again in the background.
 */
int pod_flush(struct pod *pod, struct err *err);
/* May something be created now? -errno while the disk does not take our rows. */
int pod_writable(struct pod *pod, struct err *err);
/* n's answer was sent: its row is not needed once the keeper has it. */
void pod_spent(struct pod *pod, uint64_t n);
/* The exit of this process is in a committed transaction (rc of pod_commit). */
void pod_ack_exit(struct pod *pod, uint64_t key, int commit_rc);

/*
 * The caller is about to be told that this container (or its exec) is gone; what
 * pod_commit returned for that. If the rows are not written, a memo in the keeper sees
 * to it that the next worker does not bring it back. kind: TAG_DELETED or TAG_PURGED.
 */
void pod_note_gone(struct pod *pod, enum tag_kind kind, const char *container,
    const char *exec_id, int commit_rc);

/* Something went: is the pod empty, and may it end? */
void pod_check_idle(struct pod *pod);
/* Shutdown with nothing left: not after the grace time, but now. */
void pod_end_now(struct pod *pod);
/* Tell the keeper, for people who ask while we are down, what there is. */
void pod_mark(struct pod *pod);

/*
 * The log FIFO is a bundle's, and bundles go. Choose that of a container that
 * stays; leaving (or NULL) is one that does not.
 */
void pod_choose_log(struct pod *pod, const struct container *leaving);

/* Milliseconds-precise one-shot timer helpers. */
struct event *pod_timer_new(
    struct pod *pod, void (*cb)(int fd, short what, void *arg), void *arg);
void pod_timer_set(struct event *ev, uint64_t after_us);

/* <dir>/<what>.<key in hex>; malloc'ed. */
char *pod_key_path(const struct pod *pod, const char *what, uint64_t key);
/* The name alone. */
char *pod_key_name(const char *what, uint64_t key);
void pod_unlink_key(struct pod *pod, const char *what, uint64_t key);

/* As containerd validates ids; -EINVAL. */
int pod_check_id(const char *what, const char *id, struct err *err);

#endif

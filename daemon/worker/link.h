/*
 * The worker's side of the keeper: everything that must not happen twice is
 * asked for here (recovery.md). Messages leave at once; what comes back goes
 * to the owner of the key, name or request.
 */
#ifndef PODSHIM_WORKER_LINK_H
#define PODSHIM_WORKER_LINK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/msg.h"

struct blackbox;
struct err;
struct link;
struct loop;

struct link_ops {
	void (*on_request)(const struct msg_request *req, void *arg);
	void (*on_cancel)(uint64_t n, void *arg);
	void (*on_exit)(const struct msg_exit *exit, void *arg);
	void (*on_pinned)(const char *id, void *arg);
	/* snapshot complete; then link_ready() is due */
	void (*on_sync)(void *arg);
	/* the keeper commits to this build */
	void (*on_go)(void *arg);
	void (*on_quiesce)(enum quiesce_why why, void *arg);
	/* somebody wants a dump: write lines for people to fd (borrowed) */
	void (*on_tell)(int fd, void *arg);
	/* the keeper is gone */
	void (*on_end)(void *arg);
};

/*
 * Takes channel_fd; says HELLO and blocks for WELCOME (the keeper is already
 * waiting for it), then maps the black box. *welcome is filled; its strings
 * live as long as the link.
 */
int link_open(struct loop *loop, int channel_fd, const char *build,
    const struct link_ops *ops, void *arg, struct link **out, struct msg_welcome *welcome,
    struct err *err);
void link_free(struct link *lk);

/*
 * READY: recovered. Whatever else is sent before GO waits in here until
 * link_release(), which on_go calls once the migration is committed.
 */
void link_ready(struct link *lk);
void link_release(struct link *lk);
/* Bytes that the keeper's socket has not taken from us yet. */
size_t link_queued(struct link *lk);

void link_idle(struct link *lk, uint64_t highest_n);
void link_mark(struct link *lk, const char *text);
/* The keeper is to write its log there, too. */
void link_log(struct link *lk, const char *path);
void link_unpin(struct link *lk, const char *id);

/* response NULL: nobody waits for it. len 0 is a good answer: an empty message. */
void link_answer(struct link *lk, uint64_t n, const void *response, size_t len);
/* An ended internal step is not needed any more; forgets it here too. */
void link_ack(struct link *lk, uint64_t key);
/* A process's exit is committed. */
void link_ack_exit(struct link *lk, uint64_t key);

/*
 * Steps. cb runs from the loop with the step's end (DONE or FAILED), once. If
 * the keeper knows the key already, nothing is done twice: the stored result
 * comes. link_step_known(): what the snapshot or an answer said of that key;
 * NULL if the keeper has never heard of it.
 */
typedef void (*link_step_cb)(const struct msg_step *step, void *arg);
void link_spawn(
    struct link *lk, const struct msg_spawn *spawn, link_step_cb cb, void *arg);
/*
 * target: key of a running step, or of an adopted process. cb may be NULL.
 */
void link_signal(struct link *lk, uint64_t key, uint64_t target, int signo,
    link_step_cb cb, void *arg);
/* A key for work that belongs to no request. */
uint64_t link_internal_key(struct link *lk);
/* SIGKILL to such a target, and nobody asks what became of it. */
static inline void
link_kill(struct link *lk, uint64_t target)
{
	link_signal(lk, link_internal_key(lk), target, SIGKILL, NULL, NULL);
}
/*
 * A note for the next worker, in the keeper's memory: a step that does nothing, with
 * that tag; in each snapshot until link_ack(). It is there before whatever is sent
 * after it. Returns its key.
 */
uint64_t link_memo(struct link *lk, const struct msg_bytes *tag);
const struct msg_step *link_step_known(struct link *lk, uint64_t key);
/* Attach a callback to a step that is RUNNING or ended already (after a restart). */
void link_step_watch(struct link *lk, uint64_t key, link_step_cb cb, void *arg);
/* Forget the callback; the step itself goes on. */
void link_step_unwatch(struct link *lk, uint64_t key);
/* Every key the snapshot named that nobody has claimed, for clean-up. */
void link_each_step(
    struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg);

/*
 * The fd store. Names: io/<container>/<exec>/<what>, tty/<key hex>, out/<key hex>.
 * link_fd_put() duplicates; the caller keeps its own.
 */
void link_fd_put(struct link *lk, const char *name, int fd);
/* The keeper opens an end of the FIFO that path_fd (O_PATH) names, and stores that. */
void link_fd_put_fifo(struct link *lk, const char *name, int path_fd, bool writes);
typedef void (*link_fd_cb)(int fd, void *arg); /* owns fd; -errno if there is none */
void link_fd_get(struct link *lk, const char *name, link_fd_cb cb, void *arg);
/* arg is going: what was asked for it is closed when it arrives. */
void link_fd_forget(struct link *lk, const void *arg);
/* prefix: all names that begin with it. */
void link_fd_drop(struct link *lk, const char *name, bool prefix);
/* Known from the snapshot or from our own puts. */
bool link_fd_known(struct link *lk, const char *name);
void link_each_fd(struct link *lk, void (*cb)(const char *name, void *arg), void *arg);

/*
 * The black box: what is in hand now (0: nothing); returns what was, to be
 * put back. Around each callback for a request's step, request or cancel
 * the link does it by itself.
 */
uint64_t link_in_hand(struct link *lk, uint64_t n, const char *what);
/*
 * It goes on: counted in the black box, where the keeper looks whether we stand still.
 * Once per pass of the loop, and per container where one pass goes through them all.
 */
void link_loop_pass(struct link *lk);
struct blackbox *link_blackbox(struct link *lk);
void link_trace(const char *text);

#endif

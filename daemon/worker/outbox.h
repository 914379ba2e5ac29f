/*
 * Events on their way to containerd (design.md 4 "an event", P4). A row is
 * written in the transaction of the change it tells of; then the outbox takes
 * the oldest of each container, one in flight per container across both
 * transports, retries with growing delays for as long as the pod lives.
 */
#ifndef PODSHIM_WORKER_OUTBOX_H
#define PODSHIM_WORKER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct link;
struct loop;
struct outbox;
struct store;

struct outbox_target {
	const char *ns;		    /* containerd namespace */
	const char *grpc_address;   /* -address */
	const char *ttrpc_address;  /* TTRPC_ADDRESS; "" none */
	const char *publish_binary; /* -publish-binary; "" none */
};

struct outbox *outbox_new(struct loop *loop, struct link *lk, struct store *st,
    const struct conf *conf, const struct outbox_target *target);
/* Nothing gets a callback any more. A publish child that runs goes on. */
void outbox_free(struct outbox *ob);

/*
 * Write an event's row; inside the caller's transaction. body: the encoded
 * message of type `type`. exec_id "" unless it tells of an exec. What happened
 * is taken to have happened now.
 */
void outbox_add(struct outbox *ob, const char *container, const char *exec_id,
    const char *topic, const char *type, const void *body, size_t len);
/* After a commit: look whether there is something to send. Cheap. */
void outbox_kick(struct outbox *ob);
/*
 * Has every container of the pod stopped? Then all events go the quick way: the pod's
 * socket stays until the last has gone, and containerd's clients look whether it does right
 * after Delete (TestShimDoesNotLeakSockets). To be said before outbox_kick().
 */
void outbox_at_end(struct outbox *ob, bool at_end);
/* Do not wait out any delay; outbox_drain() does, at the pod's end. Cheap. */
void outbox_retry_now(struct outbox *ob);
/*
 * After a worker restart, once, with the snapshot complete and before anybody
 * clears away steps or out/ descriptors without an owner: re-attach to a
 * publish child that still runs, acknowledge those that are of no use.
 */
void outbox_resume(struct outbox *ob);
bool outbox_empty(struct outbox *ob);
/*
 * Call cb when empty, or after timeout_us. An event on its way then is waited for, and those
 * behind it as long as one is: for 10 s more. What is left is dropped and logged.
 * From the loop, once; a second call takes the place of the first.
 *
 * still_cb:	asked before anything is dropped: is it still the pod's end? If not,
 *		nothing is, and cb is not called
 */
void outbox_drain(struct outbox *ob, uint64_t timeout_us, bool (*still_cb)(void *arg),
    void (*cb)(void *arg), void *arg);
/* The pod lives on: neither callback comes any more. Cheap. */
void outbox_drain_stop(struct outbox *ob);

/* An event on its way. Borrowed for the call. */
struct outbox_event {
	uint64_t seq;
	const char *topic;
	const char *type;
	const void *body;
	size_t len;
	int64_t t_ns; /* when it happened */
};

/*
 * How a delivery ended, from the loop, once:
 * 0		containerd has it
 * -EINVAL	containerd will never take it
 * -EHOSTDOWN	containerd was not reached, or did not answer
 * other	containerd refused; try again
 */
typedef void (*transport_cb)(int rc, void *arg);

/* One way to deliver; outbox_publish.c and outbox_ttrpc.c make one each. */
struct transport {
	const char *name; /* as stored: "publish-binary", "ttrpc" */
	unsigned max_in_flight;
	void (*send)(struct transport *tr, const struct outbox_event *ev,
	    transport_cb done_cb, void *arg);
	/*
	 * A delivery of seq that a dead worker began: attach to it and return
	 * true. NULL if none can survive. resume_end: attach to all others, and
	 * forget them once they end.
	 */
	bool (*resume)(
	    struct transport *tr, uint64_t seq, transport_cb done_cb, void *arg);
	void (*resume_end)(struct transport *tr);
	/* No callback after it. */
	void (*free)(struct transport *tr);
};
/* NULL if target has no means for it. */
struct transport *transport_publish_new(
    struct loop *loop, struct link *lk, const struct outbox_target *target);
struct transport *transport_ttrpc_new(
    struct loop *loop, const struct outbox_target *target);
/*
 * An outbox with these transports, which it will free; either may be NULL. For
 * tests; outbox_new() makes the real ones.
 */
struct outbox *outbox_new_with(struct loop *loop, struct store *st,
    const struct conf *conf, struct transport *publish, struct transport *ttrpc);
/* Does that text of `containerd publish` mean that no retry will help? */
bool outbox_publish_is_rejection(const char *text);

#endif

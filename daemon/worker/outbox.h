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
	const char *ns;              /* containerd namespace */
	const char *grpc_address;    /* -address */
	const char *ttrpc_address;   /* TTRPC_ADDRESS; "" none */
	const char *publish_binary;  /* -publish-binary; "" none */
};

struct outbox *outbox_new(struct loop *loop, struct link *lk, struct store *st,
    const struct conf *conf, const struct outbox_target *target);
void outbox_free(struct outbox *ob);

/*
 * Write an event's row; inside the caller's transaction. body: the encoded
 * message of type `type`. exec_id "" unless it tells of an exec.
 */
void outbox_add(struct outbox *ob, const char *container, const char *exec_id,
    const char *topic, const char *type, const void *body, size_t len);
/* After a commit: look whether there is something to send. Cheap. */
void outbox_kick(struct outbox *ob);
/* After a worker restart, once: re-attach to a publish child that still runs. */
void outbox_resume(struct outbox *ob);
bool outbox_empty(struct outbox *ob);
/* Call cb when empty, or after timeout_us; what is left then is dropped and logged. */
void outbox_drain(struct outbox *ob, uint64_t timeout_us, void (*cb)(void *arg), void *arg);

/* One way to deliver; outbox_publish.c and outbox_ttrpc.c make one each. */
struct transport {
	const char *name;
	/* Deliver row; done_cb from the loop, once: 0, -EINVAL (rejected for good),
	 * other -errno (try again). */
	void (*send)(struct transport *tr, uint64_t seq, const char *topic, const char *type,
	    const void *body, size_t len, int64_t t_ns,
	    void (*done_cb)(int rc, void *arg), void *arg);
	void (*free)(struct transport *tr);
};
struct transport *transport_publish_new(struct loop *loop, struct link *lk,
    const struct outbox_target *target);
struct transport *transport_ttrpc_new(struct loop *loop, const struct outbox_target *target);

#endif

/*
 * containerd's connections: whole ttrpc frames in and out, and the stream-id
 * rules, which need a memory that outlives the worker (contract.md 4.3). What
 * a request means is nobody's business here.
 *
 * A protocol error is answered on its stream and closes nothing: containerd
 * takes a closed connection for a dead shim.
 */
#ifndef PODSHIM_KEEPER_CONN_H
#define PODSHIM_KEEPER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "keeper/blob.h"
#include "proto/status.h"

struct conn;
struct conns;
struct loop;
struct request;
LIST_HEAD(request_list, request);

struct conns_ops {
	/*
	 * A whole request on a stream that may be used. Takes *blob. What it
	 * costs was charged: conn_uncharge() when it has been answered.
	 */
	void (*on_request)(struct conn *c, uint32_t stream, struct blob *blob, void *arg);
	/* Is there an unanswered request on that stream? */
	bool (*is_open)(struct conn *c, uint32_t stream, void *arg);
	/* The peer is gone; c is freed after this pass. */
	void (*on_closed)(struct conn *c, void *arg);
	/* The last unwritten byte of a connection has left. */
	void (*on_flushed)(void *arg);
};

/* Takes listen_fd (also on failure). NULL on failure. */
struct conns *conns_new(
    struct loop *loop, int listen_fd, const struct conns_ops *ops, void *arg);
void conns_free(struct conns *cs);
size_t conns_count(const struct conns *cs);
/* Bytes charged for requests and unwritten answers, of all. */
size_t conns_charged(const struct conns *cs);
/* Is an answer not wholly written, or a request not wholly read? */
bool conns_busy(const struct conns *cs);
/* Accept what waits. Returns whether something did, or perhaps does: no room for it. */
bool conns_accept(struct conns *cs);
void conns_close_listener(struct conns *cs);

uint32_t conn_id(const struct conn *c);
/* The unanswered requests of the connection, kept by their owner (request.c). */
struct request_list *conn_requests(struct conn *c);

/*
 * Queue an answer: the Response message. More than a frame holds becomes an
 * error, also memory running out, or too much that the peer has not read.
 * request: what is answered, whose memory may be taken for that error
 * (blob_steal); NULL: it was none. Never blocks, never calls back.
 */
void conn_answer(struct conn *c, uint32_t stream, const void *response, size_t len,
    struct blob *request);
void conn_answer_status(struct conn *c, uint32_t stream, enum status_code code,
    const char *text, struct blob *request);
/* What a request of len bytes was charged, back to its connection's budget. */
void conn_uncharge(struct conn *c, size_t len);
/* The same for a request whose connection is gone. */
void conns_uncharge(struct conns *cs, size_t len);

#endif

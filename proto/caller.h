/*
 * Calling a ttrpc service from a program that may wait: frames over a unix
 * socket, a deadline for each step, no event loop. Several calls may be under
 * way at once; their answers are told apart by stream. Aborts when memory runs
 * out (base/mem.h).
 *
 * Deadlines are points in time (clock_boot_us()). Nothing here waits beyond its
 * deadline, whatever the other side does or fails to do.
 */
#ifndef PODSHIM_PROTO_CALLER_H
#define PODSHIM_PROTO_CALLER_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct caller;
struct err;

/* What came back; end with caller_reply_fini(). */
struct caller_reply {
	int status;	  /* enum status_code */
	char *text;	  /* of a status that is not OK; never NULL */
	uint8_t *payload; /* the answer's message */
	size_t len;
};

void caller_reply_fini(struct caller_reply *r);

/*
 * Connect. -ENOENT, -ECONNREFUSED: nobody serves there; -EACCES; -ETIMEDOUT:
 * its queue stayed full; -ENAMETOOLONG.
 */
int caller_connect(const char *path, boot_us_t end, struct caller **out, struct err *err);
/* NULL is allowed. Calls under way are forgotten; the other side sees a closed connection. */
void caller_free(struct caller *c);
/* To be polled for POLLIN beside other descriptors; then caller_take_in(). */
int caller_fd(const struct caller *c);
/* Read what has arrived, without waiting; answers are kept. 0, or as caller_recv(). */
int caller_take_in(struct caller *c, struct err *err);

/*
 * Send a request; its stream in *stream. tell: until when the other side shall
 * have answered, as told to it; 0: it is not told. -EMSGSIZE: too long for a frame.
 */
int caller_send(struct caller *c, const char *service, const char *method,
    const ProtobufCMessage *msg, boot_us_t tell, boot_us_t end, uint32_t *stream,
    struct err *err);
/*
 * Wait for that stream's answer; those of other streams are kept. end 0: only look
 * among those. 0: one came, whatever its status. -ETIMEDOUT: none yet, it may be asked for again.
 * -EPIPE, -ECONNRESET: the other side closed. -EPROTO, -EBADMSG: it talks
 * nonsense, and the connection is of no use any more.
 */
int caller_recv(struct caller *c, uint32_t stream, boot_us_t end,
    struct caller_reply *out, struct err *err);

#endif

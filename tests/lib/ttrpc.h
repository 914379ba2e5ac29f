/*
 * A blocking ttrpc client for tests: one call at a time, or many at once with
 * the answers picked by stream. It can also send what no honest client sends.
 *
 * Functions return 0 or -errno (-ETIMEDOUT, -EPIPE/-ECONNRESET when the
 * peer closed). What the peer answered is in struct ttrpc_reply: code 0 is OK.
 */
#ifndef PODSHIM_TESTS_TTRPC_H
#define PODSHIM_TESTS_TTRPC_H

#include "tests/lib/pb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASK_V2 "containerd.task.v2.Task"
#define TASK_V3 "containerd.task.v3.Task"

struct err;
struct ttrpc;

struct ttrpc_reply {
	uint32_t stream;
	uint8_t type, flags;
	int code;	/* google.rpc.Code */
	char *text;	/* its message; "" if none */
	uint8_t *frame; /* the whole payload of the frame */
	size_t frame_len;
	struct pb_view payload; /* the answer's message, inside frame */
};

void ttrpc_reply_fini(struct ttrpc_reply *r);

/* Connect by path ("unix://" in front is allowed). NULL and err on failure. */
struct ttrpc *ttrpc_connect(const char *path, struct err *err);
void ttrpc_free(struct ttrpc *t);
int ttrpc_fd(struct ttrpc *t);
/* Serve: take an accepted connection. Requests are read with ttrpc_recv(). */
struct ttrpc *ttrpc_from_fd(int fd);

/* Send a request on the next odd stream id, which is returned in *stream. */
int ttrpc_send(struct ttrpc *t, const char *service, const char *method,
    const struct pb *msg, int64_t timeout_ns, uint32_t *stream);
/* A frame with any header; payload may be shorter than len says. */
int ttrpc_send_frame(struct ttrpc *t, uint32_t len, uint32_t stream, uint8_t type,
    uint8_t flags, const void *payload, size_t payload_len);
int ttrpc_send_raw(struct ttrpc *t, const void *data, size_t len);
/* Encode the Request message itself, to be sent damaged or on an odd id of one's own. */
void ttrpc_encode_request(struct pb *out, const char *service, const char *method,
    const void *payload, size_t len, int64_t timeout_ns);

/* The answer to that stream (0: the next one of any); others are kept for later. */
int ttrpc_recv(struct ttrpc *t, uint32_t stream, int timeout_ms, struct ttrpc_reply *r);
/* Send and receive. */
int ttrpc_call(struct ttrpc *t, const char *service, const char *method,
    const struct pb *msg, int timeout_ms, struct ttrpc_reply *r);
/* 0 if the peer closes within the time; what arrives meanwhile is kept. */
int ttrpc_wait_close(struct ttrpc *t, int timeout_ms);

#endif

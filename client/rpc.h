/*
 * Requests to a pod's shim over its own socket, as containerd sends them.
 * Everything waits, and nothing waits beyond the time it was given: a worker
 * that is stopped or dead makes a call end with -ETIMEDOUT.
 *
 * Errors are -errno with a sentence. What the shim answers becomes an errno,
 * too: NotFound -ENOENT, AlreadyExists -EEXIST, DeadlineExceeded -ETIMEDOUT,
 * Unimplemented -ENOSYS, FailedPrecondition -EBUSY, InvalidArgument -EINVAL,
 * PermissionDenied -EACCES, Unavailable -EAGAIN, all others -EREMOTEIO.
 */
#ifndef PODSHIM_CLIENT_RPC_H
#define PODSHIM_CLIENT_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

struct err;
struct pod;
struct rpc;

#define RPC_TIMEOUT_MS	       5000
#define RPC_RUNTIME_TIMEOUT_MS 30000 /* of what runs a command of the OCI runtime */

/*
 * The pod's socket, malloc'ed: as its keeper says, or else as containerd's tools
 * would find it. NULL: it has none.
 */
char *rpc_socket_of(const struct pod *pod);

/* Connect. The pod must have been asked (pods_ask()) and outlive the rpc. */
int rpc_open(const struct pod *pod, struct rpc **out, struct err *err);
/* NULL is allowed. */
void rpc_close(struct rpc *r);
/* To be polled for POLLIN beside other descriptors; then rpc_take_in(), and rpc_end()
 * with RPC_LOOK for each call that is under way. */
int rpc_fd(const struct rpc *r);
int rpc_take_in(struct rpc *r, struct err *err);
#define RPC_LOOK (-1)

/*
 * One call of the Task service ("Kill"). want, out: the answer's message, to be
 * freed with protobuf_c_message_free_unpacked(); both NULL: it says nothing.
 * A call whose time is up before the worker has begun it will not be begun.
 */
int rpc_call(struct rpc *r, const char *method, const ProtobufCMessage *msg,
    int timeout_ms, const ProtobufCMessageDescriptor *want, ProtobufCMessage **out,
    struct err *err);

/*
 * The same in two steps, so that other calls can go between (Wait, and Kill
 * meanwhile). rpc_begin() with timeout_ms 0: the shim may take as long as it likes.
 * rpc_end() may be repeated after -ETIMEDOUT; RPC_LOOK as its timeout_ms: only look
 * among the answers that rpc_take_in() has read, -EINPROGRESS: it has not come.
 */
int rpc_begin(struct rpc *r, const char *method, const ProtobufCMessage *msg,
    int timeout_ms, uint32_t *stream, struct err *err);
int rpc_end(struct rpc *r, uint32_t stream, int timeout_ms,
    const ProtobufCMessageDescriptor *want, ProtobufCMessage **out, struct err *err);

/* One call of our own service, podshim.v1.Admin, on a connection of its own. */
int rpc_admin(const struct pod *pod, const char *method, const ProtobufCMessage *msg,
    int timeout_ms, const ProtobufCMessageDescriptor *want, ProtobufCMessage **out,
    struct err *err);

#endif

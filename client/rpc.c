/*
 * The Task service from the client's side: proto/caller.h and what its errors
 * mean to people.
 */
#include "client/rpc.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "client/pods.h"
#include "ipc/admin.h"
#include "proto/caller.h"
#include "proto/status.h"

#define TASK_SERVICE  "containerd.task.v2.Task"
#define ADMIN_SERVICE "podshim.v1.Admin"
/* Longer than what the shim is told, so that its own answer to that arrives. */
#define GRACE_US      (500 * US_PER_MS)
#define SEND_MS	      2000

struct rpc {
	const struct pod *pod;
	struct caller *caller;
	char *method; /* of the last call begun, for messages */
};

static boot_us_t
after_ms(int ms)
{
	return clock_boot_us() + (boot_us_t)ms * US_PER_MS;
}

char *
rpc_socket_of(const struct pod *pod)
{
	const char *hash8 = strrchr(pod->name, '.') + 1;
	AUTO_FREE char *pattern = NULL;
	char *path = NULL;
	glob_t g;

	if (pod->status != NULL)
		path = admin_status_get(pod->status, "socket");
	if (path != NULL)
		return path;
	pattern = mem_printf("%s/%s*", POD_SOCKET_DIR, hash8);
	if (glob(pattern, GLOB_NOSORT, NULL, &g) == 0) {
		path = g.gl_pathc == 1 ? mem_strdup(g.gl_pathv[0]) : NULL;
		globfree(&g);
	}
	return path;
}

int
rpc_open(const struct pod *pod, struct rpc **out, struct err *err)
{
	AUTO_FREE char *path = NULL;
	struct caller *caller;
	int rc;

	if (pod->keeper == KEEPER_DEAD)
		return err_setx(err, ECONNREFUSED,
		    "pod '%s' has no keeper: nobody is "
		    "there to ask ('podshimctl doctor' says more)",
		    pod->group);
	path = rpc_socket_of(pod);
	if (path == NULL)
		return err_setx(err, ENOENT, "pod '%s' has no socket", pod->group);
	rc = caller_connect(path, after_ms(SEND_MS), &caller, err);
	if (rc < 0)
		return err_wrap(err, rc, "pod '%s'", pod->group);
	*out = mem_zalloc(sizeof **out);
	**out = (struct rpc){.pod = pod, .caller = caller};
	return 0;
}

void
rpc_close(struct rpc *r)
{
	if (r == NULL)
		return;
	caller_free(r->caller);
	free(r->method);
	free(r);
}

int
rpc_fd(const struct rpc *r)
{
	return caller_fd(r->caller);
}

int
rpc_take_in(struct rpc *r, struct err *err)
{
	int rc = caller_take_in(r->caller, err);

	return rc < 0 ? err_wrap(err, rc, "pod '%s'", r->pod->group) : 0;
}

/* What an answer's status is called among us. */
static int
errno_of_status(int status)
{
	switch (status) {
	case STATUS_NOT_FOUND: return ENOENT;
	case STATUS_ALREADY_EXISTS: return EEXIST;
	case STATUS_DEADLINE_EXCEEDED: return ETIMEDOUT;
	case STATUS_UNIMPLEMENTED: return ENOSYS;
	case STATUS_FAILED_PRECONDITION: return EBUSY;
	case STATUS_INVALID_ARGUMENT: return EINVAL;
	case STATUS_PERMISSION_DENIED: return EACCES;
	case STATUS_UNAVAILABLE: return EAGAIN;
	default: return EREMOTEIO;
	}
}

/* No answer came; what is known of the reason. */
static int
rpc_say_silent(const struct rpc *r, struct err *err)
{
	AUTO_FREE char *state = pod_state(r->pod);

	return err_setx(err, ETIMEDOUT,
	    "%s: pod '%s' gives no answer in time (worker: %s; "
	    "'podshimctl why' says more)",
	    r->method, r->pod->group, state);
}

static int
rpc_send(struct rpc *r, const char *service, const char *method,
    const ProtobufCMessage *msg, int timeout_ms, uint32_t *stream, struct err *err)
{
	boot_us_t tell = timeout_ms == 0 ? 0 : after_ms(timeout_ms);
	int rc;

	free(r->method);
	r->method = mem_strdup(method);
	rc = caller_send(
	    r->caller, service, method, msg, tell, after_ms(SEND_MS), stream, err);
	if (rc == -ETIMEDOUT)
		return rpc_say_silent(r, err);
	return rc < 0 ? err_wrap(err, rc, "pod '%s'", r->pod->group) : 0;
}

int
rpc_begin(struct rpc *r, const char *method, const ProtobufCMessage *msg, int timeout_ms,
    uint32_t *stream, struct err *err)
{
	return rpc_send(r, TASK_SERVICE, method, msg, timeout_ms, stream, err);
}

int
rpc_end(struct rpc *r, uint32_t stream, int timeout_ms,
    const ProtobufCMessageDescriptor *want, ProtobufCMessage **out, struct err *err)
{
	boot_us_t end = timeout_ms == RPC_LOOK ? 0 : after_ms(timeout_ms) + GRACE_US;
	struct caller_reply reply;
	int rc = caller_recv(r->caller, stream, end, &reply, err);

	if (rc == -ETIMEDOUT)
		return timeout_ms == RPC_LOOK ? -EINPROGRESS : rpc_say_silent(r, err);
	if (rc < 0)
		return err_wrap(err, rc, "pod '%s'", r->pod->group);
	if (reply.status != STATUS_OK) {
		rc = err_setx(err, errno_of_status(reply.status), "%s",
		    reply.text[0] != '\0' ? reply.text : status_name(reply.status));
	} else if (want != NULL) {
		*out = protobuf_c_message_unpack(want, NULL, reply.len, reply.payload);
		if (*out == NULL)
			rc = err_setx(
			    err, EBADMSG, "%s: the answer makes no sense", r->method);
	}
	caller_reply_fini(&reply);
	return rc;
}

int
rpc_call(struct rpc *r, const char *method, const ProtobufCMessage *msg, int timeout_ms,
    const ProtobufCMessageDescriptor *want, ProtobufCMessage **out, struct err *err)
{
	uint32_t stream;
	int rc = rpc_begin(r, method, msg, timeout_ms, &stream, err);

	return rc < 0 ? rc : rpc_end(r, stream, timeout_ms, want, out, err);
}

int
rpc_admin(const struct pod *pod, const char *method, const ProtobufCMessage *msg,
    int timeout_ms, const ProtobufCMessageDescriptor *want, ProtobufCMessage **out,
    struct err *err)
{
	struct rpc *r = NULL;
	uint32_t stream;
	int rc = rpc_open(pod, &r, err);

	if (rc == 0)
		rc = rpc_send(r, ADMIN_SERVICE, method, msg, timeout_ms, &stream, err);
	if (rc == 0)
		rc = rpc_end(r, stream, timeout_ms, want, out, err);
	rpc_close(r);
	return rc;
}

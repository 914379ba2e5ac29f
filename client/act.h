/*
 * What the verbs that act on a container have in common: from a name to a
 * connection, and from an answer to an exit code.
 */
#ifndef PODSHIM_CLIENT_ACT_H
#define PODSHIM_CLIENT_ACT_H

#include "client/ctl.h"
#include "client/find.h"
#include "client/rpc.h"

struct err;

/* Ids of execs that podshimctl makes begin so; containerd's never look like that. */
#define ACT_EXEC_PREFIX "podshimctl-"

struct target {
	struct pods pods;
	struct pod *pod;
	struct container_info *container;
	char *exec_id; /* "" for init */
	struct rpc *rpc;
};

/*
 * Find container `name` and its exec (NULL or "": init; the beginning of an id is
 * enough), and connect. CTL_OK, or an exit code after one line on ctl->err; end
 * with target_close() either way.
 */
int target_open(
    struct ctl *ctl, const char *name, const char *exec_id, struct target *out);
/* The same by whole names alone. */
int target_open_whole(
    struct ctl *ctl, const char *name, const char *exec_id, struct target *out);
void target_close(struct target *t);

/* One call that answers nothing; CTL_OK, or an exit code after one line on ctl->err. */
int target_call(struct ctl *ctl, struct target *t, const char *method,
    const ProtobufCMessage *msg, int timeout_ms);
/* Say what went wrong, and the exit code for it. */
int target_fail(struct ctl *ctl, const struct target *t, int rc, const struct err *err);

/* "15", "TERM" or "SIGTERM", also "RTMIN+3"; -1: no such signal. */
int signal_of_name(const char *s);
/* "SIGTERM"; "signal 77" for one without a name. Static buffer. */
const char *signal_text(int signo);

#endif

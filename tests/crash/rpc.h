/*
 * A ttrpc client for coroutines: any number of calls at once per connection,
 * each checked to be answered exactly once.
 */
#ifndef PODSHIM_CRASH_RPC_H
#define PODSHIM_CRASH_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "co.h"
#include "tests/lib/pb.h"

struct conn;

#define RPC_CLOSED (-1)
#define RPC_SILENT (-2)

struct call {
	struct conn *conn;
	const char *method;
	uint32_t stream;
	bool done;
	int code;   /* status code, or RPC_* */
	char *text; /* of a failure */
	uint8_t *frame;
	struct pb_view payload; /* the answer, inside frame */
	uint64_t sent_us, done_us;
	struct co_cond cond;
	struct call *next;
};

/* Connect to a shim's socket. NULL and a fault on failure. who: for messages. */
struct conn *conn_open(const char *path, const char *who);
/* Open calls end as RPC_CLOSED. */
void conn_close(struct conn *conn);
/* From now on the other side may close it. */
void conn_may_end(struct conn *conn);
bool conn_is_open(const struct conn *conn);

/* Send; msg is freed. The call is the caller's, to be ended by call_free(). */
struct call *call_begin(struct conn *conn, const char *method, struct pb *msg);
/* Wait for its answer, at most RPC_PATIENCE: then a fault and RPC_SILENT. */
int call_wait(struct call *call);
/* Is it answered by now? */
bool call_done(const struct call *call);
void call_free(struct call *call);

#define RPC_PATIENCE_MS 25000

#endif

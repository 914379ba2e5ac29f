/*
 * A ttrpc client on the event loop: unary calls over one connection to a unix
 * socket, made when first needed and kept. Nothing blocks, and without calls
 * under way there is no timer.
 */
#ifndef PODSHIM_WORKER_TTRPC_CLIENT_H
#define PODSHIM_WORKER_TTRPC_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct loop;
struct ttrpc_client;

/* An answer; borrowed until the callback returns. */
struct ttrpc_answer {
	int status;	     /* enum status_code */
	const char *message; /* of a status that is not OK; never NULL */
	const void *payload;
	size_t len;
};

/*
 * rc 0: *answer came, whatever its status. -errno: none did (-ECONNREFUSED,
 * -ETIMEDOUT, -ECONNRESET, …), answer is NULL; it may have been executed all
 * the same. Once per call, from the loop.
 */
typedef void (*ttrpc_cb)(int rc, const struct ttrpc_answer *answer, void *arg);

struct ttrpc_client *ttrpc_client_new(struct loop *loop, const char *path);
/* Calls under way get no callback any more. May be called from a callback. */
void ttrpc_client_free(struct ttrpc_client *c);

/*
 * Call service/method; payload is copied. timeout_us is the same for all calls
 * of a client. One that times out takes the connection with it: what is behind
 * that connection does not answer.
 */
void ttrpc_client_call(struct ttrpc_client *c, const char *service, const char *method,
    const void *payload, size_t len, uint64_t timeout_us, ttrpc_cb cb, void *arg);

#endif

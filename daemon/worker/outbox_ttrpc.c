/*
 * Events by ttrpc: Forward on the address that containerd gave the shim. The
 * envelope carries the time of the event itself, which containerd keeps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/events_service.pb-c.h"
#include "proto/status.h"
#include "proto/wire.h"
#include "worker/outbox.h"
#include "worker/ttrpc_client.h"

#define TTRPC_CALL_US (5 * US_PER_S)
#define TTRPC_FLIGHTS 4u /* of different containers: each has one at a time */

struct ttrpc_transport {
	struct transport tr; /* first */
	struct ttrpc_client *client;
	char *ns;
	struct ttrpc_flight *flights;
};

struct ttrpc_flight {
	struct ttrpc_flight *next;
	struct ttrpc_transport *t;
	void *bytes; /* the request, for a second try */
	size_t len;
	bool again;
	transport_cb done_cb;
	void *arg;
};

static void
ttrpc_flight_free(struct ttrpc_flight *f)
{
	struct ttrpc_flight **at;

	for (at = &f->t->flights; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	free(f->bytes);
	free(f);
}

/* What an answer's status means for the event. */
static int
ttrpc_result(int status)
{
	switch ((enum status_code)status) {
	case STATUS_OK: return 0;
	case STATUS_INVALID_ARGUMENT: return -EINVAL;
	case STATUS_UNIMPLEMENTED: /* a server, but not one for events */
	case STATUS_UNAVAILABLE:
	case STATUS_DEADLINE_EXCEEDED:
	case STATUS_CANCELED: return -EHOSTDOWN;
	case STATUS_UNKNOWN:
	case STATUS_NOT_FOUND:
	case STATUS_ALREADY_EXISTS:
	case STATUS_PERMISSION_DENIED:
	case STATUS_RESOURCE_EXHAUSTED:
	case STATUS_FAILED_PRECONDITION:
	case STATUS_ABORTED:
	case STATUS_OUT_OF_RANGE:
	case STATUS_INTERNAL: return -EIO;
	}
	return -EIO;
}

static void ttrpc_on_answer(int rc, const struct ttrpc_answer *answer, void *arg);

static void
ttrpc_forward(struct ttrpc_flight *f)
{
	ttrpc_client_call(f->t->client, "containerd.services.events.ttrpc.v1.Events",
	    "Forward", f->bytes, f->len, TTRPC_CALL_US, ttrpc_on_answer, f);
}

static void
ttrpc_on_answer(int rc, const struct ttrpc_answer *answer, void *arg)
{
	struct ttrpc_flight *flight = arg;
	transport_cb done_cb = flight->done_cb;
	void *done_arg = flight->arg;

	if ((rc == -ECONNRESET || rc == -EPIPE) && !flight->again) {
		/* the end of a containerd that has a successor, perhaps */
		flight->again = true;
		ttrpc_forward(flight);
		return;
	}
	ttrpc_flight_free(flight);
	if (rc < 0) {
		log_debug("events: ttrpc: %s", strerror(-rc));
		/* the event's own fault must not look like containerd's */
		rc = rc == -EMSGSIZE || rc == -EBADMSG ? -EIO : -EHOSTDOWN;
	} else if (answer->status != STATUS_OK) {
		log_debug("events: ttrpc: %s: %s", status_name(answer->status),
		    answer->message);
		rc = ttrpc_result(answer->status);
	}
	done_cb(rc, done_arg);
}

static void
ttrpc_send(
    struct transport *tr, const struct outbox_event *ev, transport_cb done_cb, void *arg)
{
	struct ttrpc_transport *t = (struct ttrpc_transport *)tr;
	Containerd__Services__Events__Ttrpc__V1__ForwardRequest req =
	    CONTAINERD__SERVICES__EVENTS__TTRPC__V1__FORWARD_REQUEST__INIT;
	Containerd__Types__Envelope env = CONTAINERD__TYPES__ENVELOPE__INIT;
	Google__Protobuf__Timestamp ts;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	struct ttrpc_flight *flight = mem_zalloc(sizeof *flight);
	AUTO_FREE char *topic = mem_strdup(ev->topic), *type = mem_strdup(ev->type);
	AUTO_FREE uint8_t *body = mem_dup(ev->body, ev->len);

	wire_timestamp(&ts, ev->t_ns);
	any.type_url = type;
	any.value.data = body;
	any.value.len = ev->len;
	env.timestamp = &ts;
	env.namespace_ = t->ns;
	env.topic = topic;
	env.event = &any;
	req.envelope = &env;
	wire_pack(&req.base, &flight->bytes, &flight->len);
	flight->t = t;
	flight->done_cb = done_cb;
	flight->arg = arg;
	flight->next = t->flights;
	t->flights = flight;
	ttrpc_forward(flight);
}

static void
ttrpc_free(struct transport *tr)
{
	struct ttrpc_transport *t = (struct ttrpc_transport *)tr;

	ttrpc_client_free(t->client);
	while (t->flights != NULL)
		ttrpc_flight_free(t->flights);
	free(t->ns);
	free(t);
}

struct transport *
transport_ttrpc_new(struct loop *loop, const struct outbox_target *target)
{
	struct ttrpc_transport *t;

	if (target->ttrpc_address == NULL || target->ttrpc_address[0] == '\0')
		return NULL;
	t = mem_zalloc(sizeof *t);
	t->tr = (struct transport){.name = "ttrpc",
	    .max_in_flight = TTRPC_FLIGHTS,
	    .send = ttrpc_send,
	    .free = ttrpc_free};
	t->client = ttrpc_client_new(loop, target->ttrpc_address);
	t->ns = mem_strdup(target->ns);
	return &t->tr;
}

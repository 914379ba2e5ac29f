/*
 * Unanswered requests, in the order of their numbers. One lives from the last
 * byte of its frame until the worker's ANSWER; if its connection closes before
 * a worker has seen it, it just goes. Its steps are kept exactly as long
 * (step.c).
 *
 * A condemned request stays in the list, answered and without its bytes, until
 * the worker says that its half-done effects are undone.
 */
#include "keeper/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/msg.h"
#include "keeper/idmap.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/step.h"

#define HEAD_SHOWN 192u /* bytes of a request's frame in dumps */

struct request {
	struct idnode by_n;
	TAILQ_ENTRY(request) link;
	LIST_ENTRY(request) of_conn;
	struct conn *conn; /* NULL: gone */
	uint32_t conn_id;
	uint32_t stream;
	boot_us_t t_recv;
	boot_us_t deadline; /* 0: none */
	struct blob blob;
	size_t charged_len;
	uint64_t hash;
	unsigned deaths;
	bool delivered; /* a worker has been given it */
	bool answered;	/* by us; the worker has still to end it */
	bool condemned;
};

/* Frames that were condemned, by hash; the oldest is replaced. */
struct condemned {
	uint64_t hash;
	unsigned times;
};

struct requests {
	struct pod *pod;
	struct idmap by_n;
	TAILQ_HEAD(, request) all;
	uint64_t highest;
	uint64_t given; /* the highest that this worker was given to do */
	struct condemned condemned[LIMIT_CONDEMNED];
	size_t n_condemned; /* ever */
};

static uint64_t
request_n(const struct request *r)
{
	return r->by_n.id;
}

struct requests *
requests_new(struct pod *pod)
{
	struct requests *rs = calloc(1, sizeof *rs);

	if (rs == NULL)
		return NULL;
	rs->pod = pod;
	TAILQ_INIT(&rs->all);
	return rs;
}

/* Forget it and what was done for it. */
static void
request_drop(struct requests *rs, struct request *r)
{
	uint64_t n = request_n(r);

	if (r->conn != NULL) {
		LIST_REMOVE(r, of_conn);
		conn_uncharge(r->conn, r->charged_len);
	} else {
		conns_uncharge(rs->pod->conns, r->charged_len);
	}
	idmap_del(&rs->by_n, &r->by_n);
	TAILQ_REMOVE(&rs->all, r, link);
	blob_fini(&r->blob);
	free(r);
	steps_request_done(rs->pod->steps, n);
}

void
requests_free(struct requests *rs)
{
	if (rs == NULL)
		return;
	while (!TAILQ_EMPTY(&rs->all))
		request_drop(rs, TAILQ_FIRST(&rs->all));
	free(rs);
}

size_t
requests_count(const struct requests *rs)
{
	return rs->by_n.n;
}

uint64_t
requests_highest(const struct requests *rs)
{
	return rs->highest;
}

uint64_t
requests_given(const struct requests *rs)
{
	return rs->given;
}

static struct request *
request_find(struct requests *rs, uint64_t n)
{
	struct idnode *node = idmap_get(&rs->by_n, n);

	return node == NULL ? NULL : container_of(node, struct request, by_n);
}

bool
requests_known(struct requests *rs, uint64_t n)
{
	return request_find(rs, n) != NULL;
}

bool
requests_urgent(const struct requests *rs)
{
	const struct request *r;
	boot_us_t now = clock_boot_us();

	TAILQ_FOREACH (r, &rs->all, link)
		if (!r->answered && r->conn != NULL &&
		    (now - r->t_recv < LIMIT_YOUNG_US || r->deadline > now))
			return true;
	return false;
}

/* --- to the worker --------------------------------------------------------- */

static void
request_send(struct requests *rs, struct request *r)
{
	struct msg_request m = {
	    .n = request_n(r), .conn = r->conn_id, .t_recv = r->t_recv};
	struct msg_head head;

	if (r->delivered)
		m.flags |= REQ_REDELIVERED;
	if (r->conn == NULL || (r->answered && !r->condemned))
		m.flags |= REQ_ORPHAN;
	if (r->condemned)
		m.flags |= REQ_CONDEMNED;
	else
		m.frame = (struct msg_bytes){r->blob.p, r->blob.len};
	if (!r->condemned && m.n > rs->given)
		rs->given = m.n;
	msg_head_request(&head, &m);
	r->delivered = true;
	if (m.frame.len > 0 && r->blob.memfd != -1) {
		head.flags |= MSG_F_MEMFD;
		life_send(rs->pod->life, &head, NULL, &r->blob.memfd, 1);
	} else {
		life_send(rs->pod->life, &head, m.frame.p, NULL, 0);
	}
}

size_t
requests_redeliver(struct requests *rs)
{
	struct request *r;
	size_t sent = 0;

	rs->given = 0;
	TAILQ_FOREACH (r, &rs->all, link) {
		if (!r->delivered)
			continue;
		request_send(rs, r);
		sent++;
	}
	return sent;
}

void
requests_deliver(struct requests *rs)
{
	struct request *r;

	TAILQ_FOREACH (r, &rs->all, link)
		if (!r->delivered)
			request_send(rs, r);
}

/* --- from containerd ------------------------------------------------------- */

static struct condemned *
condemned_find(struct requests *rs, uint64_t hash)
{
	size_t i;

	for (i = 0; i < LIMIT_CONDEMNED; i++)
		if (rs->condemned[i].times > 0 && rs->condemned[i].hash == hash)
			return &rs->condemned[i];
	return NULL;
}

/* Why it is refused at once; NULL: it is not. */
static const char *
refusal(struct requests *rs, const struct blob *blob, enum status_code *code)
{
	const struct condemned *c = condemned_find(rs, blob->hash);

	if (c != NULL && c->times >= 2) {
		*code = STATUS_INTERNAL;
		return "this request made the shim's worker crash before";
	}
	if (life_is_hopeless(rs->pod->life)) {
		*code = STATUS_UNAVAILABLE;
		return "the shim's worker does not start";
	}
	return NULL;
}

static void
requests_on_request(struct conn *c, uint32_t stream, struct blob *blob, void *arg)
{
	struct pod *pod = arg;
	struct requests *rs = pod->requests;
	struct request_list *list = conn_requests(c);
	enum status_code code = STATUS_RESOURCE_EXHAUSTED;
	const char *why = refusal(rs, blob, &code);
	struct request *r = why == NULL ? calloc(1, sizeof *r) : NULL;
	uint64_t timeout_ns;

	if (r == NULL) {
		conn_uncharge(c, blob->len);
		conn_answer_status(
		    c, stream, code, why != NULL ? why : "out of memory", blob);
		blob_fini(blob);
		return;
	}
	r->conn = c;
	r->conn_id = conn_id(c);
	r->stream = stream;
	r->t_recv = clock_boot_us();
	r->blob = *blob;
	r->charged_len = blob->len;
	r->hash = blob->hash;
	*blob = BLOB_NONE;
	timeout_ns = blob_request_timeout_ns(&r->blob);
	if (timeout_ns > 0)
		r->deadline = r->t_recv + timeout_ns / 1000;
	idmap_add(&rs->by_n, &r->by_n, ++rs->highest);
	TAILQ_INSERT_TAIL(&rs->all, r, link);
	LIST_INSERT_HEAD(list, r, of_conn);
	if (life_is_running(pod->life))
		request_send(rs, r);
	else
		life_hurry(pod->life);
}

static bool
requests_is_open(struct conn *c, uint32_t stream, void *arg)
{
	struct request_list *list = conn_requests(c);
	const struct request *r;

	(void)arg;
	LIST_FOREACH (r, list, of_conn)
		if (r->stream == stream && !r->answered)
			return true;
	return false;
}

static void
requests_on_closed(struct conn *c, void *arg)
{
	struct pod *pod = arg;
	struct requests *rs = pod->requests;
	struct request_list *list = conn_requests(c);
	struct request *r;

	while ((r = LIST_FIRST(list)) != NULL) {
		struct msg_head head = {.type = MSG_CANCEL, .a = request_n(r)};

		if (!r->delivered) {
			request_drop(rs, r);
			continue;
		}
		LIST_REMOVE(r, of_conn);
		r->conn = NULL;
		life_send(pod->life, &head, NULL, NULL, 0);
	}
	pod_changed(pod);
}

static void
requests_on_flushed(void *arg)
{
	pod_changed(arg);
}

const struct conns_ops requests_conn_ops = {
    .on_request = requests_on_request,
    .is_open = requests_is_open,
    .on_closed = requests_on_closed,
    .on_flushed = requests_on_flushed,
};

/* --- answers --------------------------------------------------------------- */

void
requests_answer(
    struct requests *rs, uint64_t n, uint64_t kind, const void *response, size_t len)
{
	struct request *r = request_find(rs, n);

	if (r == NULL) {
		log_debug(
		    "answer to request %" PRIu64 ", which nobody asked, ignoring", n);
		return;
	}
	if (r->conn != NULL && !r->answered) {
		if (kind == ANSWER_MESSAGE) {
			conn_answer(r->conn, r->stream, response, len, &r->blob);
		} else {
			log_errx("request %" PRIu64 ": the worker has no answer", n);
			conn_answer_status(r->conn, r->stream, STATUS_INTERNAL,
			    "the shim's worker has no answer", &r->blob);
		}
	}
	request_drop(rs, r);
	pod_changed(rs->pod);
}

/* Answer in the worker's place. True: r is gone with it. */
static bool
request_answer_status(
    struct requests *rs, struct request *r, enum status_code code, const char *text)
{
	if (r->conn != NULL && !r->answered) /* the next worker may need its bytes */
		conn_answer_status(r->conn, r->stream, code, text,
		    r->delivered && !r->condemned ? NULL : &r->blob);
	r->answered = true;
	if (r->delivered)
		return false;
	request_drop(rs, r);
	return true;
}

/* As a Wait: begun, and by one who waits for as long as it takes. */
static bool
request_has_time(const struct request *r, boot_us_t now)
{
	return r->delivered && r->deadline == 0 && now - r->t_recv > LIMIT_YOUNG_US;
}

void
requests_refuse_all(struct requests *rs, enum status_code code, const char *text)
{
	struct request *r, *next;
	boot_us_t now = clock_boot_us();

	for (r = TAILQ_FIRST(&rs->all); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		if (!request_has_time(r, now))
			(void)request_answer_status(rs, r, code, text);
	}
}

static void
request_condemn(struct requests *rs, struct request *r)
{
	struct condemned *c = condemned_find(rs, r->hash);

	if (c == NULL) {
		c = &rs->condemned[rs->n_condemned++ % LIMIT_CONDEMNED];
		*c = (struct condemned){.hash = r->hash};
	}
	c->times++;
	log_errx("request %" PRIu64 " made the worker crash %u times: answering Internal",
	    request_n(r), r->deaths);
	r->condemned = true;
	r->deaths = 0;
	if (!request_answer_status(
		rs, r, STATUS_INTERNAL, "this request made the shim's worker crash"))
		blob_fini(&r->blob);
}

void
requests_blame(struct requests *rs, uint64_t n)
{
	struct request *r = request_find(rs, n);

	if (r == NULL)
		return;
	r->deaths++;
	if (r->condemned) {
		log_errx("request %" PRIu64 ": undoing it made the worker crash, too; "
			 "what it left behind stays",
		    n);
		request_drop(rs, r);
	} else if (r->deaths >= 2 || condemned_find(rs, r->hash) != NULL) {
		request_condemn(rs, r);
	}
}

/* Its beginning, where method and ids stand; what they are, others may find out. */
static void
request_hex(const struct request *r, char out[2 * HEAD_SHOWN + 1])
{
	uint8_t bytes[HEAD_SHOWN];
	size_t i, n = blob_read(&r->blob, 0, bytes, sizeof bytes);

	out[0] = '\0';
	for (i = 0; i < n; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void
requests_each(
    const struct requests *rs, void (*cb)(const char *line, void *arg), void *arg)
{
	const struct request *r;
	char line[256 + 2 * HEAD_SHOWN], hex[2 * HEAD_SHOWN + 1];

	TAILQ_FOREACH (r, &rs->all, link) {
		request_hex(r, hex);
		(void)snprintf(line, sizeof line,
		    "request n=%" PRIu64 " conn=%u%s stream=%u bytes=%zu recv_us=%" PRIu64
		    " deaths=%u%s%s%s frame=%s",
		    request_n(r), r->conn_id, r->conn == NULL ? "(gone)" : "", r->stream,
		    r->charged_len, r->t_recv, r->deaths,
		    r->delivered ? " delivered" : "", r->answered ? " answered" : "",
		    r->condemned ? " condemned" : "", hex);
		cb(line, arg);
	}
}

/*
 * worker/ttrpc_client and the ttrpc transport, against a server that this test
 * plays by hand: answers in any order and any pieces, none at all, garbage.
 */
#include "worker/ttrpc_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "proto/events_service.pb-c.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"
#include "store_helper.h"
#include "worker/outbox.h"

static struct loop *loop;
static struct ttrpc_client *client;
static char *path;
static int listener = -1, conn = -1;
static const char *dir;

static void
listen_at(const char *where)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	assert_true(strlen(where) < sizeof sa.sun_path);
	memcpy(sa.sun_path, where, strlen(where) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(listener, 8), 0);
}

static int
setup(void **state)
{
	if (dir_setup(state) != 0)
		return -1;
	dir = *state;
	path = path_in(dir, "s");
	loop = loop_new();
	listen_at(path);
	client = ttrpc_client_new(loop, path);
	return 0;
}

static int
teardown(void **state)
{
	fd_close(&listener);
	fd_close(&conn);
	ttrpc_client_free(client);
	client = NULL;
	loop_once(loop, 1);
	loop_free(loop);
	free(path);
	clock_set_for_test(0);
	return dir_teardown(state);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
passes(void)
{
	unsigned i;

	for (i = 0; i < 5; i++)
		loop_once(loop, 1);
}

/* --- the caller's side -------------------------------------------------------------- */

static struct result {
	bool ended;
	int rc, status;
	char message[64], payload[64];
} results[8];

static void
on_answer(int rc, const struct ttrpc_answer *a, void *arg)
{
	struct result *r = arg;

	assert_false(r->ended);
	r->ended = true;
	r->rc = rc;
	assert_true((rc == 0) == (a != NULL));
	if (a == NULL)
		return;
	r->status = a->status;
	(void)snprintf(r->message, sizeof r->message, "%s", a->message);
	(void)snprintf(r->payload, sizeof r->payload, "%.*s", (int)a->len,
	    a->len ? (const char *)a->payload : "");
}

static void
call(unsigned i, const char *payload)
{
	results[i] = (struct result){0};
	ttrpc_client_call(client, "s.Service", "Method", payload, strlen(payload),
	    5 * US_PER_S, on_answer, &results[i]);
	assert_false(results[i].ended); /* never from the call itself */
}

/* --- the server's side ---------------------------------------------------------------- */

static void
accept_one(void)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;

	fd_close(&conn);
	while ((conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) == -1) {
		assert_true(clock_boot_us() < end);
		loop_once(loop, 1);
	}
}

static void
read_exactly(void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n;

		loop_once(loop, 1);
		n = recv(conn, (char *)buf + got, len - got, MSG_DONTWAIT);
		if (n > 0)
			got += (size_t)n;
		else
			assert_true(n == -1 && errno == EAGAIN);
	}
}

/* The next request: its stream, and *payload if wanted. */
static uint32_t
read_request(char payload[256], size_t *payload_len)
{
	uint8_t bytes[FRAME_HEAD_LEN], body[1024];
	struct frame_head h;
	Ttrpc__Request *r;

	read_exactly(bytes, sizeof bytes);
	frame_head_decode(&h, bytes);
	assert_int_equal(h.type, FRAME_REQUEST);
	assert_int_equal(h.flags, 0);
	assert_true(h.len < sizeof body);
	read_exactly(body, h.len);
	r = ttrpc__request__unpack(NULL, h.len, body);
	assert_non_null(r);
	assert_true(r->timeout_nano == INT64_C(5000000000));
	if (payload != NULL) {
		assert_true(r->payload.len < 256);
		memcpy(payload, r->payload.data, r->payload.len);
		payload[r->payload.len] = '\0';
		*payload_len = r->payload.len;
	}
	if (payload == NULL) {
		assert_string_equal(r->service, "s.Service");
		assert_string_equal(r->method, "Method");
	}
	ttrpc__request__free_unpacked(r, NULL);
	return h.stream;
}

static void
send_frame(uint32_t stream, uint8_t type, const void *body, size_t len, size_t piece)
{
	struct frame_head h = {.len = (uint32_t)len, .stream = stream, .type = type};
	uint8_t bytes[1024];
	size_t i, n;

	frame_head_encode(bytes, &h);
	memcpy(bytes + FRAME_HEAD_LEN, body, len);
	for (i = 0; i < FRAME_HEAD_LEN + len; i += n) {
		n = FRAME_HEAD_LEN + len - i < piece ? FRAME_HEAD_LEN + len - i : piece;
		assert_int_equal(send(conn, bytes + i, n, MSG_NOSIGNAL), n);
		passes();
	}
}

static void
answer(uint32_t stream, int code, const char *text, size_t piece)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	Ttrpc__Status s = TTRPC__STATUS__INIT;
	AUTO_FREE char *copy = mem_strdup(text);
	AUTO_FREE void *bytes = NULL;
	size_t len;

	if (code == 0) {
		r.payload.data = (uint8_t *)copy;
		r.payload.len = strlen(copy);
	} else {
		s.code = code;
		s.message = copy;
		r.status = &s;
	}
	wire_pack(&r.base, &bytes, &len);
	send_frame(stream, FRAME_RESPONSE, bytes, len, piece);
}

/* --- tests ------------------------------------------------------------------------------ */

static void
test_ttrpc_calls_are_answered_in_any_order(void **state)
{
	(void)state;
	call(0, "a");
	call(1, "b");
	call(2, "");
	accept_one();
	assert_int_equal(read_request(NULL, NULL), 1);
	assert_int_equal(read_request(NULL, NULL), 3);
	assert_int_equal(read_request(NULL, NULL), 5);
	answer(5, 0, "", 1000);
	answer(1, 0, "one", 1);
	answer(3, STATUS_NOT_FOUND, "nothing", 3);
	assert_true(results[0].ended && results[1].ended && results[2].ended);
	assert_string_equal(results[0].payload, "one");
	assert_int_equal(results[1].rc, 0);
	assert_int_equal(results[1].status, STATUS_NOT_FOUND);
	assert_string_equal(results[1].message, "nothing");
	assert_int_equal(results[2].status, 0);
	/* the connection is kept */
	call(3, "c");
	assert_int_equal(read_request(NULL, NULL), 7);
	answer(7, 0, "", 1000);
	assert_true(results[3].ended);
}

static void
test_ttrpc_foreign_frames_are_ignored(void **state)
{
	(void)state;
	call(0, "a");
	accept_one();
	(void)read_request(NULL, NULL);
	answer(99, 0, "who", 1000);
	send_frame(1, FRAME_DATA, "xx", 2, 1000);
	send_frame(1, 77, "", 0, 1000);
	assert_false(results[0].ended);
	answer(1, 0, "me", 1000);
	assert_string_equal(results[0].payload, "me");
}

static void
test_ttrpc_nobody_listens(void **state)
{
	(void)state;
	fd_close(&listener);
	call(0, "a");
	passes();
	assert_int_equal(results[0].rc, -ECONNREFUSED);
	assert_int_equal(unlink(path), 0);
	call(1, "a");
	passes();
	assert_int_equal(results[1].rc, -ENOENT);
	/* and somebody listens again */
	listen_at(path);
	call(2, "a");
	accept_one();
	answer(read_request(NULL, NULL), 0, "x", 1000);
	assert_int_equal(results[2].rc, 0);
}

static void
test_ttrpc_connection_ends(void **state)
{
	(void)state;
	call(0, "a");
	call(1, "b");
	accept_one();
	(void)read_request(NULL, NULL);
	fd_close(&conn);
	passes();
	assert_true(results[0].ended && results[1].ended);
	assert_true(results[0].rc < 0 && results[1].rc < 0);
	/* an idle one, too: the next call makes a new one, with streams from 1 */
	call(2, "c");
	accept_one();
	assert_int_equal(read_request(NULL, NULL), 1);
	answer(1, 0, "", 1000);
	fd_close(&conn);
	passes();
	call(3, "d");
	accept_one();
	assert_int_equal(read_request(NULL, NULL), 1);
	answer(1, 0, "", 1000);
	assert_int_equal(results[3].rc, 0);
}

static void
test_ttrpc_garbage(void **state)
{
	static const uint8_t huge[FRAME_HEAD_LEN] = {
	    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 2, 0};

	(void)state;
	call(0, "a");
	accept_one();
	(void)read_request(NULL, NULL);
	send_frame(1, FRAME_RESPONSE, "\xff\xff", 2, 1000);
	assert_int_equal(results[0].rc, -EBADMSG);
	call(1, "b");
	(void)read_request(NULL, NULL);
	assert_int_equal(send(conn, huge, sizeof huge, MSG_NOSIGNAL), sizeof huge);
	passes();
	assert_int_equal(results[1].rc, -EPROTO);
}

static void
test_ttrpc_time_out_takes_the_connection(void **state)
{
	boot_us_t begun;

	(void)state;
	results[0] = results[1] = (struct result){0};
	begun = clock_boot_us();
	ttrpc_client_call(client, "s.Service", "Method", "a", 1, 50 * US_PER_MS,
	    on_answer, &results[0]);
	ttrpc_client_call(client, "s.Service", "Method", "b", 1, 50 * US_PER_MS,
	    on_answer, &results[1]);
	accept_one();
	while (!results[0].ended || !results[1].ended) {
		assert_true(clock_boot_us() < begun + 60 * US_PER_S);
		loop_once(loop, 0);
	}
	assert_int_equal(results[0].rc, -ETIMEDOUT);
	assert_true(clock_boot_us() - begun >= 40 * US_PER_MS);
	call(2, "c");
	accept_one();
	answer(read_request(NULL, NULL), 0, "", 1000);
	assert_int_equal(results[2].rc, 0);
}

static void
test_ttrpc_too_large_a_call(void **state)
{
	AUTO_FREE char *big = mem_zalloc(FRAME_PAYLOAD_MAX);

	(void)state;
	results[0] = (struct result){0};
	ttrpc_client_call(
	    client, "s", "m", big, FRAME_PAYLOAD_MAX, US_PER_S, on_answer, &results[0]);
	passes();
	assert_int_equal(results[0].rc, -EMSGSIZE);
}

static void
free_it(int rc, const struct ttrpc_answer *a, void *arg)
{
	(void)rc;
	(void)a;
	*(bool *)arg = true;
	ttrpc_client_free(client);
	client = NULL;
}

static void
test_ttrpc_freed_from_its_callback(void **state)
{
	bool called = false;

	(void)state;
	ttrpc_client_call(
	    client, "s.Service", "Method", "a", 1, 5 * US_PER_S, free_it, &called);
	call(1, "b"); /* hears nothing any more */
	accept_one();
	(void)read_request(NULL, NULL);
	answer(1, 0, "", 1000);
	assert_true(called);
	assert_false(results[1].ended);

	called = false;
	fd_close(&listener);
	client = ttrpc_client_new(loop, path);
	ttrpc_client_call(client, "s", "m", "a", 1, 5 * US_PER_S, free_it, &called);
	call(1, "b");
	passes();
	assert_true(called);
	assert_false(results[1].ended);
}

static void
test_ttrpc_long_path(void **state)
{
	char name[120];
	AUTO_FREE char *deep = NULL, *sock = NULL;
	AUTO_CLOSE int dirfd = -1;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void)state;
	memset(name, 'd', sizeof name);
	name[sizeof name - 1] = '\0';
	deep = path_in(dir, name);
	assert_int_equal(mkdir(deep, 0700), 0);
	sock = mem_printf("%s/s", deep);
	dirfd = open(deep, O_PATH | O_CLOEXEC);
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/s", dirfd);
	fd_close(&listener);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(listener, 8), 0);
	ttrpc_client_free(client);
	client = ttrpc_client_new(loop, sock);
	call(0, "a");
	accept_one();
	answer(read_request(NULL, NULL), 0, "far", 1000);
	assert_string_equal(results[0].payload, "far");
}

/* --- the transport on top ------------------------------------------------------------------ */

static int ended;

static void
on_done(int rc, void *arg)
{
	assert_ptr_equal(arg, &ended);
	assert_int_equal(ended, 1);
	ended = rc;
}

static const struct outbox_event event = {.seq = 1,
    .topic = "/tasks/exit",
    .type = "containerd.events.TaskExit",
    .body = "body",
    .len = 4,
    .t_ns = INT64_C(1700000000000000042)};

static void
test_ttrpc_transport_sends_an_envelope(void **state)
{
	const struct outbox_target target = {.ns = "ns1", .ttrpc_address = path};
	const struct outbox_target none = {.ns = "ns1", .ttrpc_address = ""};
	struct transport *tr = transport_ttrpc_new(loop, &target);
	Containerd__Services__Events__Ttrpc__V1__ForwardRequest *req;
	char payload[256];
	uint32_t stream;
	size_t len;

	(void)state;
	assert_null(transport_ttrpc_new(loop, &none));
	ended = 1;
	tr->send(tr, &event, on_done, &ended);
	accept_one();
	stream = read_request(payload, &len);
	req = containerd__services__events__ttrpc__v1__forward_request__unpack(
	    NULL, len, (const uint8_t *)payload);
	assert_non_null(req);
	assert_string_equal(req->envelope->namespace_, "ns1");
	assert_string_equal(req->envelope->topic, "/tasks/exit");
	assert_string_equal(req->envelope->event->type_url, "containerd.events.TaskExit");
	assert_memory_equal(req->envelope->event->value.data, "body", 4);
	assert_true(req->envelope->timestamp->seconds == 1700000000);
	assert_int_equal(req->envelope->timestamp->nanos, 42);
	containerd__services__events__ttrpc__v1__forward_request__free_unpacked(
	    req, NULL);
	answer(stream, 0, "", 1000);
	assert_int_equal(ended, 0);
	tr->free(tr);
}

static void
test_ttrpc_transport_results(void **state)
{
	static const struct {
		int status, rc;
	} cases[] = {{STATUS_INVALID_ARGUMENT, -EINVAL}, {STATUS_UNKNOWN, -EIO},
	    {STATUS_UNAVAILABLE, -EHOSTDOWN}, {STATUS_UNIMPLEMENTED, -EHOSTDOWN},
	    {STATUS_FAILED_PRECONDITION, -EIO}, {4711, -EIO}};
	const struct outbox_target target = {.ns = "ns1", .ttrpc_address = path};
	struct transport *tr = transport_ttrpc_new(loop, &target);
	char payload[256];
	size_t len, i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		ended = 1;
		tr->send(tr, &event, on_done, &ended);
		if (i == 0)
			accept_one();
		answer(read_request(payload, &len), cases[i].status, "why", 1000);
		assert_int_equal(ended, cases[i].rc);
	}
	/* a connection that just ended is made again at once, once */
	ended = 1;
	tr->send(tr, &event, on_done, &ended);
	(void)read_request(payload, &len);
	accept_one();
	(void)read_request(payload, &len);
	assert_int_equal(ended, 1);
	fd_close(&conn);
	passes();
	assert_int_equal(ended, -EHOSTDOWN);
	/* freed with a call under way: silence */
	ended = 1;
	tr->send(tr, &event, on_done, &ended);
	tr->free(tr);
	passes();
	assert_int_equal(ended, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_ttrpc_calls_are_answered_in_any_order),
	    SCENE(test_ttrpc_foreign_frames_are_ignored),
	    SCENE(test_ttrpc_nobody_listens),
	    SCENE(test_ttrpc_connection_ends),
	    SCENE(test_ttrpc_garbage),
	    SCENE(test_ttrpc_time_out_takes_the_connection),
	    SCENE(test_ttrpc_too_large_a_call),
	    SCENE(test_ttrpc_freed_from_its_callback),
	    SCENE(test_ttrpc_long_path),
	    SCENE(test_ttrpc_transport_sends_an_envelope),
	    SCENE(test_ttrpc_transport_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

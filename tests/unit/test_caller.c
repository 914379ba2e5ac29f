/*
 * proto/caller, against a server that this test plays by hand: one thread, for
 * what each side writes rests in the socket until the other one reads it.
 */
#include "proto/caller.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/fd.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"
#include "store_helper.h"

static struct caller *caller;
static int listener = -1, conn = -1;
static char *path;
static struct err err;

static boot_us_t
in_ms(unsigned ms)
{
	return clock_boot_us() + ms * US_PER_MS;
}

static int
setup(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (dir_setup(state) != 0)
		return -1;
	path = path_in(*state, "s");
	memcpy(sa.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(caller_connect(path, in_ms(5000), &caller, &err), 0);
	conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_not_equal(conn, -1);
	return 0;
}

static int
teardown(void **state)
{
	caller_free(caller);
	fd_close(&listener);
	fd_close(&conn);
	free(path);
	return dir_teardown(state);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static uint32_t
ask(const char *id)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *own = mem_strdup(id);
	uint32_t stream = 0;

	msg.id = own;
	assert_int_equal(caller_send(caller, "s.Service", "Wait", &msg.base, in_ms(60000),
			     in_ms(5000), &stream, &err),
	    0);
	return stream;
}

static void
say(const void *bytes, size_t len)
{
	assert_int_equal(send(conn, bytes, len, MSG_NOSIGNAL), len);
}

/* A whole response frame in buf; its length. */
static size_t
response(uint8_t buf[512], uint32_t stream, int code, const char *text)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	Ttrpc__Status s = TTRPC__STATUS__INIT;
	AUTO_FREE char *copy = mem_strdup(text);
	AUTO_FREE void *bytes = NULL;
	struct frame_head h = {.stream = stream, .type = FRAME_RESPONSE};
	size_t len;

	s.code = code;
	s.message = copy;
	r.status = &s;
	if (code == STATUS_OK) {
		r.status = NULL;
		r.payload.data = (uint8_t *)copy;
		r.payload.len = strlen(copy);
	}
	wire_pack(&r.base, &bytes, &len);
	assert_true(len + FRAME_HEAD_LEN <= 512);
	h.len = (uint32_t)len;
	frame_head_encode(buf, &h);
	memcpy(buf + FRAME_HEAD_LEN, bytes, len);
	return FRAME_HEAD_LEN + len;
}

static void
expect(uint32_t stream, int status, const char *text)
{
	struct caller_reply r;

	assert_int_equal(caller_recv(caller, stream, in_ms(5000), &r, &err), 0);
	assert_int_equal(r.status, status);
	if (status == STATUS_OK) {
		assert_int_equal(r.len, strlen(text));
		assert_memory_equal(r.payload, text, r.len);
	} else {
		assert_string_equal(r.text, text);
	}
	caller_reply_fini(&r);
}

static void
test_caller_request(void **state)
{
	uint8_t bytes[512];
	struct frame_head h;
	Ttrpc__Request *r;
	ssize_t n;

	(void)state;
	assert_int_equal(ask("c1"), 1);
	n = recv(conn, bytes, sizeof bytes, 0);
	assert_true(n > (ssize_t)FRAME_HEAD_LEN);
	frame_head_decode(&h, bytes);
	assert_int_equal(h.type, FRAME_REQUEST);
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.stream, 1);
	assert_int_equal(h.len, n - (ssize_t)FRAME_HEAD_LEN);
	r = ttrpc__request__unpack(NULL, h.len, bytes + FRAME_HEAD_LEN);
	assert_non_null(r);
	assert_string_equal(r->service, "s.Service");
	assert_string_equal(r->method, "Wait");
	assert_true(r->timeout_nano > INT64_C(50000000000) &&
	    r->timeout_nano <= INT64_C(60000000000));
	assert_int_equal(r->payload.len, 4);
	ttrpc__request__free_unpacked(r, NULL);
	assert_int_equal(ask("c2"), 3);
}

static void
test_caller_answers_in_any_order(void **state)
{
	uint32_t a = ask("a"), b = ask("b"), c = ask("c");
	struct caller_reply r;
	uint8_t buf[512];

	(void)state;
	say(buf, response(buf, c, STATUS_OK, "third"));
	say(buf, response(buf, a, STATUS_NOT_FOUND, "no such container"));
	say(buf, response(buf, b, STATUS_OK, ""));
	assert_int_equal(caller_recv(caller, a, 0, &r, &err), -ETIMEDOUT);
	assert_int_equal(caller_take_in(caller, &err), 0);
	assert_int_equal(caller_recv(caller, c, 0, &r, &err), 0);
	caller_reply_fini(&r);
	assert_int_equal(caller_recv(caller, c, 0, &r, &err), -ETIMEDOUT);
	say(buf, response(buf, c, STATUS_OK, "third"));
	expect(b, STATUS_OK, "");
	expect(a, STATUS_NOT_FOUND, "no such container");
	expect(c, STATUS_OK, "third");
}

/* A deadline that passes in the middle of a frame loses nothing of it. */
static void
test_caller_deadline_inside_a_frame(void **state)
{
	uint32_t a = ask("a");
	struct caller_reply r;
	uint8_t buf[512];
	size_t len = response(buf, a, STATUS_OK, "whole"), i;

	(void)state;
	for (i = 0; i < len; i++) {
		assert_int_equal(caller_recv(caller, a, in_ms(0), &r, &err), -ETIMEDOUT);
		say(buf + i, 1);
	}
	expect(a, STATUS_OK, "whole");
}

static void
test_caller_silence(void **state)
{
	uint32_t a = ask("a");
	struct caller_reply r;
	boot_us_t begin = clock_boot_us();

	(void)state;
	assert_int_equal(caller_recv(caller, a, in_ms(50), &r, &err), -ETIMEDOUT);
	assert_true(clock_boot_us() - begin >= 50 * US_PER_MS);
}

/* Somebody who takes the connection and never reads. */
static void
test_caller_deaf(void **state)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *id = mem_zalloc(3u << 20);
	uint32_t stream;

	(void)state;
	memset(id, 'x', (3u << 20) - 1);
	msg.id = id;
	assert_int_equal(
	    caller_send(caller, "s", "Wait", &msg.base, 0, in_ms(50), &stream, &err),
	    -ETIMEDOUT);
}

static void
test_caller_too_long(void **state)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *id = mem_zalloc(5u << 20);
	uint32_t stream;

	(void)state;
	memset(id, 'x', (5u << 20) - 1);
	msg.id = id;
	assert_int_equal(
	    caller_send(caller, "s", "Wait", &msg.base, 0, in_ms(5000), &stream, &err),
	    -EMSGSIZE);
}

static void
test_caller_nonsense(void **state)
{
	struct frame_head big = {.len = 1u << 30, .stream = 1, .type = FRAME_RESPONSE};
	struct frame_head odd = {.len = 2, .stream = 1, .type = FRAME_RESPONSE};
	struct frame_head data = {.len = 0, .stream = 1, .type = FRAME_DATA};
	struct frame_head other = {.len = 1, .stream = 77, .type = FRAME_RESPONSE};
	uint32_t a = ask("a");
	struct caller_reply r;
	uint8_t raw[FRAME_HEAD_LEN];

	(void)state;
	frame_head_encode(raw, &data); /* of a kind we do not know: skipped */
	say(raw, sizeof raw);
	frame_head_encode(raw, &other); /* nobody asked: skipped, not looked into */
	say(raw, sizeof raw);
	say("", 1);
	frame_head_encode(raw, &odd);
	say(raw, sizeof raw);
	say("\xff\xff", 2);
	assert_int_equal(caller_recv(caller, a, in_ms(5000), &r, &err), -EBADMSG);
	frame_head_encode(raw, &big);
	say(raw, sizeof raw);
	assert_int_equal(caller_recv(caller, a, in_ms(5000), &r, &err), -EPROTO);
}

static void
test_caller_closed(void **state)
{
	uint32_t a = ask("a");
	struct caller_reply r;
	int rc;

	(void)state;
	fd_close(&conn);
	rc = caller_recv(caller, a, in_ms(5000), &r, &err);
	assert_true(rc == -EPIPE || rc == -ECONNRESET);
}

static void
test_caller_nobody(void **state)
{
	AUTO_FREE char *none = path_in(*state, "none");
	struct caller *c;

	assert_int_equal(caller_connect(none, in_ms(5000), &c, &err), -ENOENT);
	fd_close(&listener);
	assert_int_equal(caller_connect(path, in_ms(5000), &c, &err), -ECONNREFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_caller_request),
	    SCENE(test_caller_answers_in_any_order),
	    SCENE(test_caller_deadline_inside_a_frame),
	    SCENE(test_caller_silence),
	    SCENE(test_caller_deaf),
	    SCENE(test_caller_too_long),
	    SCENE(test_caller_nonsense),
	    SCENE(test_caller_closed),
	    SCENE(test_caller_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

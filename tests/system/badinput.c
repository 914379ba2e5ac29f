/*
 * badinput SOCKET ID: what no honest client sends, on one connection that must
 * live through all of it; ID is a running task. Prints TAP without a plan.
 *
 * With a third argument, a uid: give up root and see that the connection is
 * of no use.
 */
#include "tests/lib/task.h"

#include "base/err.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PAYLOAD 4194304u

enum { INVALID_ARGUMENT = 3, RESOURCE_EXHAUSTED = 8, UNIMPLEMENTED = 12, INTERNAL = 13 };

static const char *task_id;
static int n, failed;

static void
result(int good, const char *what, int got, const char *text)
{
	n++;
	printf("%sok %d - %s\n", good ? "" : "not ", n, what);
	if (!good) {
		failed = 1;
		printf("# got %d '%s'\n", got, text ? text : "");
	}
}

static struct pb
state_request(const char *service, const char *method)
{
	struct pb m = PB_INIT, req = PB_INIT;

	pb_str(&m, 1, task_id);
	ttrpc_encode_request(&req, service, method, m.data, m.len, 0);
	pb_fini(&m);
	return req;
}

/* The next answer on that stream has one of two codes. */
static void
expect(struct ttrpc *t, uint32_t stream, int code, int or_code, const char *what)
{
	struct ttrpc_reply r = {0};
	int rc = ttrpc_recv(t, stream, task_timeout_ms(), &r);

	result(rc == 0 && (r.code == code || r.code == or_code) && r.type == 2, what,
	    rc < 0 ? rc : r.code, rc < 0 ? strerror(-rc) : r.text);
	ttrpc_reply_fini(&r);
}

static void
send_good(struct ttrpc *t, uint32_t stream)
{
	struct pb req = state_request(TASK_V2, "State");

	(void)ttrpc_send_frame(t, (uint32_t)req.len, stream, 1, 0, req.data, req.len);
	pb_fini(&req);
}

static void
good(struct ttrpc *t, uint32_t stream, const char *what)
{
	send_good(t, stream);
	expect(t, stream, 0, 0, what);
}

static void
names(struct ttrpc *t)
{
	static const struct {
		const char *service, *method, *what;
	} cases[] = {
	    {"no.such.Service", "State", "unknown service: Unimplemented"},
	    {TASK_V2, "NoSuchMethod", "unknown method: Unimplemented"},
	    {"", "State", "empty service: Unimplemented"},
	    {TASK_V2, "", "empty method: Unimplemented"},
	    {"containerd.task.v4.Task", "State", "a service of tomorrow: Unimplemented"},
	    {TASK_V2, "state", "method names have a case"},
	};
	uint32_t stream = 101;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++, stream += 2) {
		struct pb req = state_request(cases[i].service, cases[i].method);

		(void)ttrpc_send_frame(
		    t, (uint32_t)req.len, stream, 1, 0, req.data, req.len);
		expect(t, stream, UNIMPLEMENTED, INVALID_ARGUMENT, cases[i].what);
		pb_fini(&req);
	}
	good(t, stream, "after unknown names");
}

static void
broken_protobuf(struct ttrpc *t)
{
	static const uint8_t junk[] = {
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t cut[] = {0x0a, 0x7f, 'x'};
	struct pb req = PB_INIT;

	(void)ttrpc_send_frame(t, sizeof junk, 201, 1, 0, junk, sizeof junk);
	expect(t, 201, INVALID_ARGUMENT, INVALID_ARGUMENT,
	    "a Request that is no protobuf: InvalidArgument");
	(void)ttrpc_send_frame(t, sizeof cut, 203, 1, 0, cut, sizeof cut);
	expect(t, 203, INVALID_ARGUMENT, INVALID_ARGUMENT,
	    "a Request cut short: InvalidArgument");
	(void)ttrpc_send_frame(t, 0, 205, 1, 0, "", 0);
	expect(t, 205, UNIMPLEMENTED, INVALID_ARGUMENT, "an empty Request");
	ttrpc_encode_request(&req, TASK_V2, "State", junk, sizeof junk, 0);
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 207, 1, 0, req.data, req.len);
	expect(t, 207, INVALID_ARGUMENT, INTERNAL,
	    "a payload that is no protobuf: InvalidArgument");
	pb_fini(&req);
	ttrpc_encode_request(&req, TASK_V2, "Create", cut, sizeof cut, 0);
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 209, 1, 0, req.data, req.len);
	expect(t, 209, INVALID_ARGUMENT, INTERNAL, "Create cut short: InvalidArgument");
	pb_fini(&req);
	good(t, 211, "after broken protobuf");
}

static void
stream_ids(struct ttrpc *t)
{
	struct ttrpc_reply r = {0};
	uint32_t wait_stream;
	int rc;

	send_good(t, 302);
	expect(t, 302, INVALID_ARGUMENT, INVALID_ARGUMENT,
	    "even stream id: InvalidArgument");
	send_good(t, 0);
	rc = ttrpc_recv(t, 0, task_timeout_ms(), &r);
	result(rc == 0 && r.stream == 0 && r.code == INVALID_ARGUMENT,
	    "stream id 0: InvalidArgument", rc < 0 ? rc : r.code, r.text);
	ttrpc_reply_fini(&r);
	good(t, 303, "after even ids");
	send_good(t, 303);
	expect(
	    t, 303, INVALID_ARGUMENT, INVALID_ARGUMENT, "a reused id: InvalidArgument");
	send_good(t, 301);
	expect(t, 301, INVALID_ARGUMENT, INVALID_ARGUMENT, "a lower id: InvalidArgument");
	good(t, 305, "after old ids");

	/* a request on a stream that still waits must not disturb it */
	wait_stream = 307;
	{
		struct pb req = state_request(TASK_V2, "Wait");

		(void)ttrpc_send_frame(
		    t, (uint32_t)req.len, wait_stream, 1, 0, req.data, req.len);
		(void)ttrpc_send_frame(
		    t, (uint32_t)req.len, wait_stream, 1, 0, req.data, req.len);
		pb_fini(&req);
	}
	expect(t, wait_stream, INVALID_ARGUMENT, INVALID_ARGUMENT,
	    "an id that is open: InvalidArgument");
	good(t, 309, "after an open id");
}

static void
other_types(struct ttrpc *t)
{
	struct pb req = state_request(TASK_V2, "State");

	(void)ttrpc_send_frame(t, (uint32_t)req.len, 401, 3, 0, req.data, req.len);
	expect(t, 401, INVALID_ARGUMENT, UNIMPLEMENTED,
	    "data on an unknown stream: InvalidArgument");
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 403, 9, 0, req.data, req.len);
	good(t, 405, "an unknown frame type is ignored");
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 407, 2, 0, req.data, req.len);
	good(t, 409, "a response from a client is ignored");
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 411, 1, 1, req.data, req.len);
	expect(t, 411, 0, 0, "flag remote-closed is as good as none");
	pb_fini(&req);
}

static void
sizes(struct ttrpc *t)
{
	uint8_t *big = calloc(1, MAX_PAYLOAD + 1000);
	struct pb req = PB_INIT, m = PB_INIT;
	char *id;

	if (!big)
		abort();
	(void)ttrpc_send_frame(t, MAX_PAYLOAD + 1, 501, 1, 0, big, MAX_PAYLOAD + 1);
	expect(t, 501, RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED,
	    "one byte too long: ResourceExhausted");
	good(t, 503, "exactly the frame was skipped");
	(void)ttrpc_send_frame(t, MAX_PAYLOAD + 1000, 505, 1, 0, big, 500);
	/* the rest comes in pieces */
	for (uint32_t sent = 500; sent < MAX_PAYLOAD + 1000; sent += 50000) {
		uint32_t len = MAX_PAYLOAD + 1000 - sent;

		(void)ttrpc_send_raw(t, big + sent, len < 50000 ? len : 50000);
	}
	expect(t, 505, RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED,
	    "too long in pieces: ResourceExhausted");
	good(t, 507, "skipped too");

	/* 4 MiB exactly is allowed: an id of that length is not found, or not valid */
	id = malloc(MAX_PAYLOAD);
	if (!id)
		abort();
	memset(id, 'a', MAX_PAYLOAD);
	id[MAX_PAYLOAD - 60] = '\0';
	pb_str(&m, 1, id);
	ttrpc_encode_request(&req, TASK_V2, "State", m.data, m.len, 0);
	(void)ttrpc_send_frame(t, (uint32_t)req.len, 509, 1, 0, req.data, req.len);
	expect(t, 509, INVALID_ARGUMENT, 5, "an id of almost 4 MiB");
	good(t, 511, "after that");
	free(id);
	free(big);
	pb_fini(&req);
	pb_fini(&m);
}

/* Half a frame, then gone; and a frame byte by byte. */
static void
pieces(const char *sock)
{
	struct err err = ERR_INIT;
	struct ttrpc *t;
	struct pb req = state_request(TASK_V2, "State");
	uint8_t head[10] = {0, 0, 0, (uint8_t)req.len, 0, 0, 0, 1, 1, 0};

	for (size_t len = 0; len < sizeof head; len += 3) {
		t = ttrpc_connect(sock, &err);
		if (t)
			(void)ttrpc_send_raw(t, head, len);
		ttrpc_free(t);
	}
	t = ttrpc_connect(sock, &err);
	if (!t) {
		result(0, "connect again", 0, err.text);
		return;
	}
	for (size_t i = 0; i < sizeof head; i++)
		(void)ttrpc_send_raw(t, head + i, 1);
	for (size_t i = 0; i < req.len; i++)
		(void)ttrpc_send_raw(t, req.data + i, 1);
	expect(t, 1, 0, 0, "a frame byte by byte");
	ttrpc_free(t);
	pb_fini(&req);
}

static int
stranger(const char *sock, uid_t uid)
{
	struct err err = ERR_INIT;
	struct task_state st;
	struct ttrpc *t = ttrpc_connect(sock, &err);
	int rc;

	/* connected as root, then another: SO_PEERCRED is taken at connect, so that still works */
	if (!t) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	ttrpc_free(t);
	if (setgroups(0, NULL) == -1 || setresgid(uid, uid, uid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return 2;
	t = ttrpc_connect(sock, &err);
	if (!t) {
		printf("refused: %s\n", err.text);
		return err.code == EACCES ? 0 : 1;
	}
	rc = task_state(t, task_id, NULL, &st);
	printf("connected; State gives %d %s\n", rc, task_error());
	ttrpc_free(t);
	/* no answer but the end of the connection */
	return rc < 0 && rc != -ETIMEDOUT ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct task_exit ex;
	struct ttrpc *t, *other;
	uint32_t stream;
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: badinput SOCKET ID [UID]\n");
		return 2;
	}
	task_id = argv[2];
	if (argc > 3)
		return stranger(argv[1], (uid_t)strtoul(argv[3], NULL, 10));
	setvbuf(stdout, NULL, _IOLBF, 0);
	t = ttrpc_connect(argv[1], &err);
	other = ttrpc_connect(argv[1], &err);
	if (!t || !other) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	(void)task_wait_send(other, task_id, NULL, &stream);
	good(t, 1, "a good request");
	names(t);
	broken_protobuf(t);
	stream_ids(t);
	other_types(t);
	sizes(t);
	pieces(argv[1]);
	/* everybody else's work is unharmed */
	rc = task_kill(other, task_id, NULL, 9, false);
	result(rc == 0, "the other connection works: Kill", rc, task_error());
	rc = task_wait_recv(other, stream, task_timeout_ms(), &ex);
	result(rc == 0 && ex.status == 137, "and its old Wait is answered", rc,
	    task_error());
	expect(t, 307, 0, 0, "so is the one of the rude connection");
	ttrpc_free(other);
	ttrpc_free(t);
	return failed;
}

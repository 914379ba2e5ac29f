/*
 * The keeper between a client and workers that die: requests are delivered,
 * redelivered and answered once, whatever happens behind them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/admin.h"
#include "keeper_rig.h"
#include "proto/frame.h"
#include "proto/status.h"

static void
recv_request(struct rig *rig, struct msg_request *req)
{
	struct rig_packet p;

	rig_recv_type(rig, MSG_REQUEST, &p);
	assert_int_equal(msg_decode_request(&p.head, p.payload, req, NULL), 0);
}

static void
expect_request(struct rig *rig, uint64_t n, unsigned flags, const char *text)
{
	struct msg_request req;

	recv_request(rig, &req);
	assert_int_equal(req.n, n);
	assert_int_equal(req.flags, flags);
	assert_int_equal(req.frame.len, strlen(text));
	assert_memory_equal(req.frame.p, text, strlen(text));
}

static void
test_keeper_request_and_answer(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);

	client_request(c, 1, "early"); /* before there is a worker */
	rig_boot(rig);
	expect_request(rig, 1, 0, "early");
	client_request(c, 3, "wait");
	client_request(c, 5, "kill");
	expect_request(rig, 2, 0, "wait");
	expect_request(rig, 3, 0, "kill");
	rig_answer(rig, 3, "killed"); /* in any order */
	client_expect_text(c, 5, "killed");
	rig_answer(rig, 2, "");
	client_expect_text(c, 3, ""); /* an empty message is a good answer */
	rig_answer(rig, 1, "hello");
	client_expect_text(c, 1, "hello");
	rig_answer(rig, 1, "again"); /* nobody waits: ignored */
	rig_answer(rig, 77, "what");
	client_expect_nothing(c, 50);
	assert_int_equal(rig_status(rig, "requests"), 0);
	assert_int_equal(rig_status(rig, "request_bytes"), 0);
	(void)close(c);
}

static void
test_keeper_redelivers_after_a_kill(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 1, "one");
	client_request(c, 3, "two");
	expect_request(rig, 1, 0, "one");
	expect_request(rig, 2, 0, "two");
	rig_answer(rig, 1, "done");
	client_expect_text(c, 1, "done");
	rig_kill_worker(rig);
	rig_take_worker(rig);
	assert_int_equal(rig_log_says("next worker in"), 0); /* it is not put off */
	client_request(c, 5, "three");
	rig_wait_status(rig, "requests", 2);
	rig_hello(rig);
	assert_int_equal(rig->welcome.gen, 2);
	assert_int_equal(rig->welcome.failed_boots, 0);
	expect_request(rig, 2, REQ_REDELIVERED, "two"); /* in the snapshot */
	rig_ready(rig);
	expect_request(rig, 3, 0, "three"); /* after GO, and new */
	rig_answer(rig, 2, "2");
	rig_answer(rig, 3, "3");
	client_expect_text(c, 3, "2");
	client_expect_text(c, 5, "3");
	assert_int_equal(rig_status(rig, "worker_restarts"), 1);
	(void)close(c);
}

static void
wait_zombie(pid_t pid)
{
	boot_us_t end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;
	char path[64], *text = NULL;
	bool dead = false;
	size_t len;

	(void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	while (!dead) {
		assert_true(clock_boot_us() < end);
		assert_int_equal(file_read(AT_FDCWD, path, 4096, &text, &len, NULL), 0);
		dead = strstr(text, ") Z ") != NULL;
		free(text);
		(void)poll(NULL, 0, 1);
	}
}

/* Answers sent by a worker that then dies with unread input (recovery.md 1.1). */
static void
test_keeper_hears_last_words(void **state)
{
	enum { MANY = 150 }; /* more than the channel takes in one pass of the loop */
	struct rig *rig = *state;
	int i, c = rig_connect(rig);
	pid_t worker;

	rig_boot(rig);
	for (i = 0; i < MANY; i++) {
		client_request(c, (uint32_t)(2 * i + 1), "r");
		expect_request(rig, (uint64_t)i + 1, 0, "r");
	}
	client_request(c, 2 * MANY + 1, "unread");
	rig_wait_status_from(rig, "unread", 1);
	/* stopped, the keeper sees all of it only after the death */
	assert_int_equal(kill(rig->keeper, SIGSTOP), 0);
	for (i = 0; i < MANY; i++)
		rig_answer(rig, (uint64_t)i + 1, "a");
	worker = rig->worker;
	rig_kill_worker(rig);
	wait_zombie(worker);
	assert_int_equal(kill(rig->keeper, SIGCONT), 0);
	for (i = 0; i < MANY; i++)
		client_expect_text(c, (uint32_t)(2 * i + 1), "a");
	rig_take_worker(rig);
	rig_hello(rig);
	expect_request(rig, MANY + 1, REQ_REDELIVERED, "unread");
	(void)close(c);
}

static void
test_keeper_big_requests_and_answers(void **state)
{
	struct rig *rig = *state;
	size_t len = 3u << 20, got;
	char *big = malloc(len + 1);
	struct msg_head head = {.type = MSG_ANSWER, .a = 1};
	struct rig_packet p;
	int c = rig_connect(rig);
	uint32_t stream;
	const char *text;

	assert_non_null(big);
	memset(big, 'x', len + 1);
	rig_boot(rig);
	/* larger than a packet: arrives as a memfd; packet_recv() of the rig has 60 KiB */
	client_frame(c, 1, FRAME_REQUEST, big, 50000);
	rig_recv_type(rig, MSG_REQUEST, &p);
	assert_int_equal(p.head.len, 50000);
	assert_memory_equal(p.payload, big, 50000);
	head.len = (uint32_t)len;
	rig_send(rig, &head, big, NULL, 0);
	got = client_response(c, &stream, &text);
	assert_int_equal(got, len);
	assert_memory_equal(text, big, len);
	/* an answer that fits no frame */
	client_request(c, 3, "q");
	rig_recv_type(rig, MSG_REQUEST, &p);
	free(big);
	big = calloc(1, FRAME_PAYLOAD_MAX + 1);
	assert_non_null(big);
	head.a = 2;
	head.len = FRAME_PAYLOAD_MAX + 1;
	rig_send(rig, &head, big, NULL, 0);
	client_expect_status(c, 3, STATUS_INTERNAL);
	free(big);
	(void)close(c);
}

static void
test_keeper_stream_rules(void **state)
{
	static char zeros[FRAME_PAYLOAD_MAX + 100];
	struct rig *rig = *state;
	int c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 2, "even");
	client_expect_status(c, 2, STATUS_INVALID_ARGUMENT);
	client_request(c, 9, "ok");
	expect_request(rig, 1, 0, "ok");
	client_request(c, 9, "again");
	client_expect_status(c, 9, STATUS_INVALID_ARGUMENT);
	client_request(c, 7, "lower");
	client_expect_status(c, 7, STATUS_INVALID_ARGUMENT);
	client_frame(c, 5, FRAME_DATA, "x", 1);
	client_expect_status(c, 5, STATUS_INVALID_ARGUMENT);
	client_frame(c, 9, FRAME_DATA, "x", 1); /* open: nobody wants it */
	client_frame(c, 11, 42, "what", 4);	/* no type we know */
	client_frame(c, 13, FRAME_REQUEST, zeros, sizeof zeros);
	client_expect_status(c, 13, STATUS_RESOURCE_EXHAUSTED);
	client_request(c, 15, "");
	expect_request(rig, 2, 0, "");
	rig_answer(rig, 2, "fine");
	client_expect_text(c, 15, "fine");
	rig_answer(rig, 1, "still here");
	client_expect_text(c, 9, "still here");
	(void)close(c);
}

/* A frame that comes a byte at a time, and half a frame, then nothing. */
static void
test_keeper_frames_in_pieces(void **state)
{
	struct rig *rig = *state;
	struct frame_head head = {.len = 5, .stream = 1, .type = FRAME_REQUEST};
	int i, c = rig_connect(rig), half = rig_connect(rig);
	uint8_t buf[FRAME_HEAD_LEN + 5];

	rig_boot(rig);
	frame_head_encode(buf, &head);
	memcpy(buf + FRAME_HEAD_LEN, "piece", 5);
	assert_int_equal(write(half, buf, 12), 12);
	for (i = 0; i < (int)sizeof buf; i++) {
		assert_int_equal(write(c, buf + i, 1), 1);
		(void)poll(NULL, 0, 1);
	}
	expect_request(rig, 1, 0, "piece");
	(void)close(half);
	rig_wait_status(rig, "connections", 1);
	rig_answer(rig, 1, "whole");
	client_expect_text(c, 1, "whole");
	assert_int_equal(rig_status(rig, "request_bytes"), 0);
	(void)close(c);
}

static void
test_keeper_forgets_closed_connections(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig), d = rig_connect(rig);
	struct rig_packet p;

	rig_boot(rig);
	client_request(c, 1, "begun");
	expect_request(rig, 1, 0, "begun");
	(void)close(c);
	rig_recv(rig, &p);
	assert_int_equal(p.head.type, MSG_CANCEL);
	assert_int_equal(p.head.a, 1);
	rig_kill_worker(rig);
	rig_take_worker(rig);
	/* nobody has seen this one: half-closing is enough to drop it */
	client_request(d, 1, "unseen");
	rig_wait_status(rig, "requests", 2);
	assert_int_equal(shutdown(d, SHUT_WR), 0);
	client_expect_closed(d);
	rig_wait_status(rig, "requests", 1);
	rig_hello(rig);
	expect_request(rig, 1, REQ_REDELIVERED | REQ_ORPHAN, "begun");
	rig_recv(rig, &p);
	assert_int_equal(p.head.type, MSG_SYNC);
	rig_ready(rig);
	rig_answer(rig, 1, NULL);
	rig_recv_nothing(rig, 50);
	assert_int_equal(rig_status(rig, "requests"), 0);
	(void)close(d);
}

/* 8 MiB per connection, 16 MiB per pod; a Kill always gets through after answers. */
static void
test_keeper_budgets(void **state)
{
	static char mib[1 << 20];
	struct rig *rig = *state;
	int c = rig_connect(rig), d = rig_connect(rig), e = rig_connect(rig);
	struct rig_packet p;
	uint32_t i;

	/* no worker takes them yet */
	for (i = 0; i < 7; i++)
		client_frame(c, 2 * i + 1, FRAME_REQUEST, mib, sizeof mib);
	client_expect_nothing(c, 50);
	client_frame(c, 15, FRAME_REQUEST, mib, sizeof mib);
	client_expect_status(c, 15, STATUS_RESOURCE_EXHAUSTED);
	for (i = 0; i < 7; i++)
		client_frame(d, 2 * i + 1, FRAME_REQUEST, mib, sizeof mib);
	client_frame(e, 1, FRAME_REQUEST, mib, sizeof mib);
	client_expect_nothing(e, 50);
	client_frame(e, 3, FRAME_REQUEST, mib, sizeof mib);
	client_expect_status(e, 3, STATUS_RESOURCE_EXHAUSTED);
	client_request(e, 5, "small ones still pass");
	(void)close(c);
	(void)close(d);
	rig_wait_status(rig, "requests", 2);
	client_frame(e, 7, FRAME_REQUEST, mib, sizeof mib);
	client_expect_nothing(e, 50);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv_type(rig, MSG_SYNC, &p);
	(void)close(e);
	rig_wait_status(rig, "request_bytes", 0);
}

/* More than the budget of a connection, but never at once. */
static void
test_keeper_budget_comes_back(void **state)
{
	static char body[40000];
	struct rig *rig = *state;
	int c = rig_connect(rig);
	struct rig_packet p;
	uint32_t i;

	rig_boot(rig);
	for (i = 0; i < 500; i++) {
		client_frame(c, 2 * i + 1, FRAME_REQUEST, body, sizeof body);
		rig_recv_type(rig, MSG_REQUEST, &p);
		rig_answer(rig, p.head.key, "ok");
		client_expect_text(c, 2 * i + 1, "ok");
	}
	(void)close(c);
}

/* A client that never reads is not read; everybody else is served. */
static void
test_keeper_back_pressure(void **state)
{
	struct rig *rig = *state;
	size_t len = 1500u << 10;
	char *big = malloc(len);
	int rude = rig_connect(rig), c = rig_connect(rig);
	struct msg_head head = {.type = MSG_ANSWER, .len = (uint32_t)len};
	struct rig_packet p;
	uint32_t stream;
	const char *text;
	int i;

	assert_non_null(big);
	memset(big, 'y', len);
	rig_boot(rig);
	for (i = 0; i < 2; i++) {
		client_request(rude, (uint32_t)(2 * i + 1), "give");
		rig_recv_type(rig, MSG_REQUEST, &p);
	}
	for (head.a = 1; head.a <= 2; head.a++)
		rig_send(rig, &head, big, NULL, 0);
	rig_wait_status_from(rig, "request_bytes", 1 << 20);
	client_request(rude, 5, "more");
	rig_recv_nothing(rig, 50);
	client_request(c, 1, "polite");
	expect_request(rig, 3, 0, "polite");
	rig_answer(rig, 3, "yes");
	client_expect_text(c, 1, "yes");
	for (i = 0; i < 2; i++) {
		assert_int_equal(client_response(rude, &stream, &text), len);
		assert_memory_equal(text, big, len);
	}
	expect_request(rig, 4, 0, "more"); /* read again */
	free(big);
	(void)close(rude);
	(void)close(c);
}

/* One response for each of n requests of 64 KiB; how many were refused. */
static unsigned
drain(int fd, unsigned n)
{
	unsigned i, refused = 0;
	bool seen[301] = {false};
	uint32_t stream;
	const char *text;

	for (i = 0; i < n; i++) {
		refused += client_response(fd, &stream, &text) != 64 << 10;
		assert_true(stream % 2 == 1 && stream < 2 * n && !seen[stream / 2]);
		seen[stream / 2] = true;
	}
	return refused;
}

/*
 * Small requests may have large answers: what those who do not read make the
 * keeper hold is bounded, and is their own loss.
 */
static void
test_keeper_bounds_unread_answers(void **state)
{
	enum { RUDE = 3, REQUESTS = 300 };
	static char big[64 << 10];
	struct rig *rig = *state;
	struct msg_head head = {.type = MSG_ANSWER, .len = sizeof big};
	int rude[RUDE], c = rig_connect(rig);
	uint32_t i, stream, n = 0;
	struct rig_packet p;
	const char *text;
	unsigned k;

	memset(big, 'y', sizeof big);
	rig_boot(rig);
	for (k = 0; k < RUDE; k++) {
		rude[k] = rig_connect(rig);
		for (i = 0; i < REQUESTS; i++) {
			client_request(rude[k], 2 * i + 1, "give");
			rig_recv_type(rig, MSG_REQUEST, &p);
		}
		for (i = 0; i < REQUESTS; i++) {
			head.a = ++n;
			rig_send(rig, &head, big, NULL, 0);
		}
		rig_wait_status(rig, "requests", 0);
		assert_in_range(rig_status(rig, "request_bytes"), 1 << 20,
		    (k == 0 ? 8 : 16) * (1 << 20) + RUDE * REQUESTS * 256);
		client_request(c, 2 * k + 1, "polite");
		expect_request(rig, ++n, 0, "polite");
		head.a = n;
		rig_send(rig, &head, big, NULL, 0);
		assert_int_equal(client_response(c, &stream, &text), sizeof big);
	}
	for (k = 0; k < RUDE; k++) {
		assert_in_range(drain(rude[k], REQUESTS), 1, REQUESTS - 1);
		client_request(rude[k], 2 * REQUESTS + 1, "read again");
		expect_request(rig, ++n, 0, "read again");
		rig_answer(rig, n, "yes");
		client_expect_text(rude[k], 2 * REQUESTS + 1, "yes");
		(void)close(rude[k]);
	}
	assert_int_equal(rig_status(rig, "request_bytes"), 0);
	(void)close(c);
}

/* A pod as full as may be, with a connection for each container, still hears those who come. */
static void
test_keeper_has_room_for_more_than_the_containers(void **state)
{
	enum { CONTAINERS = 1024 };
	static int conns[CONTAINERS + 2];
	struct rig *rig = *state;
	struct rlimit limit;
	size_t i;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < CONTAINERS + 176) /* the keeper has some of its own, too */
		skip();
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig_boot(rig);
	for (i = 0; i < sizeof conns / sizeof *conns; i++)
		conns[i] = rig_connect(rig);
	client_request(conns[CONTAINERS], 1, "purge");
	rig_expect_request(rig, 1, 0);
	rig_answer(rig, 1, "purged");
	client_expect_text(conns[CONTAINERS], 1, "purged");
	client_request(conns[CONTAINERS + 1], 1, "create");
	rig_expect_request(rig, 2, 0);
	for (i = 0; i < sizeof conns / sizeof *conns; i++)
		(void)close(conns[i]);
}

static void
test_keeper_many_requests_many_kills(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	unsigned i, round;
	struct rig_packet p;
	bool open[101];
	uint64_t left = 100;

	for (i = 1; i <= 100; i++) {
		client_request(c, 2 * i - 1, "w");
		open[i] = true;
	}
	/* each worker answers what it gets, up to some, and is killed */
	for (round = 0; left > 0; round++) {
		uint64_t prev = 0;

		rig_take_worker(rig);
		rig_hello(rig);
		rig_recv_type(rig, round == 0 ? MSG_SYNC : MSG_REQUEST, &p);
		if (round == 0) {
			rig_ready(rig);
			rig_recv_type(rig, MSG_REQUEST, &p);
		}
		for (i = 0; i < 17 && left > 0; i++) {
			if (i > 0)
				rig_recv_type(rig, MSG_REQUEST, &p);
			assert_true(p.head.key > prev); /* in order */
			prev = p.head.key;
			assert_true(open[p.head.key]);
			open[p.head.key] = false;
			left--;
			rig_answer(rig, p.head.key, "a");
		}
		rig_kill_worker(rig);
	}
	for (i = 1; i <= 100; i++) {
		uint32_t stream;
		const char *text;

		assert_int_equal(client_response(c, &stream, &text), 1);
	}
	client_expect_nothing(c, 50);
	assert_true(round > 5);
	(void)close(c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_request_and_answer),
	    cmocka_unit_test_setup_teardown(test_keeper_redelivers_after_a_kill,
		rig_setup_logged, rig_teardown_logged),
	    T(test_keeper_hears_last_words),
	    T(test_keeper_big_requests_and_answers),
	    T(test_keeper_stream_rules),
	    T(test_keeper_frames_in_pieces),
	    T(test_keeper_forgets_closed_connections),
	    T(test_keeper_budgets),
	    T(test_keeper_budget_comes_back),
	    T(test_keeper_back_pressure),
	    T(test_keeper_bounds_unread_answers),
	    T(test_keeper_has_room_for_more_than_the_containers),
	    T(test_keeper_many_requests_many_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

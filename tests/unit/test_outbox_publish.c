/*
 * worker/outbox_publish: what the publish binary is given, what its end means,
 * and that a child outlives the worker that asked for it. The binary is a
 * shell script; test_outbox_containerd has the real one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "fake_link.h"
#include "proto/any.pb-c.h"
#include "store_helper.h"
#include "worker/outbox.h"

static const char *dir;
static char *script;
static struct loop *loop;
static struct link *lk;
static struct transport *tr;

static int
setup(void **state)
{
	if (dir_setup(state) != 0)
		return -1;
	dir = *state;
	script = path_in(dir, "publish binary");
	loop = loop_new();
	lk = fake_link_new();
	return 0;
}

static int
teardown(void **state)
{
	if (tr != NULL)
		tr->free(tr);
	tr = NULL;
	fake_link_free(lk);
	loop_once(loop, 1);
	loop_free(loop);
	free(script);
	clock_set_for_test(0);
	return dir_teardown(state);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
make(const char *body)
{
	const struct outbox_target target = {.ns = "ns1",
	    .grpc_address = "/run/c.sock",
	    .ttrpc_address = "",
	    .publish_binary = script};
	AUTO_FREE char *text = mem_printf("#!/bin/sh\nD='%s'\n%s\n", dir, body);

	assert_int_equal(file_write(AT_FDCWD, script, text, strlen(text), 0700, NULL), 0);
	tr = transport_publish_new(loop, lk, &target);
	assert_string_equal(tr->name, "publish-binary");
	assert_int_equal(tr->max_in_flight, 1);
}

static int ended;

static void
on_done(int rc, void *arg)
{
	assert_ptr_equal(arg, &ended);
	assert_int_equal(ended, 1);
	ended = rc;
}

static void
send_numbered(uint64_t seq)
{
	const struct outbox_event ev = {.seq = seq,
	    .topic = "/tasks/oom",
	    .type = "containerd.events.TaskOOM",
	    .body = "\n\2c1",
	    .len = 4,
	    .t_ns = 5};

	ended = 1;
	tr->send(tr, &ev, on_done, &ended);
	assert_int_equal(ended, 1);
}

static void
send_event(void)
{
	send_numbered(77);
}

static int
wait_end(void)
{
	boot_us_t end = clock_boot_us() + 20 * US_PER_S;

	while (ended == 1) {
		if (clock_boot_us() > end && fake_link_child(lk) == 0)
			fail_msg("no end");
		loop_once(loop, 1);
		fake_link_poll(lk);
		(void)poll(NULL, 0, 1);
	}
	return ended;
}

static char *
slurp(const char *name, size_t *len)
{
	AUTO_FREE char *path = path_in(dir, name);
	char *text;

	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, len, NULL), 0);
	return text;
}

static void
test_publish_gives_containerd_what_it_wants(void **state)
{
	AUTO_FREE char *args = NULL, *stdin_bytes = NULL;
	Google__Protobuf__Any *any;
	size_t len;

	(void)state;
	make("printf '%s|' \"$@\" >\"$D/args\"; cat >\"$D/in\"");
	send_event();
	assert_int_equal(wait_end(), 0);
	args = slurp("args", &len);
	assert_string_equal(
	    args, "--address|/run/c.sock|publish|--topic|/tasks/oom|--namespace|ns1|");
	stdin_bytes = slurp("in", &len);
	any = google__protobuf__any__unpack(NULL, len, (const uint8_t *)stdin_bytes);
	assert_non_null(any);
	assert_string_equal(any->type_url, "containerd.events.TaskOOM");
	assert_int_equal(any->value.len, 4);
	assert_memory_equal(any->value.data, "\n\2c1", 4);
	google__protobuf__any__free_unpacked(any, NULL);
	assert_int_equal(fake_link_steps(lk), 0); /* acknowledged */
	assert_int_equal(fake_link_fds(lk), 0);
}

static void
test_publish_ends(void **state)
{
	static const struct {
		const char *body;
		int rc;
	} cases[] = {
	    {"exit 0", 0},
	    {"echo noise; echo noise >&2; exit 0", 0},
	    {"echo 'containerd: namespace validation: x: invalid argument' >&2; exit 1",
		-EINVAL},
	    {"echo 'failed to dial \"/s\": context deadline exceeded' >&2; exit 1",
		-EHOSTDOWN},
	    {"echo 'containerd: it hurts' >&2; exit 1", -EIO},
	    {"exit 1", -EHOSTDOWN},
	    {"kill -9 $$", -EHOSTDOWN},
	    /* more than is kept: what comes first decides */
	    {"echo 'x: invalid argument' >&2; head -c 100000 /dev/zero >&2; exit 1",
		-EINVAL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		make(cases[i].body);
		send_event();
		if (wait_end() != cases[i].rc)
			fail_msg("%s: %d", cases[i].body, ended);
		assert_int_equal(fake_link_steps(lk) + fake_link_fds(lk), 0);
		tr->free(tr);
		tr = NULL;
	}
}

static void
test_publish_binary_missing(void **state)
{
	const struct outbox_target none = {
	    .ns = "n", .grpc_address = "", .publish_binary = ""};

	(void)state;
	assert_null(transport_publish_new(loop, lk, &none));
	make("exit 0");
	assert_int_equal(unlink(script), 0);
	send_event();
	assert_int_equal(wait_end(), -EHOSTDOWN);
	assert_int_equal(fake_link_steps(lk), 0);
}

static void
test_publish_has_a_deadline(void **state)
{
	boot_us_t now = clock_boot_us();

	(void)state;
	clock_set_for_test(now);
	make("exec sleep 1000");
	send_event();
	fake_link_poll(lk);
	assert_int_equal(ended, 1);
	clock_set_for_test(now + 9 * US_PER_S);
	fake_link_poll(lk);
	assert_int_equal(ended, 1);
	clock_set_for_test(now + 10 * US_PER_S);
	assert_int_equal(wait_end(), -EHOSTDOWN);
}

/* --- a child that cannot be killed ------------------------------------------------------ */

/* The timer of loop.h keeps to the real time; here it is done with when we say so. */
static struct loop_timer *timer;
static uint64_t timer_us;

void __wrap_loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t us);

void
__wrap_loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t us)
{
	(void)l;
	timer = t;
	timer_us = us;
}

static void
poll_stuck(void)
{
	boot_us_t now = clock_boot_us();

	ended = 1;
	clock_set_for_test(now);
	send_event();
	clock_set_for_test(now + 11 * US_PER_S);
	fake_link_poll(lk);
	assert_int_equal(ended, 1);
}

static void
let_all_end(void)
{
	fake_link_stick(lk, false);
	while (fake_link_steps(lk) > 0) {
		fake_link_poll(lk);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(fake_link_fds(lk), 0);
}

/* Its event goes another way meanwhile; the outbox does that (test_outbox.c). */
static void
test_publish_gives_up_what_cannot_be_killed(void **state)
{
	unsigned i;

	(void)state;
	make("exec sleep 1000");
	fake_link_stick(lk, true);
	for (i = 1; i <= 4; i++) {
		poll_stuck();
		assert_int_equal(timer_us, 12 * US_PER_S);
		timer->cb(timer->arg);
		assert_int_equal(ended, -EHOSTDOWN);
		assert_int_equal(fake_link_spawned(lk), i);
		/* it is still the keeper's */
		assert_int_equal(fake_link_steps(lk), i);
		assert_int_equal(fake_link_fds(lk), i);
	}
	/* no end of them would be no end of processes */
	send_event();
	assert_int_equal(wait_end(), -EHOSTDOWN);
	assert_int_equal(fake_link_spawned(lk), 4);
	ended = 2;
	let_all_end();
	assert_int_equal(ended, 2); /* nobody hears of it again */
	tr->free(tr);
	make("exit 0");
	send_event();
	assert_int_equal(wait_end(), 0);
	assert_int_equal(fake_link_steps(lk), 0);
}

/* The next worker takes up the newest child of an event, and gives up that one, too. */
static void
test_publish_gives_up_what_another_worker_began(void **state)
{
	(void)state;
	make("exec sleep 1000");
	fake_link_stick(lk, true);
	poll_stuck();
	timer->cb(timer->arg);
	poll_stuck();
	fake_link_worker_dies(lk);
	tr->free(tr);
	make("exec sleep 1000");
	timer = NULL;
	ended = 1;
	assert_true(tr->resume(tr, 77, on_done, &ended));
	tr->resume_end(tr);
	/* its deadline may have been the long one */
	assert_int_equal(timer_us, 62 * US_PER_S);
	timer->cb(timer->arg);
	assert_int_equal(ended, -EHOSTDOWN);
	assert_int_equal(fake_link_steps(lk), 2);
	let_all_end();
}

/* One that was given up has an event that waits still; it is not the one under way. */
static void
test_publish_takes_up_the_one_under_way(void **state)
{
	(void)state;
	make("exec sleep 1000");
	fake_link_stick(lk, true);
	poll_stuck();
	timer->cb(timer->arg);
	assert_int_equal(ended, -EHOSTDOWN);
	send_numbered(78);
	fake_link_worker_dies(lk);
	tr->free(tr);
	make("exec sleep 1000");
	ended = 1;
	assert_false(tr->resume(tr, 77, on_done, &ended));
	assert_true(tr->resume(tr, 78, on_done, &ended));
	tr->resume_end(tr);
	assert_int_equal(fake_link_steps(lk), 2);
	/* its end is told, the other's is not */
	clock_set_for_test(clock_boot_us() + 60 * US_PER_S);
	let_all_end();
	assert_int_equal(ended, -EHOSTDOWN);
}

static void
test_publish_out_of_descriptors(void **state)
{
	struct rlimit old, none;

	(void)state;
	make("exit 0");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	send_event();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(wait_end(), -EHOSTDOWN);
	send_event();
	assert_int_equal(wait_end(), 0);
}

/* The worker dies with a child running; the next one gets its end. */
static void
resume_with(const char *body, bool let_it_end, int rc)
{
	AUTO_FREE char *go = path_in(dir, "go");
	AUTO_FREE char *text =
	    mem_printf("while [ ! -e \"$D/go\" ]; do sleep 0.01; done; %s", body);
	const struct outbox_target target = {
	    .ns = "ns1", .grpc_address = "/run/c.sock", .publish_binary = script};

	(void)unlink(go);
	make(text);
	send_event();
	fake_link_poll(lk);
	tr->free(tr);
	fake_link_worker_dies(lk);
	if (let_it_end) {
		assert_int_equal(file_write(AT_FDCWD, go, "", 0, 0600, NULL), 0);
		while (fake_link_child(lk) != 0) {
			fake_link_poll(lk);
			(void)poll(NULL, 0, 1);
		}
	}
	tr = transport_publish_new(loop, lk, &target);
	ended = 1;
	assert_false(tr->resume(tr, 76, on_done, &ended));
	assert_false(tr->resume(tr, 7, on_done, &ended));
	assert_true(tr->resume(tr, 77, on_done, &ended));
	tr->resume_end(tr);
	assert_int_equal(ended, 1);
	assert_int_equal(file_write(AT_FDCWD, go, "", 0, 0600, NULL), 0);
	assert_int_equal(wait_end(), rc);
	assert_int_equal(fake_link_spawned(lk), 1);
	assert_int_equal(fake_link_steps(lk) + fake_link_fds(lk), 0);
	tr->free(tr);
	tr = NULL;
	fake_link_free(lk);
	lk = fake_link_new();
}

static void
test_publish_child_outlives_the_worker(void **state)
{
	(void)state;
	resume_with("exit 0", false, 0);
	resume_with("exit 0", true, 0);
	/* what it printed is still there to be judged */
	resume_with("echo 'x: invalid argument' >&2; exit 1", false, -EINVAL);
	resume_with("echo 'x: invalid argument' >&2; exit 1", true, -EINVAL);
}

/* A child whose event is of no interest any more is acknowledged at its end. */
static void
test_publish_stray_children_are_forgotten(void **state)
{
	(void)state;
	make("exit 0");
	send_event();
	fake_link_worker_dies(lk);
	tr->resume_end(tr);
	while (fake_link_steps(lk) > 0) {
		fake_link_poll(lk);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(fake_link_fds(lk), 0);
	assert_int_equal(ended, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_publish_gives_containerd_what_it_wants),
	    SCENE(test_publish_ends),
	    SCENE(test_publish_binary_missing),
	    SCENE(test_publish_has_a_deadline),
	    SCENE(test_publish_gives_up_what_cannot_be_killed),
	    SCENE(test_publish_gives_up_what_another_worker_began),
	    SCENE(test_publish_takes_up_the_one_under_way),
	    SCENE(test_publish_out_of_descriptors),
	    SCENE(test_publish_child_outlives_the_worker),
	    SCENE(test_publish_stray_children_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

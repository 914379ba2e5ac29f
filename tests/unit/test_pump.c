/*
 * worker/pump: when it lets a pipe fill before it moves on, and when not. The clock
 * stands still, so that every pass comes soon after the one before.
 */
#include "worker/pump.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"

#define LINE "one line of a log\n"

static struct loop *loop;
static struct pump *pump;
static int in, out; /* where the container writes, where its reader reads */
static unsigned ended;

static void
on_end(void *arg)
{
	(void)arg;
	ended++;
}

static int
setup(void **state)
{
	int src[2], dst[2];

	(void)state;
	if (pipe2(src, O_CLOEXEC | O_NONBLOCK) == -1 ||
	    pipe2(dst, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	in = src[1];
	out = dst[0];
	ended = 0;
	clock_set_for_test(1000 * US_PER_S);
	loop = loop_new();
	pump = pump_new(loop, src[0], dst[1], PUMP_OUTPUT, on_end, NULL);
	return loop == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	pump_free(pump);
	loop_once(loop, 1);
	loop_free(loop);
	fd_close(&in);
	fd_close(&out);
	clock_set_for_test(0);
	return 0;
}

static void
say(void)
{
	assert_int_equal(write(in, LINE, strlen(LINE)), strlen(LINE));
}

/* All that was written, as soon as it comes. */
static void
hear(uint64_t all)
{
	char buf[65536];

	while (pump_bytes(pump) < all)
		loop_once(loop, 0);
	while (read(out, buf, sizeof buf) > 0)
		;
}

/* A line; did it have to wait? Then it is left there. */
static bool
line_waits(uint64_t *said)
{
	say();
	*said += strlen(LINE);
	loop_once(loop, 1);
	if (pump_bytes(pump) < *said)
		return true;
	hear(*said);
	return false;
}

static void
test_pump_stream_of_lines(void **state)
{
	unsigned i, waits = 0, most = 0;
	uint64_t said = 0;

	(void)state;
	for (i = 0; i < 200; i++) {
		uint64_t passes = pump_passes(pump), before = said;

		if (!line_waits(&said))
			continue;
		waits++;
		while (said - before < 50 * strlen(LINE)) {
			say();
			said += strlen(LINE);
		}
		hear(said);
		if (pump_passes(pump) == passes + 1)
			most++;
	}
	/* not more can be said: a pause of this machine may be longer than the wait */
	assert_in_range(waits, 1, 200 - 16);
	assert_true(most >= 1); /* 50 lines at once */
}

/* Who waits for an answer to each line is slowed down a few times only. */
static void
test_pump_dialogue(void **state)
{
	uint64_t said = 0;
	unsigned i, waits = 0;

	(void)state;
	for (i = 0; i < 2000; i++) {
		if (!line_waits(&said))
			continue;
		waits++;
		hear(said);
	}
	assert_true(waits <= 8);
}

/* Lines that come now and then go at once, all of them. */
static void
test_pump_slow_lines(void **state)
{
	uint64_t said = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 200; i++) {
		clock_set_for_test((1001 + i) * US_PER_S);
		assert_false(line_waits(&said));
	}
}

/* The end does not get lost in a wait, nor what was said before it. */
static void
test_pump_end_of_a_stream(void **state)
{
	uint64_t said = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 200 && !line_waits(&said); i++)
		;
	say();
	said += strlen(LINE);
	fd_close(&in);
	while (ended == 0)
		loop_once(loop, 0);
	assert_int_equal(pump_bytes(pump), said);
	assert_int_equal(pump_src(pump), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_pump_stream_of_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pump_dialogue, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pump_slow_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pump_end_of_a_stream, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

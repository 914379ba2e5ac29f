/*
 * keeper/backoff: at once the first time, growing, bounded by what waits.
 */
#include "keeper/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void
test_backoff_first_death_costs_nothing(void **state)
{
	(void)state;
	assert_int_equal(backoff_us(&(struct backoff){.deaths = 0}), 0);
	assert_int_equal(backoff_us(&(struct backoff){.deaths = 1}), 0);
}

static void
test_backoff_grows_and_stops_growing(void **state)
{
	uint64_t last = 0, us;
	uint32_t n;

	(void)state;
	for (n = 2; n < 20; n++) {
		us = backoff_us(&(struct backoff){.deaths = n});
		assert_true(us > last || us == 30 * US_PER_S);
		last = us;
	}
	assert_int_equal(last, 30 * US_PER_S);
	assert_int_equal(
	    backoff_us(&(struct backoff){.deaths = UINT32_MAX}), 30 * US_PER_S);
}

/* containerd gives up a Connect after 5 s, a Shutdown after 3, a State after 2 */
static void
test_backoff_stays_below_containerds_patience(void **state)
{
	uint32_t n;

	(void)state;
	for (n = 0; n < 100; n++)
		assert_true(backoff_us(&(struct backoff){.deaths = n, .urgent = true}) <=
		    US_PER_S);
}

/* P1: any number of kills from outside, recovery within 250 ms */
static void
test_backoff_does_not_punish_the_killed(void **state)
{
	uint32_t n;

	(void)state;
	for (n = 0; n < 100; n++)
		assert_true(backoff_us(&(struct backoff){.deaths = n, .killed = true}) <=
		    100 * US_PER_MS);
}

static void
test_backoff_hopeless_is_slow_whatever_waits(void **state)
{
	(void)state;
	assert_int_equal(backoff_us(&(struct backoff){.hopeless = true, .urgent = true}),
	    30 * US_PER_S);
}

/* What holds them holds the next one, too; and yet it may let go some day. */
static void
test_backoff_stuck_is_ever_slower(void **state)
{
	uint32_t n;

	(void)state;
	assert_int_equal(backoff_us(&(struct backoff){.stuck = 2, .deaths = 1}), 0);
	for (n = 3; n < 100; n++)
		assert_int_equal(
		    backoff_us(&(struct backoff){
			.stuck = n, .deaths = n, .urgent = true, .killed = true}),
		    (30 * US_PER_S) << (n < 8 ? n - 3 : 5));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backoff_first_death_costs_nothing),
	    cmocka_unit_test(test_backoff_grows_and_stops_growing),
	    cmocka_unit_test(test_backoff_stays_below_containerds_patience),
	    cmocka_unit_test(test_backoff_does_not_punish_the_killed),
	    cmocka_unit_test(test_backoff_hopeless_is_slow_whatever_waits),
	    cmocka_unit_test(test_backoff_stuck_is_ever_slower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

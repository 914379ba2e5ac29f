/*
 * Clocks: thin, so that tests can turn one of them.
 */
#include "base/clock.h"

#include <time.h>
#include <unistd.h>

static boot_us_t clock_fixed;

boot_us_t
clock_boot_us(void)
{
	struct timespec ts;

	if (clock_fixed != 0)
		return clock_fixed;
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

int64_t
clock_real_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t
clock_boot_ticks(void)
{
	return clock_boot_us() / (US_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

void
clock_set_for_test(boot_us_t now)
{
	clock_fixed = now;
}

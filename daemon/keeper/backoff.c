/*
 * The back-off as a function of what led to it: no state, no clock.
 */
#include "keeper/backoff.h"

#include "keeper/limits.h"

static uint64_t
at_most(uint64_t us, uint64_t limit)
{
	return us < limit ? us : limit;
}

uint64_t
backoff_us(const struct backoff *b)
{
	uint64_t us = LIMIT_BACKOFF_FIRST_US;
	uint32_t i;

	if (b->stuck >= LIMIT_LEFT_FEW)
		return LIMIT_BACKOFF_MAX_US
		    << (at_most(b->stuck, LIMIT_LEFT) - LIMIT_LEFT_FEW);
	if (b->hopeless)
		return LIMIT_BACKOFF_MAX_US;
	if (b->deaths <= 1)
		return 0;
	for (i = 2; i < b->deaths && us < LIMIT_BACKOFF_MAX_US; i++)
		us *= 2;
	us = at_most(us, LIMIT_BACKOFF_MAX_US);
	if (b->killed)
		us = at_most(us, LIMIT_BACKOFF_KILLED_US);
	if (b->urgent)
		us = at_most(us, LIMIT_BACKOFF_BUSY_US);
	return us;
}

/*
 * Included in front of everything, behind config.h, in keeper_hasty: the keeper
 * with short times, for tests of what takes minutes in life.
 */
#ifndef PODSHIM_TESTS_KEEPER_HASTY_H
#define PODSHIM_TESTS_KEEPER_HASTY_H

#include <stdlib.h>

#include "keeper/limits.h"

/* Seconds; long for those that do not wait for it, or a busy machine exceeds it. */
static inline boot_us_t
hasty_boot_us(void)
{
	return strtoull(getenv("KEEPER_TEST_HASTY"), NULL, 10) * US_PER_S;
}

#undef LIMIT_BOOT_US
#define LIMIT_BOOT_US hasty_boot_us()
#undef LIMIT_BOOT_ALL_US
#define LIMIT_BOOT_ALL_US (4 * US_PER_S)
#undef LIMIT_UPGRADE_US
#define LIMIT_UPGRADE_US hasty_boot_us()
#undef LIMIT_KILL_US
#define LIMIT_KILL_US (200 * US_PER_MS)
#undef LIMIT_YOUNG_US
#define LIMIT_YOUNG_US (200 * US_PER_MS)
#undef LIMIT_BOOTS_LAST_US
#define LIMIT_BOOTS_LAST_US (3 * US_PER_S)

#endif

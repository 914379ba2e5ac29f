/*
 * Included in front of everything, behind config.h, in keeper_hasty: the keeper
 * with short times, for tests of what takes minutes in life.
 */
#ifndef PODSHIM_TESTS_KEEPER_HASTY_H
#define PODSHIM_TESTS_KEEPER_HASTY_H

#include "keeper/limits.h"

#undef LIMIT_BOOT_US
#define LIMIT_BOOT_US (1 * US_PER_S)
#undef LIMIT_BOOT_ALL_US
#define LIMIT_BOOT_ALL_US (4 * US_PER_S)
#undef LIMIT_UPGRADE_US
#define LIMIT_UPGRADE_US (1 * US_PER_S)
#undef LIMIT_KILL_US
#define LIMIT_KILL_US (200 * US_PER_MS)
#undef LIMIT_YOUNG_US
#define LIMIT_YOUNG_US (200 * US_PER_MS)
#undef LIMIT_BOOTS_LAST_US
#define LIMIT_BOOTS_LAST_US (3 * US_PER_S)

#endif

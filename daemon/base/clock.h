/*
 * Clocks. Microseconds since boot (CLOCK_BOOTTIME: it also counts suspend, and two processes of one
 * machine agree on it) for deadlines; nanoseconds since 1970 for what people read.
 */
#ifndef PODSHIM_BASE_CLOCK_H
#define PODSHIM_BASE_CLOCK_H

#include <stdint.h>

typedef uint64_t boot_us_t;

/* Now, in microseconds since boot. */
boot_us_t clock_boot_us(void);
/* Now, in nanoseconds since 1970 UTC. */
int64_t clock_real_ns(void);
/* Now, in clock ticks since boot: the unit of field 22 of /proc/PID/stat. */
uint64_t clock_boot_ticks(void);

/*
 * Tests turn the clock: a fixed value instead of the system's; 0 goes back.
 */
void clock_set_for_test(boot_us_t now);

#define US_PER_S  UINT64_C(1000000)
#define US_PER_MS UINT64_C(1000)
#define NS_PER_S  INT64_C(1000000000)

#endif

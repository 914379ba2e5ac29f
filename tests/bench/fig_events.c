/* How long an event takes, and what it costs, by either transport. */
#include "tests/bench/bench.h"

void
fig_events(void)
{
}

/* conmon, where it does the same work: one container without a terminal. */
#include "tests/bench/bench.h"

void
fig_conmon(void)
{
}

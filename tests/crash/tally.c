/*
 * Chance, clocks, faults and the table.
 */
#include "crash.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define FAULTS_SHOWN 60u

static const char *const names[FAULT_N] = {"container deaths", "closed connections",
    "requests never answered", "double answers", "wrong answers",
    "wrong statuses or times", "lost or wrong events", "reordered events",
    "lost or torn output", "effects not exactly once", "leaks",
    "over 2 s without an answer", "other"};

const char *
fault_name(enum fault f)
{
	return names[f];
}

uint64_t
now_us(void)
{
	return clock_boot_us();
}

static uint64_t
next(void)
{
	static uint64_t state;
	uint64_t z;

	if (state == 0)
		state = opt.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	z = state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t
rnd(uint32_t n)
{
	return (uint32_t)(next() % n);
}

bool
chance(unsigned percent)
{
	return rnd(100) < percent;
}

static void
print_line(FILE *to, const char *prefix, const char *fmt, va_list ap)
{
	struct timespec ts;
	char text[1024];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (to == NULL)
		return;
	(void)fprintf(to, "# %02ld:%02ld.%03ld %s%s\n", ts.tv_sec / 60 % 60,
	    ts.tv_sec % 60, ts.tv_nsec / 1000000, prefix, text);
}

void
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(stdout, "", fmt, ap);
	va_end(ap);
}

/* What happened, in a file: to be read if something went wrong. */
void
trace(const char *fmt, ...)
{
	static FILE *to;
	va_list ap;

	if (to == NULL) {
		AUTO_FREE char *path = mem_printf("%s/trace", tmp_dir);

		to = opt.verbose ? stdout : fopen(path, "we");
	}
	va_start(ap, fmt);
	print_line(to, "", fmt, ap);
	va_end(ap);
}

void
fault(enum fault f, const char *fmt, ...)
{
	va_list ap;

	tally.faults[f]++;
	trace("a fault: %s", fault_name(f));
	if (faults_total() <= FAULTS_SHOWN) {
		va_start(ap, fmt);
		print_line(stdout, "FAULT ", fmt, ap);
		va_end(ap);
	}
	if (opt.stop) {
		say("stopped at the first fault; everything is left as it is in %s",
		    tmp_dir);
		exit(1);
	}
}

unsigned long
faults_total(void)
{
	unsigned long sum = 0;
	int i;

	for (i = 0; i < FAULT_N; i++)
		sum += tally.faults[i];
	return sum;
}

void
note_recovery(uint64_t us)
{
	if (tally.n_recovery == tally.cap_recovery) {
		tally.cap_recovery = tally.cap_recovery * 2 + 64;
		tally.recovery_us = mem_realloc(
		    tally.recovery_us, tally.cap_recovery * sizeof tally.recovery_us[0]);
	}
	tally.recovery_us[tally.n_recovery++] = (uint32_t)us;
}

static int
compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void
tally_print(double seconds)
{
	size_t n = tally.n_recovery;
	int i;

	qsort(tally.recovery_us, n, sizeof tally.recovery_us[0], compare);
	(void)printf("\n%-30s %10.1f\n", "seconds", seconds);
	(void)printf("%-30s %10lu\n", "kills", tally.kills);
	(void)printf("%-30s %10lu\n", "  while it was starting", tally.kills_boot);
	(void)printf("%-30s %10lu\n", "  at a named point", tally.kills_point);
	(void)printf("%-30s %10lu\n", "pods", tally.pods);
	(void)printf("%-30s %10lu\n", "containers", tally.containers);
	(void)printf("%-30s %10lu\n", "execs", tally.execs);
	(void)printf("%-30s %10lu\n", "requests", tally.requests);
	(void)printf("%-30s %10lu\n", "events", tally.events);
	(void)printf("%-30s %10lu\n", "  of them repeated", tally.repeated_events);
	(void)printf(
	    "%-30s %10llu\n", "stdio, KB", (unsigned long long)tally.bytes / 1000);
	if (n > 0) {
		(void)printf("%-30s %10.1f\n", "kill to next answer, ms: p50",
		    tally.recovery_us[n / 2] / 1e3);
		(void)printf(
		    "%-30s %10.1f\n", "  p90", tally.recovery_us[n * 9 / 10] / 1e3);
		(void)printf("%-30s %10.1f\n", "  worst", tally.recovery_us[n - 1] / 1e3);
	}
	for (i = 0; i < FAULT_N; i++)
		(void)printf("%-30s %10lu\n", names[i], tally.faults[i]);
}

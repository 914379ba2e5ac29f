/*
 * Counters for `podshimctl metrics`: how long requests and runtime commands
 * took, how events were delivered. Fixed memory, nothing is allocated and
 * nothing is written: they begin anew with each worker.
 */
#ifndef PODSHIM_WORKER_METER_H
#define PODSHIM_WORKER_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum meter_kind { METER_REQUEST, METER_COMMAND, METER_EVENT, METER_KINDS };

#define METER_BUCKETS 12 /* the last one: longer than all bounds */
/* Upper ends of the buckets but the last, in microseconds. */
extern const uint64_t meter_bounds_us[METER_BUCKETS - 1];

struct meter {
	const char *name; /* "Create", "kill", "ttrpc" */
	uint32_t buckets[METER_BUCKETS];
	uint64_t count;
	uint64_t failed;
	uint64_t sum_us;
};

/* name: a string that lives for ever. One name too many is not counted. */
void meter_add(enum meter_kind kind, const char *name, uint64_t took_us, bool failed);
/* The i-th of a kind; NULL: there are no more. */
const struct meter *meter_get(enum meter_kind kind, size_t i);

#endif

#include "worker/meter.h"

#include <string.h>

#define METER_ROWS 24 /* of each kind: more than there are methods */

const uint64_t meter_bounds_us[METER_BUCKETS - 1] = {
    500, 1000, 2500, 5000, 10000, 25000, 100000, 250000, 1000000, 5000000, 30000000};

static struct meter meters[METER_KINDS][METER_ROWS];

static struct meter *
meter_find(enum meter_kind kind, const char *name)
{
	struct meter *m;

	for (m = meters[kind]; m < meters[kind] + METER_ROWS; m++) {
		if (m->name == NULL)
			m->name = name;
		if (m->name == name || strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

void
meter_add(enum meter_kind kind, const char *name, uint64_t took_us, bool failed)
{
	struct meter *m = meter_find(kind, name);
	size_t i;

	if (m == NULL)
		return;
	for (i = 0; i < METER_BUCKETS - 1 && took_us > meter_bounds_us[i]; i++)
		;
	m->buckets[i]++;
	m->count++;
	m->failed += failed;
	m->sum_us += took_us;
}

const struct meter *
meter_get(enum meter_kind kind, size_t i)
{
	return i < METER_ROWS && meters[kind][i].name != NULL ? &meters[kind][i] : NULL;
}

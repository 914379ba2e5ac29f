/*
 * What containers use, for `stats` and `top`.
 */
#ifndef PODSHIM_CLIENT_STATS_H
#define PODSHIM_CLIENT_STATS_H

#include <stddef.h>

#include "client/find.h"
#include "client/sheet.h"
#include "client/usage.h"

struct stats_row {
	char *ns;
	char *pod;
	char *container;
	const char *status;
	struct usage usage;
	double cpu_percent; /* -1: not known yet */
};

struct stats {
	struct stats_row *v;
	size_t n;
};

extern const struct column stats_columns[];

/* The containers that have a cgroup: of all pods, of one, or one alone. */
void stats_read(const struct pods *pods, const struct found *only, struct stats *out);
void stats_fini(struct stats *stats);
/* Fill in cpu_percent, from an earlier reading. */
void stats_compare(struct stats *now, const struct stats *before);
void stats_add(struct sheet *sheet, const struct stats_row *row);

#endif

/*
 * podshimctl stats: what containers use, once.
 */
#include <poll.h>

#include "client/stats.h"
#include "client/verbs.h"

#define BETWEEN_MS 500 /* the two readings that the CPU's percentage is made of */

static void
show(struct ctl *ctl, const struct pods *pods, const struct found *only)
{
	struct sheet *sheet = sheet_new(ctl, stats_columns);
	struct stats before, now;
	size_t i;

	stats_read(pods, only, &before);
	if (before.n > 0)
		(void)poll(NULL, 0, BETWEEN_MS);
	stats_read(pods, only, &now);
	stats_compare(&now, &before);
	for (i = 0; i < now.n; i++)
		stats_add(sheet, &now.v[i]);
	sheet_print(sheet);
	sheet_free(sheet);
	stats_fini(&before);
	stats_fini(&now);
}

static int
cmd_stats(struct ctl *ctl)
{
	struct pods pods = {0};
	struct found one;
	int rc, found = CTL_OK;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl->argc == 1)
		found = find_any(ctl, &pods, ctl->argv[0], &one);
	if (found == CTL_OK)
		show(ctl, &pods, ctl->argc == 1 ? &one : NULL);
	pods_fini(&pods);
	return found == CTL_OK ? rc : found;
}

const struct ctl_verb verb_stats = {
    .name = "stats",
    .group = GROUP_SEE,
    .args = "[POD|CONTAINER]",
    .summary = "what containers use",
    .text = "Read from the cgroups, so it works with everything else dead. CPU% is over\n"
	    "half a second, 100 is one processor. MEMORY is without file pages that the\n"
	    "kernel could drop at once. READ and WRITTEN are block devices.",
    .examples = "  podshimctl stats web\n"
		"  podshimctl stats -o json | jq 'max_by(.memory_bytes)'",
    .max_args = 1,
    .run = cmd_stats,
};

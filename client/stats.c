#include "client/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/process.h"

const struct column stats_columns[] = {
    {"NAMESPACE", "namespace", 0},
    {"POD", "pod", 0},
    {"CONTAINER", "container", 0},
    {"STATUS", "status", SHOW_WIDE},
    {"CPU%", "cpu_percent", 0},
    {"CPU", "cpu_seconds", 0},
    {"MEMORY", "memory_bytes", 0},
    {"LIMIT", "memory_limit_bytes", 0},
    {"PIDS", "pids", 0},
    {"PIDS-LIMIT", "pids_limit", SHOW_WIDE},
    {"READ", "read_bytes", 0},
    {"WRITTEN", "written_bytes", 0},
    {0},
};

static void
row_read(const struct pod *pod, const struct container_info *c, struct stats *out)
{
	struct usage usage;

	if (!usage_read(c, &usage))
		return;
	out->v = mem_realloc(out->v, (out->n + 1) * sizeof *out->v);
	out->v[out->n++] = (struct stats_row){
	    .ns = mem_strdup(pod->ns),
	    .pod = mem_strdup(pod->group),
	    .container = mem_strdup(c->id),
	    .status = process_status(c, c->n_processes == 0 ? NULL : &c->processes[0]),
	    .usage = usage,
	    .cpu_percent = -1,
	};
}

void
stats_read(const struct pods *pods, const struct found *only, struct stats *out)
{
	const struct container_info *c;
	size_t i, j;

	*out = (struct stats){0};
	for (i = 0; i < pods->n; i++) {
		if (only != NULL && only->pod != &pods->v[i])
			continue;
		for (j = 0; j < pods->v[i].n_containers; j++) {
			c = &pods->v[i].containers[j];
			if (only == NULL || only->container == NULL ||
			    only->container == c)
				row_read(&pods->v[i], c, out);
		}
	}
}

void
stats_fini(struct stats *stats)
{
	size_t i;

	for (i = 0; i < stats->n; i++) {
		free(stats->v[i].ns);
		free(stats->v[i].pod);
		free(stats->v[i].container);
	}
	free(stats->v);
	*stats = (struct stats){0};
}

static bool
is_same(const struct stats_row *a, const struct stats_row *b)
{
	return strcmp(a->container, b->container) == 0 && strcmp(a->pod, b->pod) == 0 &&
	    strcmp(a->ns, b->ns) == 0;
}

void
stats_compare(struct stats *now, const struct stats *before)
{
	size_t i, j;

	for (i = 0; i < now->n; i++)
		for (j = 0; j < before->n; j++)
			if (is_same(&now->v[i], &before->v[j]))
				now->v[i].cpu_percent = usage_cpu_percent(
				    &before->v[j].usage, &now->v[i].usage);
}

void
stats_add(struct sheet *sheet, const struct stats_row *row)
{
	const struct usage *u = &row->usage;

	sheet_text(sheet, row->ns);
	sheet_text(sheet, row->pod);
	sheet_text(sheet, row->container);
	sheet_state(sheet, row->status, term_look_of_state(row->status));
	sheet_real(sheet, row->cpu_percent, 1);
	sheet_span(sheet, u->cpu_ns);
	sheet_bytes(sheet, u->memory);
	sheet_bytes(sheet, u->memory_limit);
	sheet_num(sheet, u->pids);
	sheet_num(sheet, u->pids_limit);
	sheet_bytes(sheet, u->read_bytes);
	sheet_bytes(sheet, u->written_bytes);
}

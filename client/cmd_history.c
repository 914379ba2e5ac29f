/*
 * podshimctl history: what happened to containers and execs, as the worker
 * wrote it down. Arguments of execs and of the commands of `debug` may hold secrets:
 * they are shown when asked for only.
 */
#include <string.h>

#include "base/mem.h"
#include "client/past.h"
#include "client/sheet.h"
#include "client/verbs.h"

static const struct column columns[] = {
    {"TIME", "time", 0},
    {"NAMESPACE", "namespace", SHOW_WIDE},
    {"POD", "pod", 0},
    {"CONTAINER", "container", 0},
    {"EXEC", "exec", 0},
    {"WHAT", "what", 0},
    {"DETAIL", "detail", 0},
    {0},
};

struct show {
	struct sheet *sheet;
	bool args;
};

/* "sh -c 'x y'": the program, and dots for the rest. */
static char *
without_args(const char *detail)
{
	size_t len = strcspn(detail, " ");

	if (*detail == '\'') { /* quoted: up to a quote with nothing more behind it */
		for (len = 1; detail[len] != '\0' &&
		     !(detail[len] == '\'' &&
			 (detail[len + 1] == ' ' || detail[len + 1] == '\0'));
		     len++)
			;
		len += detail[len] != '\0';
	}
	return detail[len] == '\0' ? mem_strdup(detail)
				   : mem_printf("%.*s ...", (int)len, detail);
}

static bool
is_command(const struct past_line *l)
{
	return strcmp(l->what, "exec") == 0 || strcmp(l->what, "trace") == 0 ||
	    strncmp(l->what, "debug-", 6) == 0;
}

static void
line_row(struct show *s, const struct past_line *l)
{
	AUTO_FREE char *detail =
	    is_command(l) && !s->args ? without_args(l->detail) : mem_strdup(l->detail);

	sheet_time(s->sheet, l->t);
	sheet_text(s->sheet, l->ns);
	sheet_text(s->sheet, l->pod);
	sheet_text(s->sheet, l->container);
	sheet_text(s->sheet, l->exec_id);
	sheet_text(s->sheet, l->what);
	sheet_text(s->sheet, detail);
}

static void
show(const struct past *past, void *arg)
{
	struct show *s = arg;
	size_t i;

	for (i = 0; i < past->n_lines; i++)
		line_row(s, &past->lines[i]);
	sheet_flush(s->sheet);
}

static int
cmd_history(struct ctl *ctl)
{
	bool follow = ctl_option(ctl, "follow") != NULL;
	struct show s = {.args = ctl_option(ctl, "args") != NULL};
	int rc;

	if (follow && ctl->format == FORMAT_JSON)
		ctl->format = FORMAT_JSONL;
	s.sheet = sheet_new(ctl, columns);
	rc = past_run(ctl, PAST_LINES, follow, show, &s);
	sheet_free(s.sheet);
	return rc;
}

static const struct ctl_option options[] = {
    {"args", 0, NULL, "with the arguments of commands, which may hold secrets"},
    {"follow", 'f', NULL, "go on with what comes; with -o json as with jsonl"},
    {0},
};

const struct ctl_verb verb_history = {
    .name = "history",
    .group = GROUP_SEE,
    .args = "[POD|CONTAINER]",
    .summary = "what happened to containers and execs",
    .text =
	"The pod keeps the last 768 lines of containers and the last 256 of execs. A\n"
	"container that has been deleted is found here as long as there are lines of it.",
    .options = options,
    .examples = "  podshimctl history web --exact\n"
		"  podshimctl history web/front --args",
    .max_args = 1,
    .run = cmd_history,
};

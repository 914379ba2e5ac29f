/*
 * See finding.h. For people the worst stand first, one paragraph each, folded to the
 * terminal; for programs they stand in the order in which they were found.
 */
#include "client/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/json.h"
#include "client/term.h"
#include "client/text.h"

#define INDENT	 2u
#define FOLD_MIN 40u

static const char *const words[] = {
    [FINDING_NOTE] = "note", [FINDING_WARNING] = "warning", [FINDING_BAD] = "bad"};

void
finding_add(struct findings *f, enum severity severity, const char *code,
    const char *subject, const char *advice, const char *fmt, ...)
{
	struct finding *one;
	va_list ap;

	f->v = mem_realloc(f->v, (f->n + 1) * sizeof *f->v);
	one = &f->v[f->n++];
	*one = (struct finding){.severity = severity,
	    .code = code,
	    .subject = mem_strdup(subject),
	    .advice = mem_strdup(advice)};
	va_start(ap, fmt);
	if (vasprintf(&one->text, fmt, ap) < 0)
		abort();
	va_end(ap);
}

void
findings_fini(struct findings *f)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		free(f->v[i].subject);
		free(f->v[i].text);
		free(f->v[i].advice);
	}
	free(f->v);
	*f = (struct findings){0};
}

size_t
findings_count(const struct findings *f, enum severity least)
{
	size_t i, n = 0;

	for (i = 0; i < f->n; i++)
		n += f->v[i].severity >= least;
	return n;
}

/* --- printing --------------------------------------------------------------------- */

/* Words of s, broken into lines of at most width, each indented. */
static void
print_folded(FILE *out, const char *s, unsigned width)
{
	AUTO_FREE char *safe = text_safe(s);
	char *word, *save = NULL;
	unsigned column = 0, len;

	for (word = strtok_r(safe, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		len = (unsigned)text_width(word);
		if (column > 0 && width > 0 && INDENT + column + 1 + len > width) {
			(void)fputc('\n', out);
			column = 0;
		}
		column +=
		    (unsigned)fprintf(out, "%*s", column == 0 ? (int)INDENT : 1, "") > 0
		    ? len + (column > 0)
		    : 0;
		(void)fputs(word, out);
	}
	(void)fputc('\n', out);
}

static void
print_one(struct ctl *ctl, const struct finding *one)
{
	unsigned width = term_width(ctl->out);
	bool colours = term_has_colours(ctl->out);
	AUTO_FREE char *subject = text_safe(one->subject);
	enum look look = one->severity == FINDING_BAD ? LOOK_BAD
	    : one->severity == FINDING_WARNING	      ? LOOK_WARN
						      : LOOK_PLAIN;

	(void)fprintf(ctl->out, "%s%s%s  %s\n", colours ? term_look(look) : "",
	    words[one->severity], colours && look != LOOK_PLAIN ? TERM_LOOK_END : "",
	    subject);
	if (width > 0 && width < FOLD_MIN)
		width = FOLD_MIN;
	print_folded(ctl->out, one->text, width);
	if (one->advice != NULL) {
		AUTO_FREE char *line = mem_printf("-> %s", one->advice);

		print_folded(ctl->out, line, width);
	}
}

static json_t *
finding_json(const struct finding *one)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "severity", words[one->severity],
	    "code", one->code, "subject", js_text(one->subject), "text",
	    js_text(one->text), "advice",
	    js_name(one->advice == NULL ? "" : one->advice));
}

void
findings_print(struct ctl *ctl, const struct findings *f, const char *healthy)
{
	json_t *array;
	size_t i;
	int s;

	if (ctl_is_json(ctl)) {
		array = json_array();
		for (i = 0; i < f->n; i++)
			(void)json_array_append_new(array, finding_json(&f->v[i]));
		js_print(ctl, array);
		return;
	}
	for (s = FINDING_BAD; s >= FINDING_NOTE; s--)
		for (i = 0; i < f->n; i++)
			if ((int)f->v[i].severity == s)
				print_one(ctl, &f->v[i]);
	if (findings_count(f, FINDING_WARNING) == 0)
		(void)fprintf(ctl->out, "%s\n", healthy);
}

/*
 * Aligned columns: two passes, the first over the widths.
 */
#include "client/table.h"

#include <string.h>

#include "base/mem.h"
#include "client/text.h"

#define GAP	  2 /* blanks between columns */
#define WIDTH_MIN 6 /* no column is cut below, */
#define HEAD_MIN  5 /* nor is a head */

struct table {
	size_t columns;
	struct strv cells; /* safe; the heads first */
	unsigned char *looks;
	/* of what has been flushed */
	size_t *widths;
	size_t *bodies;
};

static void
table_put(struct table *t, const char *safe, enum look look)
{
	strv_add(&t->cells, safe);
	t->looks = mem_realloc(t->looks, t->cells.n);
	t->looks[t->cells.n - 1] = (unsigned char)look;
}

struct table *
table_new(const char *const *heads)
{
	struct table *t = mem_zalloc(sizeof *t);

	for (; heads[t->columns] != NULL; t->columns++)
		table_put(t, heads[t->columns], LOOK_HEAD);
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	strv_fini(&t->cells);
	free(t->looks);
	free(t->widths);
	free(t->bodies);
	free(t);
}

void
table_add_look(struct table *t, const char *text, enum look look)
{
	AUTO_FREE char *safe = text_safe(text == NULL || *text == '\0' ? "-" : text);

	table_put(t, safe, look);
}

void
table_add(struct table *t, const char *text)
{
	table_add_look(t, text, LOOK_PLAIN);
}

void
table_add_num(struct table *t, int64_t n)
{
	AUTO_FREE char *text = mem_printf("%lld", (long long)n);

	table_put(t, text, LOOK_PLAIN);
}

/* By how much is the head wider than what stands below it, as far as it may be cut? */
static size_t
head_surplus(size_t width, size_t body)
{
	size_t least = body > HEAD_MIN ? body : HEAD_MIN;

	return width > least ? width - least : 0;
}

/*
 * Until it fits or nothing more can go, one by one: first from heads, which people
 * know also by their beginning, then from the widest.
 */
static void
widths_cut(size_t *widths, const size_t *bodies, size_t n, size_t columns)
{
	size_t i, widest, sum = 0;

	for (i = 0; i < n; i++)
		sum += widths[i] + (i > 0 ? GAP : 0);
	while (sum > columns) {
		widest = 0;
		for (i = 1; i < n; i++)
			if (head_surplus(widths[i], bodies[i]) >
			    head_surplus(widths[widest], bodies[widest]))
				widest = i;
		if (head_surplus(widths[widest], bodies[widest]) == 0)
			break;
		widths[widest]--;
		sum--;
	}
	while (sum > columns) {
		widest = 0;
		for (i = 1; i < n; i++)
			if (widths[i] >= widths[widest])
				widest = i;
		if (widths[widest] <= WIDTH_MIN)
			return;
		widths[widest]--;
		sum--;
	}
}

static void
cell_print(const struct table *t, size_t i, size_t width, bool colours, FILE *out)
{
	AUTO_FREE char *cut = text_cut(t->cells.v[i], width);
	bool looks = colours && t->looks[i] != LOOK_PLAIN;
	size_t column = i % t->columns;

	if (looks)
		(void)fputs(term_look((enum look)t->looks[i]), out);
	(void)fputs(cut, out);
	if (looks)
		(void)fputs(TERM_LOOK_END, out);
	if (column + 1 == t->columns || i + 1 == t->cells.n)
		(void)fputc('\n', out);
	else
		(void)fprintf(out, "%*s", (int)(width - text_width(cut) + GAP), "");
}

/* At least what is needed for all cells from `from` on. */
static void
widths_grow(const struct table *t, size_t from, size_t *widths)
{
	size_t i, width;

	for (i = from; i < t->cells.n; i++) {
		width = text_width(t->cells.v[i]);
		if (width > widths[i % t->columns])
			widths[i % t->columns] = width;
	}
}

static void
rows_print(const struct table *t, size_t from, const size_t *wanted, const size_t *bodies,
    FILE *out, unsigned columns, bool colours)
{
	size_t i, *widths = mem_dup(wanted, t->columns * sizeof *widths);

	if (columns > 0)
		widths_cut(widths, bodies, t->columns, columns);
	for (i = from; i < t->cells.n; i++)
		cell_print(t, i, widths[i % t->columns], colours, out);
	free(widths);
}

void
table_print_at(struct table *t, FILE *out, unsigned columns, bool colours)
{
	size_t *widths = mem_zalloc(t->columns * sizeof *widths);
	size_t *bodies = mem_zalloc(t->columns * sizeof *bodies);

	widths_grow(t, 0, widths);
	widths_grow(t, t->columns, bodies);
	rows_print(t, 0, widths, bodies, out, columns, colours);
	free(widths);
	free(bodies);
}

void
table_print(struct table *t, FILE *out)
{
	table_print_at(t, out, term_width(out), term_has_colours(out));
}

void
table_flush(struct table *t, FILE *out)
{
	size_t from = t->widths == NULL ? 0 : t->columns;

	if (t->widths == NULL) {
		t->widths = mem_zalloc(t->columns * sizeof *t->widths);
		t->bodies = mem_zalloc(t->columns * sizeof *t->bodies);
	}
	widths_grow(t, from, t->widths);
	widths_grow(t, t->columns, t->bodies);
	rows_print(
	    t, from, t->widths, t->bodies, out, term_width(out), term_has_colours(out));
	/* the head stays, so that cells are counted from a row's beginning */
	while (t->cells.n > t->columns)
		free(t->cells.v[--t->cells.n]);
	t->cells.v[t->cells.n] = NULL;
}

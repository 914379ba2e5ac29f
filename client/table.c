/*
 * Aligned columns: two passes, the first over the widths.
 */
#include "client/table.h"

#include <string.h>

#include "base/mem.h"
#include "client/text.h"

#define GAP	  2 /* blanks between columns */
#define WIDTH_MIN 6 /* no column is cut below */

struct table {
	size_t columns;
	struct strv cells; /* safe; the heads first */
	unsigned char *looks;
	size_t *widths; /* of what has been flushed */
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

/* Take from the widest, one by one, until it fits or nothing more can go. */
static void
widths_cut(size_t *widths, size_t n, size_t columns)
{
	size_t i, widest, sum = 0;

	for (i = 0; i < n; i++)
		sum += widths[i] + (i > 0 ? GAP : 0);
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
rows_print(const struct table *t, size_t from, const size_t *wanted, FILE *out,
    unsigned columns, bool colours)
{
	size_t i, *widths = mem_dup(wanted, t->columns * sizeof *widths);

	if (columns > 0)
		widths_cut(widths, t->columns, columns);
	for (i = from; i < t->cells.n; i++)
		cell_print(t, i, widths[i % t->columns], colours, out);
	free(widths);
}

void
table_print_at(struct table *t, FILE *out, unsigned columns, bool colours)
{
	size_t *widths = mem_zalloc(t->columns * sizeof *widths);

	widths_grow(t, 0, widths);
	rows_print(t, 0, widths, out, columns, colours);
	free(widths);
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

	if (t->widths == NULL)
		t->widths = mem_zalloc(t->columns * sizeof *t->widths);
	widths_grow(t, from, t->widths);
	rows_print(t, from, t->widths, out, term_width(out), term_has_colours(out));
	/* the head stays, so that cells are counted from a row's beginning */
	while (t->cells.n > t->columns)
		free(t->cells.v[--t->cells.n]);
	t->cells.v[t->cells.n] = NULL;
}

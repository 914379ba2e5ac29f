/*
 * Aligned columns: two passes, the first over the widths.
 */
#include "client/table.h"

#include <string.h>

#include "base/mem.h"
#include "client/text.h"

struct table {
	size_t columns;
	struct strv cells; /* safe; the heads first */
};

struct table *
table_new(const char *const *heads)
{
	struct table *t = mem_zalloc(sizeof *t);

	for (; heads[t->columns] != NULL; t->columns++)
		strv_add(&t->cells, heads[t->columns]);
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	strv_fini(&t->cells);
	free(t);
}

void
table_add(struct table *t, const char *text)
{
	AUTO_FREE char *safe = text_safe(text == NULL || *text == '\0' ? "-" : text);

	strv_add(&t->cells, safe);
}

void
table_add_num(struct table *t, int64_t n)
{
	strv_addf(&t->cells, "%lld", (long long)n);
}

void
table_print(struct table *t, FILE *out)
{
	size_t i, column, width, *widths = mem_zalloc(t->columns * sizeof *widths);

	for (i = 0; i < t->cells.n; i++) {
		width = text_width(t->cells.v[i]);
		if (width > widths[i % t->columns])
			widths[i % t->columns] = width;
	}
	for (i = 0; i < t->cells.n; i++) {
		column = i % t->columns;
		(void)fputs(t->cells.v[i], out);
		if (column + 1 == t->columns || i + 1 == t->cells.n)
			(void)fputc('\n', out);
		else
			(void)fprintf(out, "%*s",
			    (int)(widths[column] - text_width(t->cells.v[i]) + 2), "");
	}
	free(widths);
}

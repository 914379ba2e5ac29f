/*
 * One cell at a time: into the table, or into the JSON object of the row.
 */
#include "client/sheet.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/json.h"
#include "client/table.h"
#include "client/text.h"

struct sheet {
	struct ctl *ctl;
	const struct column *columns;
	size_t n_columns;
	size_t at;	     /* the next cell's column */
	struct table *table; /* or */
	json_t *row;
	json_t *rows;
};

static bool
column_shown(const struct sheet *s, const struct column *c)
{
	return c->head != NULL &&
	    (c->show == SHOW_ALWAYS || s->ctl->format == FORMAT_WIDE);
}

static struct table *
sheet_table(const struct sheet *s)
{
	const char **heads = mem_zalloc((s->n_columns + 1) * sizeof *heads);
	struct table *table;
	size_t i, n = 0;

	for (i = 0; i < s->n_columns; i++)
		if (column_shown(s, &s->columns[i]))
			heads[n++] = s->columns[i].head;
	table = table_new(heads);
	free(heads);
	return table;
}

struct sheet *
sheet_new(struct ctl *ctl, const struct column *columns)
{
	struct sheet *s = mem_zalloc(sizeof *s);

	s->ctl = ctl;
	s->columns = columns;
	while (columns[s->n_columns].head != NULL || columns[s->n_columns].key != NULL)
		s->n_columns++;
	if (ctl_is_json(ctl))
		s->rows = json_array();
	else
		s->table = sheet_table(s);
	return s;
}

void
sheet_free(struct sheet *s)
{
	if (s == NULL)
		return;
	table_free(s->table);
	json_decref(s->row);
	json_decref(s->rows);
	free(s);
}

static void
row_end(struct sheet *s)
{
	s->at = 0;
	if (s->rows == NULL)
		return;
	if (s->ctl->format == FORMAT_JSONL)
		js_print(s->ctl, s->row);
	else
		(void)json_array_append_new(s->rows, s->row);
	s->row = NULL;
}

/* The two ways of one cell; takes the reference, which is NULL for tables. */
static void
cell(struct sheet *s, const char *shown, enum look look, json_t *value)
{
	const struct column *c = &s->columns[s->at];

	if (s->table != NULL) {
		if (column_shown(s, c))
			table_add_look(s->table, shown, look);
	} else if (c->key != NULL) {
		if (s->row == NULL)
			s->row = json_object();
		(void)json_object_set_new(s->row, c->key, value);
	} else {
		json_decref(value);
	}
	if (++s->at == s->n_columns)
		row_end(s);
}

void
sheet_state(struct sheet *s, const char *text, enum look look)
{
	cell(s, text, look, s->table != NULL ? NULL : js_name(text));
}

void
sheet_text(struct sheet *s, const char *text)
{
	sheet_state(s, text, LOOK_PLAIN);
}

void
sheet_text_as(struct sheet *s, const char *shown, const char *value)
{
	cell(s, shown, LOOK_PLAIN, s->table != NULL ? NULL : js_name(value));
}

void
sheet_num(struct sheet *s, int64_t n)
{
	AUTO_FREE char *shown = n < 0 ? NULL : mem_printf("%lld", (long long)n);

	cell(s, shown, LOOK_PLAIN, s->table != NULL ? NULL : js_num(n));
}

void
sheet_real(struct sheet *s, double n, int digits)
{
	AUTO_FREE char *shown = n < 0 ? NULL : mem_printf("%.*f", digits, n);

	cell(s, shown, LOOK_PLAIN,
	    s->table != NULL ? NULL
		: n < 0	     ? json_null()
			     : json_real(n));
}

void
sheet_bytes(struct sheet *s, int64_t n)
{
	AUTO_FREE char *shown = n < 0 ? NULL
	    : s->ctl->exact	      ? mem_printf("%lld", (long long)n)
				      : text_bytes((uint64_t)n);

	cell(s, shown, LOOK_PLAIN, s->table != NULL ? NULL : js_num(n));
}

void
sheet_time(struct sheet *s, int64_t ns)
{
	/* rows may come for hours */
	AUTO_FREE char *shown =
	    s->ctl->exact || ns <= 0 ? text_time(ns) : text_ago(clock_real_ns() - ns);

	cell(s, shown, LOOK_PLAIN, s->table != NULL ? NULL : js_time(ns));
}

void
sheet_span(struct sheet *s, int64_t ns)
{
	AUTO_FREE char *shown = ns < 0 ? NULL
	    : s->ctl->exact	       ? mem_printf("%.3f s", (double)ns / NS_PER_S)
				       : text_span(ns);

	cell(s, shown, LOOK_PLAIN,
	    s->table != NULL ? NULL
		: ns < 0     ? json_null()
			     : json_real((double)ns / NS_PER_S));
}

void
sheet_bool(struct sheet *s, bool b)
{
	cell(s, b ? "yes" : "no", LOOK_PLAIN, s->table != NULL ? NULL : json_boolean(b));
}

void
sheet_flush(struct sheet *s)
{
	assert(s->at == 0);
	if (s->table != NULL)
		table_flush(s->table, s->ctl->out);
	else
		sheet_print(s);
}

void
sheet_print(struct sheet *s)
{
	sheet_print_at(
	    s, s->ctl->out, term_width(s->ctl->out), term_has_colours(s->ctl->out));
}

void
sheet_print_at(struct sheet *s, FILE *out, unsigned columns, bool colours)
{
	assert(s->at == 0);
	if (s->table != NULL) {
		table_print_at(s->table, out, columns, colours);
		table_free(s->table);
		s->table = sheet_table(s);
	} else if (s->ctl->format == FORMAT_JSON) {
		js_print(s->ctl, s->rows);
		s->rows = json_array();
	}
}

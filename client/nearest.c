/*
 * Container ids are long and random, names are short: a name is near if a
 * third of its letters need a change at most, or if one is part of the other.
 */
#include "client/nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define LEN_MAX 256

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t
edit_distance(const char *a, const char *b)
{
	size_t la = least(strlen(a), LEN_MAX), lb = least(strlen(b), LEN_MAX), i, j;
	uint16_t rows[3][LEN_MAX + 1]; /* of i - 2, i - 1 and i letters of a */
	uint16_t *before = rows[0], *last = rows[1], *row = rows[2], *spare;

	for (j = 0; j <= lb; j++)
		last[j] = (uint16_t)j;
	for (i = 1; i <= la; i++) {
		row[0] = (uint16_t)i;
		for (j = 1; j <= lb; j++) {
			size_t d = last[j - 1] + (size_t)(a[i - 1] != b[j - 1]);

			d = least(d, least(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d = least(d, before[j - 2] + (size_t)1);
			row[j] = (uint16_t)d;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[lb];
}

void
nearest_offer(struct nearest *n, const char *name)
{
	size_t d = edit_distance(n->want, name), len = strlen(n->want), i;
	bool part = len >= 3 && strstr(name, n->want) != NULL;

	if (len == 0 || (d > (len + 2) / 3 && !part))
		return;
	for (i = 0; i < n->n; i++)
		if (strcmp(n->best[i].name, name) == 0)
			return;
	for (i = 0; i < n->n && n->best[i].distance <= d; i++)
		;
	if (i == NEAREST_MAX)
		return;
	if (n->n < NEAREST_MAX)
		n->n++;
	(void)memmove(&n->best[i + 1], &n->best[i], (n->n - i - 1) * sizeof n->best[0]);
	n->best[i].name = name;
	n->best[i].distance = d;
}

char *
nearest_text(const struct nearest *n)
{
	char *text = mem_strdup(""), *more;
	size_t i;

	for (i = 0; i < n->n; i++) {
		more = mem_printf("%s%s'%s'", text,
		    i == 0		? ", did you mean "
			: i + 1 == n->n ? " or "
					: ", ",
		    n->best[i].name);
		free(text);
		text = more;
	}
	if (n->n == 0)
		return text;
	more = mem_printf("%s?", text);
	free(text);
	return more;
}

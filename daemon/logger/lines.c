/*
 * One buffer that is filled at its end and emptied at its beginning. A line that
 * has come as a whole is found by one memchr(); nothing is copied but the
 * beginning of an unfinished line, to the front, once per read.
 */
#include "logger/lines.h"

#include <string.h>

char *
lines_room(struct lines *l, size_t *room)
{
	if (l->begin > 0) {
		memmove(l->buf, l->buf + l->begin, l->end - l->begin);
		l->end -= l->begin;
		l->begin = 0;
	}
	*room = sizeof l->buf - l->end;
	return l->buf + l->end;
}

void
lines_added(struct lines *l, size_t n)
{
	l->end += n;
}

bool
lines_pending(const struct lines *l)
{
	return l->end > l->begin;
}

bool
lines_next(struct lines *l, bool early, struct line *out)
{
	size_t have = l->end - l->begin;
	/* the longest line and its newline */
	size_t look = have > LINE_MAX_BYTES ? LINE_MAX_BYTES + 1 : have;
	const char *text = l->buf + l->begin;
	const char *nl = memchr(text, '\n', look);

	if (nl != NULL) {
		*out = (struct line){.text = text, .len = (size_t)(nl - text)};
		l->begin += out->len + 1;
		return true;
	}
	if (have == 0 || (have <= LINE_MAX_BYTES && !early))
		return false;
	*out = (struct line){.text = text,
	    .len = have > LINE_MAX_BYTES ? LINE_MAX_BYTES : have,
	    .partial = true};
	l->begin += out->len;
	return true;
}

/*
 * A stream of bytes, cut into lines. What has no end after LINE_MAX_BYTES, or is
 * asked for early, is given out as a partial line: the bytes of all lines put
 * together, with a newline behind each that is not partial, are the stream.
 */
#ifndef PODSHIM_LOGGER_LINES_H
#define PODSHIM_LOGGER_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_BYTES ((size_t)16 * 1024)
#define LINES_BUF      ((size_t)64 * 1024)

struct lines {
	size_t begin, end; /* what has not been given out */
	char buf[LINES_BUF];
};

struct line {
	const char *text; /* without its newline; good until lines_room() */
	size_t len;
	bool partial;
};

/* Where to put bytes, and how many: never 0 once lines_next() has said false. */
char *lines_room(struct lines *l, size_t *room);
void lines_added(struct lines *l, size_t n);
/* The next line. early: also the beginning of one that has not ended yet. */
bool lines_next(struct lines *l, bool early, struct line *out);
/* Is there the beginning of a line? */
bool lines_pending(const struct lines *l);

#endif

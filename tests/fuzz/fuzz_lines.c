/*
 * podshim-logger's cutting of lines: any bytes, in pieces of any size, must be
 * what all lines together are.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "logger/lines.h"

/* The first byte says how large the pieces are and when a line is wanted early. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lines l;
	size_t at = 1, n = 1, room, piece, step = size > 0 ? 1 + (size_t)data[0] * 97 : 1;
	struct line line;
	bool early;

	l.begin = l.end = 0;
	while (at < size || lines_pending(&l)) {
		char *to = lines_room(&l, &room);

		assert(room > 0);
		piece = at < size ? size - at : 0;
		piece = piece > step ? step : piece;
		piece = piece > room ? room : piece;
		memcpy(to, data + at, piece);
		lines_added(&l, piece);
		at += piece;
		early = at >= size || (data[0] & 1) != 0;
		while (lines_next(&l, early, &line)) {
			assert(line.len <= LINE_MAX_BYTES && n + line.len <= size);
			assert(memcmp(line.text, data + n, line.len) == 0);
			n += line.len;
			if (!line.partial)
				assert(data[n++] == '\n');
		}
	}
	assert(size == 0 || n == size);
	return 0;
}

/*
 * A log that podshim-logger writes, or another one of the CRI format: the file and
 * those it was rotated to, oldest first, and on from there while it grows.
 */
#ifndef PODSHIM_CLIENT_LOG_READ_H
#define PODSHIM_CLIENT_LOG_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct log_reader;

struct log_line {
	const char *time; /* "" in a plain log; time_len bytes, not terminated */
	size_t time_len;
	bool is_stderr;
	bool partial; /* no newline belongs behind it */
	const char *text;
	size_t len;
};

/* One line of a file, without its newline. A line that is not CRI's is plain. */
void log_line_parse(const char *p, size_t len, bool plain, struct log_line *out);

/* path.N to path; -ENOENT: there is not even path. */
int log_open(const char *path, bool plain, struct log_reader **out, struct err *err);
void log_close(struct log_reader *r);

/* From the beginning of the last n lines. */
void log_seek_tail(struct log_reader *r, uint64_t n);
/*
 * The next line, or of a long one a piece; it is good until the next call. False: there
 * is none yet. Goes on in the next file when one was rotated away.
 */
bool log_next(struct log_reader *r, struct log_line *out);
/* At the very end: the beginning of a line without its newline (in plain logs). */
bool log_last(struct log_reader *r, struct log_line *out);

#endif

/*
 * Lines on their way out: in their format, many to a write.
 */
#ifndef PODSHIM_LOGGER_OUT_H
#define PODSHIM_LOGGER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logger/conf.h"
#include "logger/journal.h"
#include "logger/lines.h"
#include "logger/logfile.h"

#define OUT_BUF	      ((size_t)64 * 1024)
#define OUT_STAMP_MAX 40 /* "2024-01-31T12:00:00.123456789Z" */

struct out {
	enum log_format format;
	struct logfile file;
	struct journal journal;
	char stamp[OUT_STAMP_MAX];
	size_t len;
	char buf[OUT_BUF];
};

int out_open(struct out *o, const struct logger_conf *conf, struct err *err);
/* The time that the lines from now on bear, in nanoseconds since 1970. */
void out_stamp(struct out *o, int64_t now_ns);
void out_line(struct out *o, bool is_stderr, const struct line *line);
/* Write what has been collected. */
void out_flush(struct out *o);
/* SIGHUP: somebody moved the file away. */
void out_reopen(struct out *o);
/* -errno: the log is to say that lines are missing at its end, and does not take it. */
int out_close(struct out *o, struct err *err);

#endif

/*
 * The Kubernetes CRI log format is a line per line:
 *
 *	2024-01-31T12:00:00.123456789Z stdout F text
 *
 * F: the whole line, or the last piece of one; P: more of it follows (or, at the
 * end of the stream, there was no newline). Lines of one read(2) bear one time.
 */
#include "logger/out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"

#define HEAD_MAX   (OUT_STAMP_MAX + sizeof " stdout F ")
#define NOTICE_MAX (ERR_TEXT_MAX + 256)

int
out_open(struct out *o, const struct logger_conf *conf, struct err *err)
{
	o->format = conf->format;
	o->len = 0;
	o->journal.fd = o->file.fd = o->file.dir_fd = -1;
	o->file.dir = NULL;
	switch (conf->format) {
	case LOG_NONE: return 0;
	case LOG_JOURNALD:
		return journal_open(
		    &o->journal, conf->journal, conf->ns, conf->id, conf->tag, err);
	case LOG_CRI:
	case LOG_PLAIN: break;
	}
	o->file = (struct logfile){.path = conf->path,
	    .max_size = conf->max_size,
	    .max_files = conf->max_files,
	    .mode = conf->mode};
	return logfile_open(&o->file, err);
}

void
out_stamp(struct out *o, int64_t now_ns)
{
	time_t s = (time_t)(now_ns / NS_PER_S);
	size_t n;
	struct tm tm;

	if (o->format != LOG_CRI)
		return;
	(void)gmtime_r(&s, &tm);
	n = strftime(o->stamp, sizeof o->stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(
	    o->stamp + n, sizeof o->stamp - n, ".%09dZ", (int)(now_ns % NS_PER_S));
}

static void
out_put(struct out *o, const void *p, size_t len)
{
	memcpy(o->buf + o->len, p, len);
	o->len += len;
}

static void
out_add(struct out *o, bool is_stderr, const struct line *line)
{
	if (o->format == LOG_CRI) {
		out_put(o, o->stamp, strlen(o->stamp));
		out_put(o, is_stderr ? " stderr " : " stdout ", 8);
		out_put(o, line->partial ? "P " : "F ", 2);
	}
	out_put(o, line->text, line->len);
	/* plain lines are the bytes that came, and no others */
	if (o->format == LOG_CRI || !line->partial)
		out_put(o, "\n", 1);
}

void
out_line(struct out *o, bool is_stderr, const struct line *line)
{
	switch (o->format) {
	case LOG_NONE: return;
	case LOG_JOURNALD: journal_line(&o->journal, is_stderr, line); return;
	case LOG_CRI:
	case LOG_PLAIN: break;
	}
	if (sizeof o->buf - o->len < HEAD_MAX + line->len + 1)
		out_flush(o);
	out_add(o, is_stderr, line);
}

/* A line of our own. False: the file does not take it, which is no loss. */
static bool
out_notice(struct out *o, const char *text)
{
	struct logfile *f = &o->file;
	uint64_t lines = f->lost_lines, bytes = f->lost_bytes;
	char line[NOTICE_MAX];
	int n = snprintf(line, sizeof line, "%s%spodshim-logger: %s\n",
	    o->format == LOG_CRI ? o->stamp : "",
	    o->format == LOG_CRI ? " stderr F " : "", text);

	if (n <= 0 || (size_t)n >= sizeof line)
		return true;
	if (logfile_write(f, line, (size_t)n) == 0)
		return true;
	f->lost_lines = lines;
	f->lost_bytes = bytes;
	return false;
}

/* The file takes lines again, or may: say how many are missing. */
static bool
out_tell_lost(struct out *o)
{
	struct logfile *f = &o->file;
	char text[200];

	if (f->lost_lines == 0 && f->lost_bytes == 0)
		return true;
	(void)snprintf(text, sizeof text,
	    "%" PRIu64 " lines, %" PRIu64 " bytes are missing here: %s", f->lost_lines,
	    f->lost_bytes, strerror(f->lost_errno));
	if (!out_notice(o, text))
		return false;
	f->lost_lines = f->lost_bytes = 0;
	return true;
}

/* Once each time that it begins. */
static void
out_tell_stuck(struct out *o)
{
	char text[ERR_TEXT_MAX + 40];

	if (!o->file.stuck || o->file.stuck_told)
		return;
	(void)snprintf(
	    text, sizeof text, "cannot begin a new file: %s", o->file.stuck_why.text);
	if (out_notice(o, text) && o->file.stuck)
		o->file.stuck_told = true;
}

void
out_flush(struct out *o)
{
	if (o->len == 0)
		return;
	if (out_tell_lost(o))
		(void)logfile_write(&o->file, o->buf, o->len);
	else
		logfile_lose(&o->file, o->buf, o->len);
	out_tell_stuck(o);
	o->len = 0;
}

void
out_reopen(struct out *o)
{
	if (o->file.fd != -1)
		logfile_reopen(&o->file);
}

int
out_close(struct out *o, struct err *err)
{
	int rc = 0;

	out_flush(o);
	if (o->format == LOG_JOURNALD && !journal_tell(&o->journal))
		rc = err_set(err, o->journal.lost_errno,
		    "the journal lacks the last %" PRIu64 " lines, %" PRIu64 " bytes",
		    o->journal.lost_lines, o->journal.lost_bytes);
	else if (!out_tell_lost(o))
		rc = err_set(err, o->file.lost_errno,
		    "'%s' lacks the last %" PRIu64 " lines, %" PRIu64 " bytes",
		    o->file.path, o->file.lost_lines, o->file.lost_bytes);
	logfile_close(&o->file);
	journal_close(&o->journal);
	return rc;
}

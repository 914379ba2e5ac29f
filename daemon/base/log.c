/*
 * Logging into a FIFO whose reader, containerd, may be slow or away. The
 * descriptor is non-blocking; a full FIFO drops the line, a vanished reader
 * (EPIPE; SIGPIPE is ignored by every role) makes the next line open it anew.
 *
 * Lines are logfmt, quoted as containerd's own (logrus): what others chose, a pod's
 * name or a runtime's message, begins no line and no field of its own.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_POD_MAX  264 /* a name of 256 bytes, quoted, if it is no odd one */
#define LOG_HEAD_MAX (LOG_POD_MAX + 128)
#define LOG_TAIL_MAX 32 /* " dropped=4294967295", the end of the line */

static struct {
	const char *role;
	const char *pod;
	char *path; /* NULL: standard error */
	int fd;	    /* -1 until opened */
	bool debug;
	unsigned dropped;
	void (*trace)(const char *);
} lg = {.role = "podshim", .pod = "", .fd = -1};

void
log_init(const char *role, const char *pod, const char *path)
{
	lg.role = role;
	lg.pod = pod;
	log_set_path(path);
}

void
log_set_path(const char *path)
{
	char *copy = path == NULL ? NULL : strdup(path);

	if (path != NULL && copy == NULL)
		return; /* keep the old one: a log is not worth more */
	free(lg.path);
	lg.path = copy;
	if (lg.fd >= 0)
		(void)close(lg.fd);
	lg.fd = -1;
}

void
log_set_debug(bool on)
{
	lg.debug = on;
}

bool
log_debug_on(void)
{
	return lg.debug;
}

void
log_set_trace(void (*trace)(const char *text))
{
	lg.trace = trace;
}

/* False: nobody has it. */
static bool
log_write(const char *line, size_t len)
{
	if (lg.path == NULL) {
		(void)!write(STDERR_FILENO, line, len);
		return true;
	}
	if (lg.fd == -1)
		lg.fd = open(lg.path,
		    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	if (lg.fd == -1)
		return false;
	if (write(lg.fd, line, len) != -1)
		return true;
	if (errno != EAGAIN && errno != EINTR) {
		(void)close(lg.fd);
		lg.fd = -1;
	}
	return false;
}

/* How one byte stands between quotes; returns the length. */
static size_t
log_escape(char c, char out[4])
{
	static const char hex[] = "0123456789abcdef";

	switch (c) {
	case '\n': c = 'n'; break;
	case '\r': c = 'r'; break;
	case '\t': c = 't'; break;
	case '"':
	case '\\': break;
	default:
		if ((unsigned char)c >= 0x20 && c != 0x7f) {
			out[0] = c;
			return 1;
		}
		memcpy(out, "\\x", 2);
		out[2] = hex[c >> 4];
		out[3] = hex[c & 15];
		return 4;
	}
	out[0] = '\\';
	out[1] = c;
	return 2;
}

/* text between quotes; what does not fit is cut, but no escape in two. At least 3 bytes. */
static size_t
log_quote(char *buf, size_t cap, const char *text)
{
	char one[4];
	size_t len = 0, n;

	buf[len++] = '"';
	for (; *text != '\0'; text++) {
		n = log_escape(*text, one);
		if (len + n + 2 > cap)
			break;
		memcpy(buf + len, one, n);
		len += n;
	}
	buf[len++] = '"';
	buf[len] = '\0';
	return len;
}

/* Must it be quoted to be the value of one field? */
static bool
log_is_odd(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f ||
		    strchr("\"\\=", *text) != NULL)
			return true;
	}
	return false;
}

/* The line up to its text. */
static size_t
log_head(char *buf, size_t cap, const char *level)
{
	char when[32], pod[LOG_POD_MAX];
	struct timespec ts;
	struct tm tm;
	int n;

	if (log_is_odd(lg.pod))
		(void)log_quote(pod, sizeof pod, lg.pod);
	else
		(void)snprintf(pod, sizeof pod, "%s", lg.pod);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(buf, cap,
	    "time=\"%s.%06ldZ\" level=%s role=%s pid=%ld pod=%s msg=", when,
	    ts.tv_nsec / 1000, level, lg.role, (long)getpid(), pod);
	return n > 0 ? (size_t)n : 0;
}

__attribute__((format(printf, 3, 0))) static void
log_line(const char *level, int code, const char *fmt, va_list ap)
{
	char text[1024], line[LOG_HEAD_MAX + sizeof text + LOG_TAIL_MAX];
	size_t len;

	if (vsnprintf(text, sizeof text, fmt, ap) < 0)
		return;
	len = strlen(text);
	if (code != 0)
		(void)snprintf(text + len, sizeof text - len, ": %s", strerror(code));
	if (lg.trace != NULL)
		lg.trace(text);
	if (level[0] == 'd' && !lg.debug)
		return;
	len = log_head(line, LOG_HEAD_MAX, level);
	len += log_quote(line + len, sizeof line - LOG_TAIL_MAX - len, text);
	if (lg.dropped > 0)
		len +=
		    (size_t)snprintf(line + len, LOG_TAIL_MAX, " dropped=%u", lg.dropped);
	line[len++] = '\n';
	lg.dropped = log_write(line, len) ? 0 : lg.dropped + 1;
}

#define LOG_FN(name, level, code)                                                        \
	void name(const char *fmt, ...)                                                  \
	{                                                                                \
		int saved = errno;                                                       \
		va_list ap;                                                              \
                                                                                         \
		va_start(ap, fmt);                                                       \
		log_line(level, code, fmt, ap);                                          \
		va_end(ap);                                                              \
		errno = saved;                                                           \
	}

LOG_FN(log_debug, "debug", 0)
LOG_FN(log_info, "info", 0)
LOG_FN(log_warn, "warning", saved)
LOG_FN(log_warnx, "warning", 0)
LOG_FN(log_err, "error", saved)
LOG_FN(log_errx, "error", 0)

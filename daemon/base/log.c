/*
 * Logging into a FIFO whose reader, containerd, may be slow or away. The
 * descriptor is non-blocking; a full FIFO drops the line, a vanished reader
 * (EPIPE; SIGPIPE is ignored by every role) makes the next line open it anew.
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

static void
log_write(const char *line, size_t len)
{
	if (lg.path == NULL) {
		(void)!write(STDERR_FILENO, line, len);
		return;
	}
	if (lg.fd == -1)
		lg.fd = open(lg.path,
		    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	if (lg.fd == -1) {
		lg.dropped++;
		return;
	}
	if (write(lg.fd, line, len) == -1) {
		lg.dropped++;
		if (errno != EAGAIN && errno != EINTR) {
			(void)close(lg.fd);
			lg.fd = -1;
		}
	}
}

__attribute__((format(printf, 3, 0))) static void
log_line(const char *level, int code, const char *fmt, va_list ap)
{
	char text[1024], line[1400], when[32];
	struct timespec ts;
	struct tm tm;
	size_t len;
	int n;

	n = vsnprintf(text, sizeof text, fmt, ap);
	if (n < 0)
		return;
	len = strlen(text);
	if (code != 0)
		(void)snprintf(text + len, sizeof text - len, ": %s", strerror(code));
	if (lg.trace != NULL)
		lg.trace(text);
	if (level[0] == 'd' && !lg.debug)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, sizeof line,
	    "time=\"%s.%06ldZ\" level=%s role=%s pid=%ld pod=%s msg=", when,
	    ts.tv_nsec / 1000, level, lg.role, (long)getpid(), lg.pod);
	if (n < 0)
		return;
	len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
	n = lg.dropped > 0 ? snprintf(line + len, sizeof line - len,
				 "\"%s\" dropped=%u\n", text, lg.dropped)
			   : snprintf(line + len, sizeof line - len, "\"%s\"\n", text);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len >= sizeof line) {
		len = sizeof line - 1;
		line[len - 1] = '\n';
	}
	lg.dropped = 0;
	log_write(line, len);
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

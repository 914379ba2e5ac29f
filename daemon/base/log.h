/*
 * Logging. Lines go to the shim log FIFO that containerd made in the bundle
 * (contract.md 1.8), without ever blocking: what does not fit is dropped and
 * counted. Each line: time, level, role, pod, text; bytes that would end a line, or
 * the text's quotes, are escaped, so that they may be anybody's.
 *
 * log_warn() and log_err() append strerror(errno); the x forms do not. errno
 * survives every call. Debug lines are kept only with log_set_debug(), and
 * always handed to the trace hook.
 */
#ifndef PODSHIM_BASE_LOG_H
#define PODSHIM_BASE_LOG_H

#include <stdbool.h>

/*
 * role and pod are borrowed for good. path: the FIFO or file to append to; a
 * FIFO without a reader is tried again later. NULL: standard error.
 */
void log_init(const char *role, const char *pod, const char *path);
/* Follow to another FIFO, as when the first bundle is gone. Copied. */
void log_set_path(const char *path);
void log_set_debug(bool on);
bool log_debug_on(void);
/* Called with each line's text at every level; for the black box. */
void log_set_trace(void (*trace)(const char *text));

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_errx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

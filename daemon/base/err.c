/*
 * The error sentence. Text that does not fit is cut at the end when set and
 * at the end of the older part when wrapped: what was being done survives.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void
err_vset(struct err *err, int code, const char *fmt, va_list ap)
{
	int len;

	err->code = code;
	len = vsnprintf(err->text, sizeof err->text, fmt, ap);
	if (len < 0)
		err->text[0] = '\0';
}

int
err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	if (err == NULL)
		return -code;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	if (code > 0)
		(void)snprintf(
		    err->text + len, sizeof err->text - len, ": %s", strerror(code));
	return -code;
}

int
err_setx(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return -code;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	return -code;
}

int
err_wrap(struct err *err, int rc, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;
	size_t len;

	if (err == NULL)
		return rc;
	memcpy(old, err->text, sizeof old);
	va_start(ap, fmt);
	err_vset(err, err->code, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof err->text - len, ": %s", old);
	return rc;
}

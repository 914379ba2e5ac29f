/*
 * Running a verb, and how it says that something is wrong.
 */
#include "client/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/podpath.h"
#include "client/args.h"
#include "client/text.h"

static void __attribute__((format(printf, 2, 0)))
ctl_say(FILE *err, const char *fmt, va_list ap)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *safe = NULL;

	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return;
	}
	safe = text_safe(text);
	(void)fprintf(err, "podshimctl: %s\n", safe);
}

int
ctl_fail(struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_say(ctl->err, fmt, ap);
	va_end(ap);
	return CTL_FAILED;
}

int
ctl_fail_as(struct ctl *ctl, enum ctl_exit code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_say(ctl->err, fmt, ap);
	va_end(ap);
	return (int)code;
}

int
ctl_misuse(struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_say(ctl->err, fmt, ap);
	va_end(ap);
	if (ctl->path == NULL)
		(void)fprintf(ctl->err, "Try 'podshimctl --help'.\n");
	else
		(void)fprintf(ctl->err, "Try 'podshimctl %s --help'.\n", ctl->path);
	return ctl->verb != NULL && ctl->verb->misuse != CTL_OK ? (int)ctl->verb->misuse
								: CTL_USAGE;
}

enum ctl_exit
ctl_exit_of(int rc)
{
	switch (-rc) {
	case 0: return CTL_OK;
	case EACCES:
	case EPERM: return CTL_DENIED;
	case ETIMEDOUT: return CTL_TIMEOUT;
	default: return CTL_FAILED;
	}
}

int
ctl_run(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl ctl = {.out = out, .err = err, .root = pod_state_root()};
	int rc;

	rc = args_parse(&ctl, argc, argv);
	if (rc == CTL_OK)
		rc = ctl.verb->run(&ctl);
	if ((fflush(out) != 0 || ferror(out)) && rc == CTL_OK)
		rc = ctl_fail(&ctl, "write: %s", strerror(errno));
	args_fini(&ctl);
	return rc;
}

#include "client/confirm.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "client/term.h"
#include "client/text.h"

static bool
is_yes(char *answer)
{
	answer[strcspn(answer, "\r\n")] = '\0';
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

bool
ctl_can_ask(const struct ctl *ctl)
{
	return term_is_tty(stdin) && term_is_tty(ctl->err);
}

int
ctl_confirm(struct ctl *ctl, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *safe = NULL;
	char answer[32] = "";
	va_list ap;

	if (ctl_option(ctl, "yes") != NULL || !ctl_can_ask(ctl))
		return CTL_OK;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	safe = text_safe(text == NULL ? "Go on?" : text);
	(void)fprintf(ctl->err, "%s [y/N] ", safe);
	(void)fflush(ctl->err);
	if (fgets(answer, sizeof answer, stdin) == NULL)
		(void)fputc('\n', ctl->err); /* the terminal has not ended the line */
	else if (is_yes(answer))
		return CTL_OK;
	return ctl_fail_as(ctl, CTL_DECLINED, "nothing done");
}

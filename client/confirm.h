/*
 * The question before something that cannot be undone.
 */
#ifndef PODSHIM_CLIENT_CONFIRM_H
#define PODSHIM_CLIENT_CONFIRM_H

#include "client/ctl.h"

/* Does somebody sit at standard input and error, to see a question and answer it? */
bool ctl_can_ask(const struct ctl *ctl);
/*
 * Ask "<text> [y/N]" on the terminal. CTL_OK: go on, also without asking
 * with --yes (the verb declares CTL_OPTION_YES), or if !ctl_can_ask().
 * CTL_DECLINED after any answer but yes.
 */
int ctl_confirm(struct ctl *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif

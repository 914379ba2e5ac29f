/*
 * From argv to a verb and what it was given.
 */
#ifndef PODSHIM_CLIENT_ARGS_H
#define PODSHIM_CLIENT_ARGS_H

#include "client/ctl.h"

/* Options of every verb, ending with a NULL name; for help and completion. */
extern const struct ctl_option ctl_global_options[];

/*
 * Fills ctl, with verb and path; argv is sorted in place and borrowed. CTL_OK:
 * ctl->verb->run() may be called ("--help" has made it that of help). Else a
 * message has been printed.
 */
int args_parse(struct ctl *ctl, int argc, char **argv);
void args_fini(struct ctl *ctl);

#endif

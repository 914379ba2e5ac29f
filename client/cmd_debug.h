/*
 * The verbs below "podshimctl debug", between its files.
 */
#ifndef PODSHIM_CLIENT_CMD_DEBUG_H
#define PODSHIM_CLIENT_CMD_DEBUG_H

#include "client/ctl.h"

extern const struct ctl_verb debug_shell;
extern const struct ctl_verb debug_net;

#endif

/*
 * podshimctl while it stands for a process elsewhere: signals that are passed on, and
 * our terminal, raw.
 */
#ifndef PODSHIM_CLIENT_FOREGROUND_H
#define PODSHIM_CLIENT_FOREGROUND_H

#include <stdbool.h>

#include "base/clock.h"

/* A signal that comes so long after another that has not been taken is for us. */
#define SIGNAL_PATIENCE_US US_PER_S

/* From now on until we end, the signals to pass on and SIGWINCH wait for the descriptor. */
void foreground_hold_signals(void);
/* The signalfd, or -1 and errno. */
int foreground_signal_fd(void);

/* Standard input raw, however we end (but by SIGKILL) as it was. False: it is no terminal. */
bool foreground_raw(void);
/* As it was; nothing if it is not raw. */
void foreground_restore(void);

#endif

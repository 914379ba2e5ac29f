/*
 * Notes in a pod's history, about what people do to it past its shim. The
 * worker alone writes that (service podshim.v1.Admin).
 */
#ifndef PODSHIM_CLIENT_NOTE_H
#define PODSHIM_CLIENT_NOTE_H

#include "client/ctl.h"

struct pod;

/*
 * container: "" for the pod itself. A pod that does not take it within a second
 * costs a warning, nothing else: tools must work while its worker does not.
 */
void note(struct ctl *ctl, const struct pod *pod, const char *container, const char *what,
    const char *detail);

#endif

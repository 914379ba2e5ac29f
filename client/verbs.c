#include "client/verbs.h"

#define CTL_VERB_ROW(name) &verb_##name,

const struct ctl_verb *const ctl_verbs[] = {CTL_VERBS(CTL_VERB_ROW) NULL};

/*
 * The table of verbs, in the order in which help shows them within their group.
 */
#ifndef PODSHIM_CLIENT_VERBS_H
#define PODSHIM_CLIENT_VERBS_H

#include "client/ctl.h"

#define CTL_VERBS(V)                                                                     \
	V(list)                                                                          \
	V(tasks)                                                                         \
	V(inspect)                                                                       \
	V(ps)                                                                            \
	V(stats)                                                                         \
	V(top)                                                                           \
	V(events)                                                                        \
	V(history)                                                                       \
	V(metrics)                                                                       \
	V(crashes)                                                                       \
	V(dump)                                                                          \
	V(why)                                                                           \
	V(doctor)                                                                        \
	V(gc)                                                                            \
	V(upgrade)                                                                       \
	V(restart)                                                                       \
	V(exec)                                                                          \
	V(kill)                                                                          \
	V(pause)                                                                         \
	V(resume)                                                                        \
	V(wait)                                                                          \
	V(resize)                                                                        \
	V(close_stdin)                                                                   \
	V(run)                                                                           \
	V(attach)                                                                        \
	V(logs)                                                                          \
	V(delete)                                                                        \
	V(debug)                                                                         \
	V(trace)                                                                         \
	V(complete)                                                                      \
	V(help)                                                                          \
	V(version)

#define CTL_VERB_DECLARE(name) extern const struct ctl_verb verb_##name;
CTL_VERBS(CTL_VERB_DECLARE)

extern const struct ctl_verb *const ctl_verbs[]; /* ends with NULL */

#endif

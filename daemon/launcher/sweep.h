/*
 * Ending a container by ourselves: kill, `runtime delete --force`, unmount,
 * remove its cgroup. For `delete` when there is no keeper to do it.
 */
#ifndef PODSHIM_LAUNCHER_SWEEP_H
#define PODSHIM_LAUNCHER_SWEEP_H

#include <stdbool.h>

#include "base/clock.h"

struct account;
struct err;

/* Is anything of it left: a process, the runtime's state, a mount? */
bool sweep_is_needed(const struct account *acc);
/* Does its init live? Then killing is what ends it. */
bool sweep_init_is_alive(const struct account *acc);
/* SIGKILL to each of its processes that is known: quick, whatever the host's mounts are. */
void sweep_signal(const struct account *acc);
/*
 * The same to what is in its cgroup besides, and a thaw, for the frozen do not die.
 * *mounts: of one who does so for many, as for cgroup_thaw_next().
 */
void sweep_kill_cgroup(const struct account *acc, char **mounts);
/* Both, and wait for its init: a second, or until end. */
void sweep_kill(const struct account *acc, boot_us_t end);
/* The rest, until end at most. *err says what did not work; it is not an error. */
void sweep_clean(const struct account *acc, boot_us_t end, struct err *err);

#endif

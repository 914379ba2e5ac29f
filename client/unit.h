/*
 * What systemd does to a service's processes when it stops the service.
 */
#ifndef PODSHIM_CLIENT_UNIT_H
#define PODSHIM_CLIENT_UNIT_H

#include <sys/types.h>

/* The service a process belongs to, "containerd.service"; malloc'ed, NULL: none. */
char *unit_of_pid(pid_t pid);
/*
 * KillMode= as the unit's files and drop-ins in these directories say it, the first
 * directory counting most; malloc'ed. "control-group", systemd's default, if they are
 * silent; NULL: there is no such unit. dirs NULL: systemd's own.
 */
char *unit_kill_mode(const char *unit, const char *const *dirs);

#endif

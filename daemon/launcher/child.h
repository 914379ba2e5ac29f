/*
 * Children of the launcher: what may hang runs in one, and is waited for only
 * so long.
 */
#ifndef PODSHIM_LAUNCHER_CHILD_H
#define PODSHIM_LAUNCHER_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/clock.h"

/*
 * In the child: none of our descriptors but these as 1 and 2 (-1: /dev/null),
 * none of our signal handlers, a process group of its own. A child that is left
 * behind must not hold our stdout: containerd reads it to the end.
 */
void child_prepare(int out_fd, int err_fd);
/* Fork and exec an OCI runtime's command with child_prepare(). The pid or -1. */
pid_t child_run(char *const argv[], int out_fd, int err_fd);
/*
 * Its wait status; -ETIMEDOUT if it still runs at end: then it is killed, if
 * so asked, or left alone. 127: there is no such program.
 */
int child_wait(pid_t pid, boot_us_t end, bool then_kill, int *status);

int pidfd_of(pid_t pid);
/* Until the process of pidfd is dead; false if it lives on at end. */
bool pidfd_wait(int pidfd, boot_us_t end);

#endif

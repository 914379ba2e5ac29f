/*
 * One process as `tasks` and `inspect` show it.
 */
#ifndef PODSHIM_CLIENT_PROCESS_H
#define PODSHIM_CLIENT_PROCESS_H

#include "client/json.h"
#include "client/pods.h"

/* init's status is its container's while that says more ("paused"). p NULL: of a
 * container without a process yet. */
const char *process_status(const struct container_info *c, const struct process_info *p);
/* -1 until it has stopped. */
int64_t process_exit_status(const struct process_info *p);
/* exec, pid, status, exit_status, started_at, exited_at. */
json_t *process_json(const struct container_info *c, const struct process_info *p);

#endif

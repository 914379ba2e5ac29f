/*
 * What a process's row means to people. The states of a pod whose keeper is
 * dead are the last that were recorded.
 */
#include "client/process.h"

#include "base/mem.h"

const char *
process_status(const struct container_info *c, const struct process_info *p)
{
	if (p == NULL || (*p->exec_id == '\0' && p->state != TASK_STOPPED))
		return task_state_name(c->state);
	return task_state_name(p->state);
}

int64_t
process_exit_status(const struct process_info *p)
{
	return p != NULL && p->state == TASK_STOPPED ? (int64_t)p->exit_status : -1;
}

json_t *
process_json(const struct container_info *c, const struct process_info *p)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "exec",
	    js_name(p == NULL ? NULL : p->exec_id), "pid",
	    js_num(p == NULL || p->pid == 0 ? -1 : p->pid), "status",
	    process_status(c, p), "exit_status", js_num(process_exit_status(p)),
	    "started_at", js_time(p == NULL ? 0 : p->started_at), "exited_at",
	    js_time(p == NULL ? 0 : p->exited_at));
}

/*
 * Who is held: the kernel's word for any stop, the black box's for a wait that
 * the worker was told to make (worker/halt.h).
 */
#include "keeper/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/blame.h"
#include "keeper/reaper.h"

bool
proc_is_held(pid_t pid, pid_t *tracer)
{
	char buf[2048], *p;
	struct proc_stat st;
	pid_t by = 0;

	if (proc_read(pid, "status", buf, sizeof buf) == 0) {
		p = strstr(buf, "\nTracerPid:");
		if (p != NULL)
			by = (pid_t)strtol(p + strlen("\nTracerPid:"), NULL, 10);
	}
	if (tracer != NULL)
		*tracer = by;
	return by != 0 ||
	    (proc_stat_read(pid, &st) == 0 && (st.state == 'T' || st.state == 't'));
}

bool
hold_was(struct hold *hold, const struct blame *bl, pid_t pid)
{
	uint32_t halts = blame_halts(bl);
	bool now = proc_is_held(pid, NULL);
	bool was = hold->held || halts != hold->halts;

	hold->held = now;
	hold->halts = halts;
	return now || was;
}

bool
hold_waits(const struct hold *hold, const struct blame *bl)
{
	char halt[2];

	blame_halt(bl, halt, sizeof halt);
	return halt[0] != '\0' || hold->halts != 0;
}

void
hold_text(const struct blame *bl, pid_t pid, char *out, size_t cap)
{
	char halt[16];
	pid_t tracer;

	out[0] = '\0';
	if (pid == 0 || !proc_is_held(pid, &tracer))
		return;
	blame_halt(bl, halt, sizeof halt);
	if (tracer != 0)
		(void)snprintf(out, cap, " (traced by %ld)", (long)tracer);
	else if (halt[0] != '\0')
		(void)snprintf(out, cap, " (waits for a debugger at %s)", halt);
	else
		(void)snprintf(out, cap, " (stopped)");
}

/*
 * A halt is a SIGSTOP that we send ourselves: the keeper leaves a stopped
 * worker alone, every debugger can attach to one, and SIGCONT, which the
 * keeper's death brings too, is all it takes to go on. What the log line cannot
 * do, for nobody may be reading, the black box does: say that and where we wait.
 */
#include "worker/halt.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/blackbox.h"
#include "worker/fatal.h"

#define HALT_ENV "PODSHIM_WAIT_DEBUGGER"

static const char *const halt_names[] = {
    [HALT_NONE] = "none",
    [HALT_BOOT] = "boot",
    [HALT_CREATE] = "create",
    [HALT_START] = "start",
    [HALT_EXEC] = "exec",
};

static struct {
	enum halt_point point;
	struct blackbox *bb;
} halt;

bool
halt_parse(const char *name, enum halt_point *out)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(halt_names); i++) {
		if (strcmp(halt_names[i], name) == 0) {
			*out = (enum halt_point)i;
			return true;
		}
	}
	return false;
}

void
halt_init(struct blackbox *bb, enum halt_point configured)
{
	const char *env = getenv(HALT_ENV);

	halt.bb = bb;
	halt.point = configured;
	if (env != NULL && env[0] != '\0' && !halt_parse(env, &halt.point))
		log_warnx(HALT_ENV ": '%.40s' is none of none, boot, create, start, "
				   "exec, ignoring",
		    env);
}

uint64_t
halt_at(enum halt_point point, const char *id, const char *exec_id)
{
	boot_us_t since;

	if (point != halt.point || point == HALT_NONE)
		return 0;
	since = clock_boot_us();
	log_info("Halting until signalled: pid %ld, point %s%s%s%s%s", (long)getpid(),
	    halt_names[point], id[0] != '\0' ? ", container " : "", id,
	    exec_id[0] != '\0' ? ", exec " : "", exec_id);
	(void)strncpy(halt.bb->halt, halt_names[point], sizeof halt.bb->halt - 1);
	fatal_note_frames(); /* for a dump: a stopped process cannot say where it is */
	(void)raise(SIGSTOP);
	halt.bb->halt[0] = '\0';
	halt.bb->halts = halt.bb->halts + 1;
	log_info("going on after %llu ms at point %s",
	    (unsigned long long)((clock_boot_us() - since) / US_PER_MS),
	    halt_names[point]);
	return clock_boot_us() - since;
}

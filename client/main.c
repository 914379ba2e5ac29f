/*
 * podshimctl(1): for people who look at pods, act on them and run them. Everything
 * is in ctl.c and the verbs; tests link those without this main().
 *
 * Of the pods it runs itself it is the one that events go to, too.
 */
#include <stdio.h>

#include "client/ctl.h"
#include "client/run_event.h"

int
main(int argc, char **argv)
{
	if (run_event_is(argc, argv))
		return run_event_main(argv);
	return ctl_run(argc, argv, stdout, stderr);
}

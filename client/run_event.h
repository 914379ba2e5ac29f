/*
 * podshimctl in the place of `containerd publish`, for the pods it runs itself.
 */
#ifndef PODSHIM_CLIENT_RUN_EVENT_H
#define PODSHIM_CLIENT_RUN_EVENT_H

#include <stdbool.h>

/* Is this such a call: --address A publish --topic T --namespace NS? */
bool run_event_is(int argc, char **argv);
/* Do what the event on stdin asks for. 0, or 1: try again later. */
int run_event_main(char **argv);

#endif

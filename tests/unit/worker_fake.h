/*
 * Between worker_help.c and worker_fake.c.
 */
#ifndef PODSHIM_TESTS_WORKER_FAKE_H
#define PODSHIM_TESTS_WORKER_FAKE_H

#include <stdbool.h>

/* The worker is gone, with all it waited for. */
void fake_forget(void);
/* Give it what it waits for; false: nothing. */
bool fake_deliver_steps(void);
bool fake_deliver_fds(void);

#endif

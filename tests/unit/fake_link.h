/*
 * A stand-in for worker/link that forks in this process: enough of a keeper
 * for what spawns internal steps. Steps and stored descriptors outlive
 * fake_link_worker_dies(), as the keeper's do.
 */
#ifndef PODSHIM_TESTS_FAKE_LINK_H
#define PODSHIM_TESTS_FAKE_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/link.h"

struct link *fake_link_new(void);
void fake_link_free(struct link *lk);
/* Reap, keep deadlines, run callbacks that are due: as one pass of the loop. */
void fake_link_poll(struct link *lk);
/* Callbacks are forgotten; all else stays, and looks like a snapshot. */
void fake_link_worker_dies(struct link *lk);
/* Children sit in the kernel, where no signal ends them; their steps do not end. */
void fake_link_stick(struct link *lk, bool stuck);
size_t fake_link_steps(const struct link *lk);
size_t fake_link_fds(const struct link *lk);
/* The most children that ran at the same time, and how many there were. */
unsigned fake_link_most(const struct link *lk);
unsigned fake_link_spawned(const struct link *lk);
/* The pid of a running child; 0: none. */
int fake_link_child(const struct link *lk);

#endif

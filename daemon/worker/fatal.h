/*
 * What the worker says of where it is, in the black box: on a fatal signal, its
 * last words; on SIGUSR1, which is a person's or the keeper's way to ask, also
 * while its loop hangs; and before it waits for a debugger (halt.h).
 */
#ifndef PODSHIM_WORKER_FATAL_H
#define PODSHIM_WORKER_FATAL_H

struct blackbox;

/* channel_fd: where FRAMES is said after a SIGUSR1. */
void fatal_init(struct blackbox *bb, int channel_fd);
/* Write down where we are, as on SIGUSR1. */
void fatal_note_frames(void);

#endif

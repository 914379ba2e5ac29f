/*
 * The worker's last words: on a fatal signal, addresses into the black box.
 */
#ifndef PODSHIM_WORKER_FATAL_H
#define PODSHIM_WORKER_FATAL_H

struct blackbox;

void fatal_init(struct blackbox *bb);

#endif

/*
 * `podshim-worker --stack PID`: where a worker is that cannot say so itself,
 * because it is stopped or sits in the kernel. Run by its keeper, from the
 * same executable; writes lines for people to standard output.
 */
#ifndef PODSHIM_WORKER_STACK_H
#define PODSHIM_WORKER_STACK_H

int stack_main(const char *pid);

#endif

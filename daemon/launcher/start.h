/*
 * The `start` action: find or make the pod's keeper, and tell containerd where
 * it listens.
 */
#ifndef PODSHIM_LAUNCHER_START_H
#define PODSHIM_LAUNCHER_START_H

struct args;
struct err;

/* Reads stdin, works in the bundle (the current directory), writes one answer on stdout. */
int start_run(const struct args *args, struct err *err);

#endif

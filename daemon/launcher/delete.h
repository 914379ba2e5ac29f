/*
 * The `delete` action: see to it that nothing is left of a container, and tell
 * how it ended.
 */
#ifndef PODSHIM_LAUNCHER_DELETE_H
#define PODSHIM_LAUNCHER_DELETE_H

struct args;
struct err;

/*
 * Works in the bundle (-bundle, else the current directory), writes one
 * DeleteResponse on stdout within 5 s. What did not work goes to stderr, which
 * containerd logs as a warning; only an answer that cannot be written is an error.
 */
int delete_run(const struct args *args, struct err *err);

#endif

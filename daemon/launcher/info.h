/*
 * The `-info` action: what this runtime can do.
 */
#ifndef PODSHIM_LAUNCHER_INFO_H
#define PODSHIM_LAUNCHER_INFO_H

struct err;

/* Reads the runtime's options from stdin, writes one RuntimeInfo on stdout. */
int info_run(struct err *err);

#endif

/*
 * The worker's part of a dump (keeper/dump.h): what its loop knows.
 */
#ifndef PODSHIM_WORKER_REPORT_H
#define PODSHIM_WORKER_REPORT_H

struct pod;

/* Lines for people, to fd. */
void report_write(struct pod *pod, int fd);

#endif

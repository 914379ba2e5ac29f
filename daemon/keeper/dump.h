/*
 * A dump: what keeper and worker know, in one file of the pod's directory that
 * only root can read, for people. The keeper writes its own part and the black
 * box's at once; the worker's loop adds its part; where the worker is comes from
 * its handler of SIGUSR1, or, if that does not run (stopped, in the kernel),
 * from a helper that looks at it from outside. It takes 3 s at the most.
 */
#ifndef PODSHIM_KEEPER_DUMP_H
#define PODSHIM_KEEPER_DUMP_H

#include <stdint.h>

struct dump;
struct pod;

struct dump *dump_new(struct pod *pod);
void dump_free(struct dump *dump);

/*
 * Begin one, or join the one under way. cb, unless NULL, runs once: 0 and the
 * file's path, or a positive errno and a sentence; perhaps from this call.
 */
typedef void (*dump_done_cb)(int error, const char *text, void *arg);
void dump_begin(struct pod *pod, dump_done_cb cb, void *arg);
void dump_forget_asker(struct pod *pod, const void *arg);

/* What the worker said (handle.c). seq 0: somebody else sent it the signal. */
void dump_on_frames(struct pod *pod, uint64_t seq);
void dump_on_told(struct pod *pod);

#endif

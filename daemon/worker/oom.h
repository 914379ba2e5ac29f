/*
 * Out of memory: TaskOOM when the kernel's count of kills in a container's
 * cgroup has grown beyond what we have told (oom_seen, a column). The kernel's
 * notifications only say when to look. No inotify instances, no timers.
 */
#ifndef PODSHIM_WORKER_OOM_H
#define PODSHIM_WORKER_OOM_H

#include <stdbool.h>
#include <stdint.h>

struct container;
struct pod;

/*
 * Begin to watch c, whose c->dirs are known. fresh: what the kernel has counted so far
 * is not ours to tell; else (after a worker's restart) the difference is told
 * now. Without a memory controller there is nothing to watch.
 */
void oom_watch(struct container *c, bool fresh);
/*
 * Inside a transaction, before the event that is not to come first: if the count
 * has grown, TaskOOM and the container's row.
 */
void oom_note(struct container *c);
/* TaskOOM would come too late from now on. NULL watch is fine; also frees it. */
void oom_unwatch(struct container *c);

/*
 * The count of kills below a cgroup directory. v1: memory.oom_control of it and
 * all below it, for the kernel counts each alone there; *whole false: of some of these
 * only, there are too many. v2: of an open memory.events, by pread, which also arms
 * the next notification. False if it is gone or does not say.
 */
bool oom_count_v1(int dirfd, uint64_t *out, bool *whole);
bool oom_count_v2(int events_fd, uint64_t *out);
/* The value behind key in text; false if there is none. */
bool oom_parse(const char *text, const char *key, uint64_t *out);

#endif

/*
 * What a container uses, read from its cgroup's files, v1 or v2: nobody is
 * asked, so it works with everything else dead.
 */
#ifndef PODSHIM_CLIENT_USAGE_H
#define PODSHIM_CLIENT_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct cgroup_dirs;
struct container_info;

/* -1: not known, no such controller, or no limit. */
struct usage {
	int64_t at_ns;	/* on the clock that counts since boot */
	int64_t cpu_ns; /* spent since the cgroup was made */
	int64_t memory; /* bytes, without file pages that could be dropped at once */
	int64_t memory_limit;
	int64_t pids;
	int64_t pids_limit;
	int64_t read_bytes; /* from block devices */
	int64_t written_bytes;
	int64_t oom_kills; /* processes that the kernel has killed for want of memory */
};

/* false: it has no cgroup (any more). */
bool usage_read(const struct container_info *c, struct usage *out);
bool usage_read_dirs(const struct cgroup_dirs *dirs, struct usage *out);
/* Processors' worth of time between the two, 100 for one of them; -1 if not known. */
double usage_cpu_percent(const struct usage *before, const struct usage *now);

#endif

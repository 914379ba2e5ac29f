/*
 * The same few numbers under two sets of names. Limits that are none are told
 * as "max" by v2, as a number near the largest by v1.
 */
#include "client/usage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/pods.h"
#include "client/proc.h"
#include "oci/cgroup_dirs.h"

#define TEXT_MAX (64 * 1024)
#define NO_LIMIT (INT64_C(1) << 60)

static char *
text_of(const struct cgroup_fds *fds, enum cgroup_dir dir, const char *name)
{
	char *text = NULL;
	size_t len;

	return fds->fd[dir] == -1 ||
		file_read(fds->fd[dir], name, TEXT_MAX, &text, &len, NULL) < 0
	    ? NULL
	    : text;
}

static int64_t
number(const char *s)
{
	unsigned long long n;
	char *end;

	if (s == NULL)
		return -1;
	errno = 0;
	n = strtoull(s, &end, 10);
	return errno != 0 || end == s || n > (unsigned long long)NO_LIMIT ? -1
									  : (int64_t)n;
}

static int64_t
number_of(const struct cgroup_fds *fds, enum cgroup_dir dir, const char *name)
{
	AUTO_FREE char *text = text_of(fds, dir, name);

	return number(text);
}

/* The sum of all numbers behind this word, "key 123" or "key=123"; -1: none. */
static int64_t
sum_of(const char *text, const char *key)
{
	size_t len = strlen(key);
	int64_t sum = -1, n;
	const char *p = text;

	while (p != NULL && (p = strstr(p, key)) != NULL) {
		bool begins = p == text || p[-1] == ' ' || p[-1] == '\n';

		p += len;
		if (!begins || (*p != ' ' && *p != '='))
			continue;
		n = number(p + 1);
		if (n >= 0)
			sum = sum < 0 ? n : sum + n;
	}
	return sum;
}

static int64_t
value_in(
    const struct cgroup_fds *fds, enum cgroup_dir dir, const char *name, const char *key)
{
	AUTO_FREE char *text = text_of(fds, dir, name);

	return text == NULL ? -1 : sum_of(text, key);
}

static int64_t
without(int64_t all, int64_t part)
{
	return all >= 0 && part > 0 ? (all > part ? all - part : 0) : all;
}

static void
read_v2(const struct cgroup_fds *fds, struct usage *u)
{
	AUTO_FREE char *io = text_of(fds, DIR_PIDS, "io.stat");
	int64_t us = value_in(fds, DIR_PIDS, "cpu.stat", "usage_usec");

	u->cpu_ns = us < 0 ? -1 : us * (NS_PER_S / (int64_t)US_PER_S);
	u->memory = without(number_of(fds, DIR_PIDS, "memory.current"),
	    value_in(fds, DIR_PIDS, "memory.stat", "inactive_file"));
	u->memory_limit = number_of(fds, DIR_PIDS, "memory.max");
	u->pids = number_of(fds, DIR_PIDS, "pids.current");
	u->pids_limit = number_of(fds, DIR_PIDS, "pids.max");
	/* an io.stat without a line: nothing was read or written yet */
	u->read_bytes = io == NULL ? -1 : *io == '\0' ? 0 : sum_of(io, "rbytes");
	u->written_bytes = io == NULL ? -1 : *io == '\0' ? 0 : sum_of(io, "wbytes");
	u->oom_kills = value_in(fds, DIR_PIDS, "memory.events", "oom_kill");
}

static void
read_v1(const struct cgroup_fds *fds, struct usage *u)
{
	AUTO_FREE char *io = text_of(fds, DIR_BLKIO, "blkio.throttle.io_service_bytes");

	u->cpu_ns = number_of(fds, DIR_CPUACCT, "cpuacct.usage");
	u->memory = without(number_of(fds, DIR_MEMORY, "memory.usage_in_bytes"),
	    value_in(fds, DIR_MEMORY, "memory.stat", "total_inactive_file"));
	u->memory_limit = number_of(fds, DIR_MEMORY, "memory.limit_in_bytes");
	u->pids = number_of(fds, DIR_PIDS, "pids.current");
	u->pids_limit = number_of(fds, DIR_PIDS, "pids.max");
	/* without a device there is only "Total 0" */
	u->read_bytes = io == NULL ? -1 : sum_of(io, "Read");
	u->written_bytes = io == NULL ? -1 : sum_of(io, "Write");
	if (io != NULL && u->read_bytes < 0 && u->written_bytes < 0)
		u->read_bytes = u->written_bytes = 0;
	u->oom_kills = value_in(fds, DIR_MEMORY, "memory.oom_control", "oom_kill");
}

bool
usage_read_dirs(const struct cgroup_dirs *dirs, struct usage *out)
{
	struct cgroup_fds fds;

	*out = (struct usage){-1, -1, -1, -1, -1, -1, -1, -1, -1};
	if (cgroup_fds_open(&fds, dirs) == 0)
		return false;
	out->at_ns = (int64_t)clock_boot_us() * (NS_PER_S / (int64_t)US_PER_S);
	if (fds.v2)
		read_v2(&fds, out);
	else
		read_v1(&fds, out);
	cgroup_fds_close(&fds);
	return true;
}

bool
usage_read(const struct container_info *c, struct usage *out)
{
	struct proc p;
	pid_t init = c->n_processes > 0 && c->processes[0].state != TASK_STOPPED &&
		proc_read(c->processes[0].pid, &p) &&
		proc_is_recorded(&p, &c->processes[0])
	    ? p.pid
	    : 0;
	struct cgroup_dirs *dirs =
	    *c->cgroup == '\0' ? NULL : cgroup_dirs_find(init, c->cgroup);
	bool known;

	*out = (struct usage){-1, -1, -1, -1, -1, -1, -1, -1, -1};
	if (dirs == NULL)
		return false;
	known = usage_read_dirs(dirs, out);
	cgroup_dirs_free(dirs);
	return known;
}

double
usage_cpu_percent(const struct usage *before, const struct usage *now)
{
	if (before->cpu_ns < 0 || now->cpu_ns < before->cpu_ns ||
	    now->at_ns <= before->at_ns)
		return -1;
	return 100.0 * (double)(now->cpu_ns - before->cpu_ns) /
	    (double)(now->at_ns - before->at_ns);
}

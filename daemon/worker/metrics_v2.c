/*
 * io.containerd.cgroups.v2.Metrics. All files of all controllers stand in one
 * directory; a controller that is not enabled there has none. What surprises:
 * "max" is told as the largest number, and memory.max and memory.events are
 * missing in a root cgroup only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/metrics_v2.pb-c.h"
#include "oci/cgroup_dirs.h"
#include "worker/metrics.h"

typedef Io__Containerd__Cgroups__V2__Metrics metrics;
typedef Io__Containerd__Cgroups__V2__PidsStat pids_stat;
typedef Io__Containerd__Cgroups__V2__CPUStat cpu_stat;
typedef Io__Containerd__Cgroups__V2__MemoryStat memory_stat;
typedef Io__Containerd__Cgroups__V2__MemoryEvents memory_events;
typedef Io__Containerd__Cgroups__V2__IOStat io_stat;
typedef Io__Containerd__Cgroups__V2__IOEntry io_entry;
typedef Io__Containerd__Cgroups__V2__HugeTlbStat hugetlb_stat;
typedef Io__Containerd__Cgroups__V2__RdmaStat rdma_stat;
typedef Io__Containerd__Cgroups__V2__RdmaEntry rdma_entry;
typedef Io__Containerd__Cgroups__V2__PSIStats psi_stats;
typedef Io__Containerd__Cgroups__V2__PSIData psi_data;

#define NEW(type, init) ((type *)mem_dup(&(type)init, sizeof(type)))

/* --- pressure ------------------------------------------------------------------- */

/* "some avg10=0.12 avg60=0.00 avg300=0.00 total=123" behind the first word. */
static psi_data *
v2_psi_line(char *line)
{
	psi_data *d = NEW(psi_data, IO__CONTAINERD__CGROUPS__V2__PSIDATA__INIT);
	const struct {
		const char *key;
		double *value;
	} averages[] = {
	    {"avg10", &d->avg10},
	    {"avg60", &d->avg60},
	    {"avg300", &d->avg300},
	};
	char *word;
	size_t i;

	while ((word = metrics_word(&line)) != NULL) {
		char *value = strchr(word, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		if (strcmp(word, "total") == 0)
			d->total = metrics_parse(value);
		for (i = 0; i < ARRAY_LEN(averages); i++) {
			if (strcmp(word, averages[i].key) == 0)
				*averages[i].value = strtod(value, NULL);
		}
	}
	return d;
}

/* NULL where the kernel does not count pressure. */
static psi_stats *
v2_psi(int fd, const char *name)
{
	char *text = metrics_text(fd, name), *line;
	psi_stats *s;

	if (text == NULL || text[0] == '\0')
		return NULL;
	s = NEW(psi_stats, IO__CONTAINERD__CGROUPS__V2__PSISTATS__INIT);
	while ((line = metrics_line(&text)) != NULL) {
		const char *kind = metrics_word(&line);

		if (kind != NULL && strcmp(kind, "some") == 0 && s->some == NULL)
			s->some = v2_psi_line(line);
		else if (kind != NULL && strcmp(kind, "full") == 0 && s->full == NULL)
			s->full = v2_psi_line(line);
	}
	return s;
}

/* --- pids, cpu -------------------------------------------------------------------- */

static pids_stat *
v2_pids(int fd)
{
	uint64_t current;
	pids_stat *s;

	if (!metrics_number(fd, "pids.current", &current))
		return NULL;
	s = NEW(pids_stat, IO__CONTAINERD__CGROUPS__V2__PIDS_STAT__INIT);
	s->current = current;
	(void)metrics_number(fd, "pids.max", &s->limit);
	return s;
}

static cpu_stat *
v2_cpu(int fd)
{
	static const struct metrics_key keys[] = {
	    {"usage_usec", offsetof(cpu_stat, usage_usec)},
	    {"user_usec", offsetof(cpu_stat, user_usec)},
	    {"system_usec", offsetof(cpu_stat, system_usec)},
	    {"nr_periods", offsetof(cpu_stat, nr_periods)},
	    {"nr_throttled", offsetof(cpu_stat, nr_throttled)},
	    {"throttled_usec", offsetof(cpu_stat, throttled_usec)},
	    {"nr_bursts", offsetof(cpu_stat, nr_bursts)},
	    {"burst_usec", offsetof(cpu_stat, burst_usec)},
	};
	char *text = metrics_text(fd, "cpu.stat");
	cpu_stat *s;

	if (text == NULL)
		return NULL;
	s = NEW(cpu_stat, IO__CONTAINERD__CGROUPS__V2__CPUSTAT__INIT);
	metrics_keys(text, keys, ARRAY_LEN(keys), s);
	s->psi = v2_psi(fd, "cpu.pressure");
	return s;
}

/* --- memory ------------------------------------------------------------------------ */

#define STAT(field)                                                                      \
	{                                                                                \
#field, offsetof(memory_stat, field)                                     \
	}

static const struct metrics_key memory_keys[] = {
    STAT(anon),
    STAT(file),
    STAT(kernel_stack),
    STAT(sock),
    STAT(shmem),
    STAT(file_mapped),
    STAT(file_dirty),
    STAT(file_writeback),
    STAT(anon_thp),
    STAT(inactive_anon),
    STAT(active_anon),
    STAT(inactive_file),
    STAT(active_file),
    STAT(unevictable),
    STAT(slab_reclaimable),
    STAT(slab_unreclaimable),
    STAT(slab),
    STAT(workingset_refault),
    STAT(workingset_activate),
    STAT(workingset_nodereclaim),
    STAT(pgscan),
    STAT(pgsteal),
    STAT(pgfault),
    STAT(pgmajfault),
    STAT(pgrefill),
    STAT(pgactivate),
    STAT(pgdeactivate),
    STAT(pglazyfree),
    STAT(pglazyfreed),
    STAT(thp_fault_alloc),
    STAT(thp_collapse_alloc),
};

static memory_stat *
v2_memory(int fd)
{
	char *text = metrics_text(fd, "memory.stat");
	memory_stat *s;

	if (text == NULL)
		return NULL;
	s = NEW(memory_stat, IO__CONTAINERD__CGROUPS__V2__MEMORY_STAT__INIT);
	metrics_keys(text, memory_keys, ARRAY_LEN(memory_keys), s);
	(void)metrics_number(fd, "memory.current", &s->usage);
	(void)metrics_number(fd, "memory.max", &s->usage_limit);
	(void)metrics_number(fd, "memory.peak", &s->max_usage);
	(void)metrics_number(fd, "memory.swap.current", &s->swap_usage);
	(void)metrics_number(fd, "memory.swap.max", &s->swap_limit);
	(void)metrics_number(fd, "memory.swap.peak", &s->swap_max_usage);
	s->psi = v2_psi(fd, "memory.pressure");
	return s;
}

static memory_events *
v2_memory_events(int fd)
{
	static const struct metrics_key keys[] = {
	    {"low", offsetof(memory_events, low)},
	    {"high", offsetof(memory_events, high)},
	    {"max", offsetof(memory_events, max)},
	    {"oom", offsetof(memory_events, oom)},
	    {"oom_kill", offsetof(memory_events, oom_kill)},
	    {"oom_group_kill", offsetof(memory_events, oom_group_kill)},
	};
	char *text = metrics_text(fd, "memory.events");
	memory_events *s;

	if (text == NULL)
		return NULL;
	s = NEW(memory_events, IO__CONTAINERD__CGROUPS__V2__MEMORY_EVENTS__INIT);
	metrics_keys(text, keys, ARRAY_LEN(keys), s);
	return s;
}

/* --- io, hugetlb, rdma ---------------------------------------------------------------- */

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"; a device without I/O stands alone */
static io_entry *
v2_io_line(char *line)
{
	char *dev = metrics_word(&line), *word, *end;
	io_entry *e;

	if (dev == NULL || strchr(dev, ':') == NULL)
		return NULL;
	e = NEW(io_entry, IO__CONTAINERD__CGROUPS__V2__IOENTRY__INIT);
	e->major = strtoull(dev, &end, 10);
	e->minor = strtoull(end + 1, NULL, 10);
	while ((word = metrics_word(&line)) != NULL) {
		const struct {
			const char *key;
			uint64_t *value;
		} keys[] = {
		    {"rbytes=", &e->rbytes},
		    {"wbytes=", &e->wbytes},
		    {"rios=", &e->rios},
		    {"wios=", &e->wios},
		};
		size_t i;

		for (i = 0; i < ARRAY_LEN(keys); i++) {
			if (strncmp(word, keys[i].key, strlen(keys[i].key)) == 0)
				*keys[i].value =
				    metrics_parse(word + strlen(keys[i].key));
		}
	}
	return e;
}

static io_stat *
v2_io(int fd)
{
	char *text = metrics_text(fd, "io.stat"), *line;
	io_stat *s;

	if (text == NULL)
		return NULL;
	s = NEW(io_stat, IO__CONTAINERD__CGROUPS__V2__IOSTAT__INIT);
	while ((line = metrics_line(&text)) != NULL) {
		io_entry *e = v2_io_line(line);

		if (e == NULL)
			continue;
		s->usage = mem_realloc(s->usage, (s->n_usage + 1) * sizeof *s->usage);
		s->usage[s->n_usage++] = e;
	}
	s->psi = v2_psi(fd, "io.pressure");
	return s;
}

static void
v2_hugetlb(int fd, const struct metrics_host *host, metrics *m)
{
	size_t i;

	m->hugetlb = mem_zalloc((host->n_page_sizes + 1) * sizeof *m->hugetlb);
	for (i = 0; i < host->n_page_sizes; i++) {
		const char *size = host->page_sizes[i];
		hugetlb_stat *s;
		uint64_t current;
		char name[64];

		(void)snprintf(name, sizeof name, "hugetlb.%s.current", size);
		if (!metrics_number(fd, name, &current))
			continue;
		s = NEW(hugetlb_stat, IO__CONTAINERD__CGROUPS__V2__HUGE_TLB_STAT__INIT);
		s->current = current;
		s->pagesize = mem_strdup(size);
		(void)snprintf(name, sizeof name, "hugetlb.%s.max", size);
		(void)metrics_number(fd, name, &s->max);
		(void)snprintf(name, sizeof name, "hugetlb.%s.events", size);
		(void)metrics_key(fd, name, "max", &s->failcnt);
		m->hugetlb[m->n_hugetlb++] = s;
	}
}

/* "mlx5_0 hca_handle=2 hca_object=max" */
static rdma_entry **
v2_rdma_file(int fd, const char *name, size_t *n)
{
	char *text = metrics_text(fd, name), *line;
	rdma_entry **list = NULL;

	*n = 0;
	while (text != NULL && (line = metrics_line(&text)) != NULL) {
		const char *device = metrics_word(&line), *word;
		rdma_entry *e;

		if (device == NULL)
			continue;
		e = NEW(rdma_entry, IO__CONTAINERD__CGROUPS__V2__RDMA_ENTRY__INIT);
		e->device = mem_strdup(device);
		while ((word = metrics_word(&line)) != NULL) {
			if (strncmp(word, "hca_handle=", 11) == 0)
				e->hca_handles = (uint32_t)metrics_parse(word + 11);
			else if (strncmp(word, "hca_object=", 11) == 0)
				e->hca_objects = (uint32_t)metrics_parse(word + 11);
		}
		list = mem_realloc(list, (*n + 1) * sizeof *list);
		list[(*n)++] = e;
	}
	return list;
}

static rdma_stat *
v2_rdma(int fd)
{
	rdma_stat *s;

	if (metrics_text(fd, "rdma.current") == NULL)
		return NULL;
	s = NEW(rdma_stat, IO__CONTAINERD__CGROUPS__V2__RDMA_STAT__INIT);
	s->current = v2_rdma_file(fd, "rdma.current", &s->n_current);
	s->limit = v2_rdma_file(fd, "rdma.max", &s->n_limit);
	return s;
}

ProtobufCMessage *
metrics_v2_read(const struct cgroup_fds *fds, const struct metrics_host *host)
{
	metrics *m = NEW(metrics, IO__CONTAINERD__CGROUPS__V2__METRICS__INIT);
	int fd = fds->fd[0];

	m->pids = v2_pids(fd);
	m->cpu = v2_cpu(fd);
	m->memory = v2_memory(fd);
	m->memory_events = v2_memory_events(fd);
	m->rdma = v2_rdma(fd);
	m->io = v2_io(fd);
	v2_hugetlb(fd, host, m);
	return &m->base;
}

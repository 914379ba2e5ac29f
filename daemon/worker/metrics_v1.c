/*
 * io.containerd.cgroups.v1.Metrics. What surprises: "max" of pids is told as 0
 * (no limit) here, unlike on v2; CPU time in cpuacct.stat is in clock ticks of
 * 1/100 s whatever the kernel's own tick is; and I/O is counted in one of
 * several sets of files, by the block layer's scheduler.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "proto/metrics_v1.pb-c.h"
#include "oci/cgroup_dirs.h"
#include "worker/metrics.h"

#define NS_PER_TICK UINT64_C(10000000) /* USER_HZ is 100 */

typedef Io__Containerd__Cgroups__V1__Metrics metrics;
typedef Io__Containerd__Cgroups__V1__PidsStat pids_stat;
typedef Io__Containerd__Cgroups__V1__CPUStat cpu_stat;
typedef Io__Containerd__Cgroups__V1__CPUUsage cpu_usage;
typedef Io__Containerd__Cgroups__V1__Throttle throttle;
typedef Io__Containerd__Cgroups__V1__MemoryStat memory_stat;
typedef Io__Containerd__Cgroups__V1__MemoryEntry memory_entry;
typedef Io__Containerd__Cgroups__V1__MemoryOomControl oom_control;
typedef Io__Containerd__Cgroups__V1__HugetlbStat hugetlb_stat;
typedef Io__Containerd__Cgroups__V1__BlkIOStat blkio_stat;
typedef Io__Containerd__Cgroups__V1__BlkIOEntry blkio_entry;
typedef Io__Containerd__Cgroups__V1__RdmaStat rdma_stat;
typedef Io__Containerd__Cgroups__V1__RdmaEntry rdma_entry;

#define NEW(type, init) ((type *)mem_dup(&(type)init, sizeof(type)))

/* --- pids, cpu ------------------------------------------------------------------ */

static pids_stat *
v1_pids(int fd)
{
	uint64_t current, limit;
	pids_stat *s;

	if (!metrics_number(fd, "pids.current", &current))
		return NULL;
	s = NEW(pids_stat, IO__CONTAINERD__CGROUPS__V1__PIDS_STAT__INIT);
	s->current = current;
	if (metrics_number(fd, "pids.max", &limit) && limit != UINT64_MAX)
		s->limit = limit;
	return s;
}

static void
v1_per_cpu(int fd, cpu_usage *u)
{
	char *text = metrics_text(fd, "cpuacct.usage_percpu"), *word;
	size_t cap = 0;

	if (text == NULL)
		return;
	text[strcspn(text, "\n")] = '\0';
	while ((word = metrics_word(&text)) != NULL) {
		if (u->n_per_cpu == cap) {
			cap = cap == 0 ? 16 : cap * 2;
			u->per_cpu = mem_realloc(u->per_cpu, cap * sizeof *u->per_cpu);
		}
		u->per_cpu[u->n_per_cpu++] = metrics_parse(word);
	}
}

static cpu_stat *
v1_cpu(int cpu, int cpuacct)
{
	static const struct metrics_key ticks[] = {
	    {"user", offsetof(cpu_usage, user)},
	    {"system", offsetof(cpu_usage, kernel)},
	};
	static const struct metrics_key throttled[] = {
	    {"nr_periods", offsetof(throttle, periods)},
	    {"nr_throttled", offsetof(throttle, throttled_periods)},
	    {"throttled_time", offsetof(throttle, throttled_time)},
	};
	cpu_stat *s;
	char *text;

	if (cpu < 0 && cpuacct < 0)
		return NULL;
	s = NEW(cpu_stat, IO__CONTAINERD__CGROUPS__V1__CPUSTAT__INIT);
	s->usage = NEW(cpu_usage, IO__CONTAINERD__CGROUPS__V1__CPUUSAGE__INIT);
	s->throttling = NEW(throttle, IO__CONTAINERD__CGROUPS__V1__THROTTLE__INIT);
	(void)metrics_number(cpuacct, "cpuacct.usage", &s->usage->total);
	text = metrics_text(cpuacct, "cpuacct.stat");
	if (text != NULL) {
		metrics_keys(text, ticks, ARRAY_LEN(ticks), s->usage);
		s->usage->user *= NS_PER_TICK;
		s->usage->kernel *= NS_PER_TICK;
	}
	v1_per_cpu(cpuacct, s->usage);
	text = metrics_text(cpu, "cpu.stat");
	if (text != NULL)
		metrics_keys(text, throttled, ARRAY_LEN(throttled), s->throttling);
	return s;
}

/* --- memory ----------------------------------------------------------------------- */

#define STAT(key, field)                                                                 \
	{                                                                                \
		key, offsetof(memory_stat, field)                                        \
	}

static const struct metrics_key memory_keys[] = {
    STAT("cache", cache),
    STAT("rss", rss),
    STAT("rss_huge", rss_huge),
    STAT("mapped_file", mapped_file),
    STAT("dirty", dirty),
    STAT("writeback", writeback),
    STAT("pgpgin", pg_pg_in),
    STAT("pgpgout", pg_pg_out),
    STAT("pgfault", pg_fault),
    STAT("pgmajfault", pg_maj_fault),
    STAT("inactive_anon", inactive_anon),
    STAT("active_anon", active_anon),
    STAT("inactive_file", inactive_file),
    STAT("active_file", active_file),
    STAT("unevictable", unevictable),
    STAT("hierarchical_memory_limit", hierarchical_memory_limit),
    STAT("hierarchical_memsw_limit", hierarchical_swap_limit),
    STAT("total_cache", total_cache),
    STAT("total_rss", total_rss),
    STAT("total_rss_huge", total_rss_huge),
    STAT("total_mapped_file", total_mapped_file),
    STAT("total_dirty", total_dirty),
    STAT("total_writeback", total_writeback),
    STAT("total_pgpgin", total_pg_pg_in),
    STAT("total_pgpgout", total_pg_pg_out),
    STAT("total_pgfault", total_pg_fault),
    STAT("total_pgmajfault", total_pg_maj_fault),
    STAT("total_inactive_anon", total_inactive_anon),
    STAT("total_active_anon", total_active_anon),
    STAT("total_inactive_file", total_inactive_file),
    STAT("total_active_file", total_active_file),
    STAT("total_unevictable", total_unevictable),
};

/* memory.usage_in_bytes, memory.memsw.usage_in_bytes, …: what is "" or "memsw." there. */
static memory_entry *
v1_memory_entry(int fd, const char *what)
{
	memory_entry *e =
	    NEW(memory_entry, IO__CONTAINERD__CGROUPS__V1__MEMORY_ENTRY__INIT);
	const struct {
		const char *file;
		uint64_t *value;
	} files[] = {
	    {"usage_in_bytes", &e->usage},
	    {"max_usage_in_bytes", &e->max},
	    {"failcnt", &e->failcnt},
	    {"limit_in_bytes", &e->limit},
	};
	bool any = false;
	char name[64];
	size_t i;

	for (i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(name, sizeof name, "memory.%s%s", what, files[i].file);
		if (metrics_number(fd, name, files[i].value))
			any = true;
	}
	if (any)
		return e;
	free(e);
	return NULL;
}

static memory_stat *
v1_memory(int fd)
{
	char *text = metrics_text(fd, "memory.stat");
	memory_stat *s;

	if (text == NULL)
		return NULL;
	s = NEW(memory_stat, IO__CONTAINERD__CGROUPS__V1__MEMORY_STAT__INIT);
	metrics_keys(text, memory_keys, ARRAY_LEN(memory_keys), s);
	s->usage = v1_memory_entry(fd, "");
	s->swap = v1_memory_entry(fd, "memsw.");
	s->kernel = v1_memory_entry(fd, "kmem.");
	s->kernel_tcp = v1_memory_entry(fd, "kmem.tcp.");
	return s;
}

static oom_control *
v1_oom(int fd)
{
	static const struct metrics_key keys[] = {
	    {"oom_kill_disable", offsetof(oom_control, oom_kill_disable)},
	    {"under_oom", offsetof(oom_control, under_oom)},
	    {"oom_kill", offsetof(oom_control, oom_kill)},
	};
	char *text = metrics_text(fd, "memory.oom_control");
	oom_control *s;

	if (text == NULL)
		return NULL;
	s = NEW(oom_control, IO__CONTAINERD__CGROUPS__V1__MEMORY_OOM_CONTROL__INIT);
	metrics_keys(text, keys, ARRAY_LEN(keys), s);
	return s;
}

/* --- blkio -------------------------------------------------------------------------- */

struct v1_blkio_file {
	const char *name;
	size_t n, list; /* offsets of the repeated field's two parts */
};

#define BLKIO(name, field)                                                               \
	{                                                                                \
		name, offsetof(blkio_stat, n_##field), offsetof(blkio_stat, field)       \
	}

/* /proc/diskstats: "   8       0 sda 1 2 …" → "/dev/sda"; NULL if it is not there. */
static char *
v1_device_name(const char *diskstats, uint64_t major, uint64_t minor)
{
	const char *line = diskstats;
	char *end;

	while (*line != '\0') {
		uint64_t a = strtoull(line, &end, 10), b = strtoull(end, &end, 10);

		if (a == major && b == minor && *end == ' ')
			return mem_printf(
			    "/dev/%.*s", (int)strcspn(end + 1, " \n"), end + 1);
		line = strchrnul(end, '\n');
		if (*line == '\n')
			line++;
	}
	return NULL;
}

/* "8:0 Read 4096", "8:0 4096", and a last "Total 4096" that belongs to no device. */
static bool
v1_blkio_line(char *line, blkio_entry *e)
{
	char *dev = metrics_word(&line), *op = dev == NULL ? NULL : metrics_word(&line);
	char *value = op == NULL ? NULL : metrics_word(&line), *end;

	if (op == NULL || strchr(dev, ':') == NULL)
		return false;
	*e = (blkio_entry)IO__CONTAINERD__CGROUPS__V1__BLK_IOENTRY__INIT;
	e->major = strtoull(dev, &end, 10);
	e->minor = strtoull(end + 1, NULL, 10);
	if (value != NULL)
		e->op = mem_strdup(op);
	e->value = metrics_parse(value != NULL ? value : op);
	return true;
}

static size_t
v1_blkio_file(int fd, const struct v1_blkio_file *f, blkio_stat *s)
{
	char *text = metrics_text(fd, f->name), *line;
	blkio_entry **list = NULL, e;
	size_t n = 0;

	while (text != NULL && (line = metrics_line(&text)) != NULL) {
		if (!v1_blkio_line(line, &e))
			continue;
		if ((n & (n - 1)) == 0)
			list = mem_realloc(list, (n == 0 ? 1 : n * 2) * sizeof *list);
		list[n++] = mem_dup(&e, sizeof e);
	}
	memcpy((char *)s + f->n, &n, sizeof n);
	memcpy((char *)s + f->list, &list, sizeof list);
	return n;
}

static void
v1_blkio_names(const struct v1_blkio_file *f, blkio_stat *s, const char *diskstats)
{
	blkio_entry **list;
	size_t n, i;

	memcpy(&n, (char *)s + f->n, sizeof n);
	memcpy(&list, (char *)s + f->list, sizeof list);
	for (i = 0; i < n; i++) {
		char *name = v1_device_name(diskstats, list[i]->major, list[i]->minor);

		if (name != NULL)
			list[i]->device = name;
	}
}

static blkio_stat *
v1_blkio(int fd, const char *diskstats_path)
{
	static const struct v1_blkio_file cfq[] = {
	    BLKIO("blkio.sectors_recursive", sectors_recursive),
	    BLKIO("blkio.io_service_bytes_recursive", io_service_bytes_recursive),
	    BLKIO("blkio.io_serviced_recursive", io_serviced_recursive),
	    BLKIO("blkio.io_queued_recursive", io_queued_recursive),
	    BLKIO("blkio.io_service_time_recursive", io_service_time_recursive),
	    BLKIO("blkio.io_wait_time_recursive", io_wait_time_recursive),
	    BLKIO("blkio.io_merged_recursive", io_merged_recursive),
	    BLKIO("blkio.time_recursive", io_time_recursive),
	};
	static const struct v1_blkio_file bfq[] = {
	    BLKIO("blkio.bfq.sectors_recursive", sectors_recursive),
	    BLKIO("blkio.bfq.io_service_bytes_recursive", io_service_bytes_recursive),
	    BLKIO("blkio.bfq.io_serviced_recursive", io_serviced_recursive),
	    BLKIO("blkio.bfq.io_queued_recursive", io_queued_recursive),
	    BLKIO("blkio.bfq.io_service_time_recursive", io_service_time_recursive),
	    BLKIO("blkio.bfq.io_wait_time_recursive", io_wait_time_recursive),
	    BLKIO("blkio.bfq.io_merged_recursive", io_merged_recursive),
	    BLKIO("blkio.bfq.time_recursive", io_time_recursive),
	};
	/* without the recursive ones: they exist since Linux 5.0 only, these always */
	static const struct v1_blkio_file throttled[] = {
	    BLKIO("blkio.throttle.io_serviced", io_serviced_recursive),
	    BLKIO("blkio.throttle.io_service_bytes", io_service_bytes_recursive),
	};
	static const struct {
		const struct v1_blkio_file *files;
		size_t n;
	} sets[] = {
	    {cfq, ARRAY_LEN(cfq)},
	    {bfq, ARRAY_LEN(bfq)},
	    {throttled, ARRAY_LEN(throttled)},
	};
	AUTO_FREE char *names = NULL;
	size_t total = 0, i, j, len;
	blkio_stat *s;

	if (fd < 0)
		return NULL;
	s = NEW(blkio_stat, IO__CONTAINERD__CGROUPS__V1__BLK_IOSTAT__INIT);
	for (i = 0; i < ARRAY_LEN(sets) && total == 0; i++) {
		/* the scheduler's files come all or none */
		if (sets[i].n > 2 && metrics_text(fd, sets[i].files[2].name) == NULL)
			continue;
		for (j = 0; j < sets[i].n; j++)
			total += v1_blkio_file(fd, &sets[i].files[j], s);
		if (total == 0)
			continue;
		if (file_read(AT_FDCWD, diskstats_path, METRICS_TEXT_MAX * 16, &names,
			&len, NULL) < 0)
			break;
		for (j = 0; j < sets[i].n; j++)
			v1_blkio_names(&sets[i].files[j], s, names);
	}
	return s;
}

/* --- hugetlb, rdma ------------------------------------------------------------------- */

static void
v1_hugetlb(int fd, const struct metrics_host *host, metrics *m)
{
	size_t i;

	if (fd < 0)
		return;
	m->hugetlb = mem_zalloc((host->n_page_sizes + 1) * sizeof *m->hugetlb);
	for (i = 0; i < host->n_page_sizes; i++) {
		const char *size = host->page_sizes[i];
		hugetlb_stat *s;
		uint64_t usage;
		char name[64];

		(void)snprintf(name, sizeof name, "hugetlb.%s.usage_in_bytes", size);
		if (!metrics_number(fd, name, &usage))
			continue;
		s = NEW(hugetlb_stat, IO__CONTAINERD__CGROUPS__V1__HUGETLB_STAT__INIT);
		s->usage = usage;
		s->pagesize = mem_strdup(size);
		(void)snprintf(name, sizeof name, "hugetlb.%s.max_usage_in_bytes", size);
		(void)metrics_number(fd, name, &s->max);
		(void)snprintf(name, sizeof name, "hugetlb.%s.failcnt", size);
		(void)metrics_number(fd, name, &s->failcnt);
		m->hugetlb[m->n_hugetlb++] = s;
	}
}

/* "mlx5_0 hca_handle=2 hca_object=max" */
static rdma_entry **
v1_rdma_file(int fd, const char *name, size_t *n)
{
	char *text = metrics_text(fd, name), *line;
	rdma_entry **list = NULL;

	*n = 0;
	while (text != NULL && (line = metrics_line(&text)) != NULL) {
		const char *device = metrics_word(&line), *word;
		rdma_entry *e;

		if (device == NULL)
			continue;
		e = NEW(rdma_entry, IO__CONTAINERD__CGROUPS__V1__RDMA_ENTRY__INIT);
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
v1_rdma(int fd)
{
	rdma_stat *s;

	if (fd < 0)
		return NULL;
	s = NEW(rdma_stat, IO__CONTAINERD__CGROUPS__V1__RDMA_STAT__INIT);
	s->current = v1_rdma_file(fd, "rdma.current", &s->n_current);
	s->limit = v1_rdma_file(fd, "rdma.max", &s->n_limit);
	return s;
}

ProtobufCMessage *
metrics_v1_read(const struct cgroup_fds *fds, const struct metrics_host *host)
{
	metrics *m = NEW(metrics, IO__CONTAINERD__CGROUPS__V1__METRICS__INIT);

	v1_hugetlb(fds->fd[DIR_HUGETLB], host, m);
	m->pids = v1_pids(fds->fd[DIR_PIDS]);
	m->cpu = v1_cpu(fds->fd[DIR_CPU], fds->fd[DIR_CPUACCT]);
	m->memory = v1_memory(fds->fd[DIR_MEMORY]);
	m->memory_oom_control = v1_oom(fds->fd[DIR_MEMORY]);
	m->blkio = v1_blkio(fds->fd[DIR_BLKIO], host->diskstats);
	m->rdma = v1_rdma(fds->fd[DIR_RDMA]);
	return &m->base;
}

/*
 * Stats: fixture directories with what real kernels printed, missing controllers,
 * "max"; and the count of kills for memory, from such files.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "proto/metrics_v1.pb-c.h"
#include "proto/metrics_v2.pb-c.h"
#include "oci/cgroup.h"
#include "oci/cgroup_dirs.h"
#include "worker/metrics.h"
#include "worker/oom.h"

static const char *const sizes[] = {"2MB", "1GB"};

struct fixture {
	char dir[64];
	char diskstats[96];
	int dirfd;
	struct metrics_host host;
};

static int
setup(void **state)
{
	struct fixture *fx = mem_zalloc(sizeof *fx);

	(void)snprintf(fx->dir, sizeof fx->dir, "/tmp/test-metrics.XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	fx->dirfd = open(fx->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fx->dirfd >= 0);
	(void)snprintf(fx->diskstats, sizeof fx->diskstats, "%s/diskstats", fx->dir);
	fx->host = (struct metrics_host){sizes, 2, fx->diskstats};
	*state = fx;
	return 0;
}

static int
rm_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	struct fixture *fx = *state;

	fd_close(&fx->dirfd);
	(void)nftw(fx->dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fx);
	return 0;
}

static void
put(const struct fixture *fx, const char *name, const char *text)
{
	assert_int_equal(file_write(fx->dirfd, name, text, strlen(text), 0644, NULL), 0);
}

/* All controllers in one directory; -1 for those in `missing`. */
static struct cgroup_fds
fds_of(const struct fixture *fx, bool v2, unsigned missing)
{
	struct cgroup_fds fds = {.v2 = v2};
	int i;

	for (i = 0; i < DIR_N; i++)
		fds.fd[i] = (missing & 1u << i) != 0 ? -1 : fx->dirfd;
	return fds;
}

/* --- v1 ------------------------------------------------------------------------- */

typedef Io__Containerd__Cgroups__V1__Metrics v1;

static v1 *
read_v1(const struct fixture *fx, unsigned missing)
{
	struct cgroup_fds fds = fds_of(fx, false, missing);

	return (v1 *)metrics_v1_read(&fds, &fx->host);
}

static void
put_v1(const struct fixture *fx)
{
	put(fx, "pids.current", "7\n");
	put(fx, "pids.max", "50\n");
	put(fx, "cpuacct.usage", "29013833\n");
	put(fx, "cpuacct.usage_percpu", "26448547 2565286 \n");
	put(fx, "cpuacct.stat", "user 12\nsystem 3\n");
	put(fx, "cpu.stat",
	    "nr_periods 4\nnr_throttled 2\nthrottled_time 99\nnr_bursts 0\nburst_time "
	    "0\n");
	put(fx, "memory.stat",
	    "cache 4194304\nrss 53248\nrss_huge 1\nshmem 4194304\nmapped_file 2\ndirty "
	    "3\n"
	    "writeback 4\nworkingset_refault_anon 0\nswap 0\npgpgin 1722\npgpgout 685\n"
	    "pgfault 1049\npgmajfault 5\ninactive_anon 6\nactive_anon 7\ninactive_file "
	    "8\n"
	    "active_file 9\nunevictable 10\nhierarchical_memory_limit 33554432\n"
	    "hierarchical_memsw_limit 9223372036854771712\ntotal_cache 11\ntotal_rss 12\n"
	    "total_rss_huge 13\ntotal_mapped_file 14\ntotal_dirty 15\ntotal_writeback "
	    "16\n"
	    "total_pgpgin 17\ntotal_pgpgout 18\ntotal_pgfault 19\ntotal_pgmajfault 20\n"
	    "total_inactive_anon 21\ntotal_active_anon 22\ntotal_inactive_file 23\n"
	    "total_active_file 24\ntotal_unevictable 25\n");
	put(fx, "memory.usage_in_bytes", "4378624\n");
	put(fx, "memory.max_usage_in_bytes", "5582848\n");
	put(fx, "memory.limit_in_bytes", "33554432\n");
	put(fx, "memory.failcnt", "3\n");
	put(fx, "memory.kmem.usage_in_bytes", "135168\n");
	put(fx, "memory.oom_control", "oom_kill_disable 0\nunder_oom 1\noom_kill 6\n");
	put(fx, "blkio.throttle.io_service_bytes",
	    "8:0 Read 4096\n8:0 Write 0\n254:16 Total 12\nTotal 4108\n");
	put(fx, "blkio.throttle.io_serviced", "8:0 Read 1\nTotal 1\n");
	put(fx, "diskstats",
	    "   7       0 loop0 1 2\n   8       0 sda 10 20 30\n   8       1 sda1 1 2\n");
	put(fx, "hugetlb.2MB.usage_in_bytes", "2097152\n");
	put(fx, "hugetlb.2MB.max_usage_in_bytes", "4194304\n");
	put(fx, "hugetlb.2MB.failcnt", "1\n");
	put(fx, "rdma.current", "mlx4_0 hca_handle=2 hca_object=2000\n");
	put(fx, "rdma.max",
	    "mlx4_0 hca_handle=max hca_object=max\nocrdma1 hca_handle=3\n");
}

static void
check_v1_memory(const Io__Containerd__Cgroups__V1__MemoryStat *m)
{
	assert_int_equal(m->cache, 4194304);
	assert_int_equal(m->rss, 53248);
	assert_int_equal(m->pg_pg_in, 1722);
	assert_int_equal(m->pg_maj_fault, 5);
	assert_int_equal(m->unevictable, 10);
	assert_int_equal(m->hierarchical_swap_limit, UINT64_C(9223372036854771712));
	assert_int_equal(m->total_cache, 11);
	assert_int_equal(m->total_pg_fault, 19);
	assert_int_equal(m->total_unevictable, 25);
	assert_int_equal(m->usage->usage, 4378624);
	assert_int_equal(m->usage->max, 5582848);
	assert_int_equal(m->usage->limit, 33554432);
	assert_int_equal(m->usage->failcnt, 3);
	assert_int_equal(m->kernel->usage, 135168);
	assert_null(m->swap);
	assert_null(m->kernel_tcp);
}

static void
test_metrics_v1_all(void **state)
{
	struct fixture *fx = *state;
	v1 *m;

	put_v1(fx);
	m = read_v1(fx, 0);
	assert_int_equal(m->pids->current, 7);
	assert_int_equal(m->pids->limit, 50);
	assert_int_equal(m->cpu->usage->total, 29013833);
	assert_int_equal(m->cpu->usage->user, 120000000);
	assert_int_equal(m->cpu->usage->kernel, 30000000);
	assert_int_equal(m->cpu->usage->n_per_cpu, 2);
	assert_int_equal(m->cpu->usage->per_cpu[1], 2565286);
	assert_int_equal(m->cpu->throttling->throttled_periods, 2);
	check_v1_memory(m->memory);
	assert_int_equal(m->memory_oom_control->oom_kill, 6);
	assert_int_equal(m->memory_oom_control->under_oom, 1);
	assert_int_equal(m->blkio->n_io_service_bytes_recursive, 3);
	assert_string_equal(m->blkio->io_service_bytes_recursive[0]->device, "/dev/sda");
	assert_string_equal(m->blkio->io_service_bytes_recursive[0]->op, "Read");
	assert_int_equal(m->blkio->io_service_bytes_recursive[0]->value, 4096);
	assert_int_equal(m->blkio->io_service_bytes_recursive[2]->major, 254);
	assert_int_equal(m->blkio->io_service_bytes_recursive[2]->minor, 16);
	assert_string_equal(m->blkio->io_service_bytes_recursive[2]->device, "");
	assert_int_equal(m->blkio->n_io_serviced_recursive, 1);
	assert_int_equal(m->n_hugetlb, 1);
	assert_string_equal(m->hugetlb[0]->pagesize, "2MB");
	assert_int_equal(m->hugetlb[0]->max, 4194304);
	assert_int_equal(m->rdma->n_current, 1);
	assert_int_equal(m->rdma->current[0]->hca_objects, 2000);
	assert_int_equal(m->rdma->n_limit, 2);
	assert_int_equal(m->rdma->limit[0]->hca_handles, UINT32_MAX);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void
test_metrics_v1_schedulers_own_counters_come_first(void **state)
{
	struct fixture *fx = *state;
	v1 *m;

	put_v1(fx);
	put(fx, "blkio.bfq.io_serviced_recursive", "8:0 Read 77\nTotal 77\n");
	put(fx, "blkio.bfq.sectors_recursive", "8:0 9\n");
	m = read_v1(fx, 0);
	assert_int_equal(m->blkio->n_io_serviced_recursive, 1);
	assert_int_equal(m->blkio->io_serviced_recursive[0]->value, 77);
	assert_int_equal(m->blkio->n_sectors_recursive, 1);
	assert_string_equal(m->blkio->sectors_recursive[0]->op, "");
	assert_int_equal(m->blkio->sectors_recursive[0]->value, 9);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void
test_metrics_v1_no_limit_is_zero_and_missing_is_nothing(void **state)
{
	struct fixture *fx = *state;
	v1 *m;

	put_v1(fx);
	put(fx, "pids.max", "max\n");
	m = read_v1(
	    fx, 1u << DIR_MEMORY | 1u << DIR_HUGETLB | 1u << DIR_RDMA | 1u << DIR_BLKIO);
	assert_int_equal(m->pids->limit, 0);
	assert_null(m->memory);
	assert_null(m->memory_oom_control);
	assert_null(m->blkio);
	assert_null(m->rdma);
	assert_int_equal(m->n_hugetlb, 0);
	assert_non_null(m->cpu);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	m = read_v1(fx, UINT32_MAX);
	assert_null(m->pids);
	assert_null(m->cpu);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

/* --- v2 --------------------------------------------------------------------------- */

typedef Io__Containerd__Cgroups__V2__Metrics v2;

static v2 *
read_v2(const struct fixture *fx)
{
	struct cgroup_fds fds = fds_of(fx, true, 0);

	return (v2 *)metrics_v2_read(&fds, &fx->host);
}

static void
put_v2(const struct fixture *fx)
{
	put(fx, "pids.current", "2\n");
	put(fx, "pids.max", "max\n");
	put(fx, "cpu.stat",
	    "usage_usec 100\nuser_usec 60\nsystem_usec 40\nnice_usec 0\nnr_periods 5\n"
	    "nr_throttled 6\nthrottled_usec 7\nnr_bursts 8\nburst_usec 9\n");
	put(fx, "cpu.pressure",
	    "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n"
	    "full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n");
	put(fx, "memory.stat",
	    "anon 1\nfile 2\nkernel 500\nkernel_stack 3\npagetables 0\nsock 5\nshmem 6\n"
	    "file_mapped 7\nfile_dirty 8\nfile_writeback 9\nanon_thp 10\ninactive_anon "
	    "11\n"
	    "active_anon 12\ninactive_file 13\nactive_file 14\nunevictable 15\n"
	    "slab_reclaimable 16\nslab_unreclaimable 17\nslab "
	    "33\nworkingset_refault_anon 0\n"
	    "pgscan 24\npgsteal 25\npgfault 18\npgmajfault 19\npgrefill 23\npgactivate "
	    "26\n"
	    "pgdeactivate 27\npglazyfree 28\npglazyfreed 29\nthp_fault_alloc 30\n"
	    "thp_collapse_alloc 31\n");
	put(fx, "memory.current", "4096\n");
	put(fx, "memory.max", "max\n");
	put(fx, "memory.peak", "8192\n");
	put(fx, "memory.swap.current", "0\n");
	put(fx, "memory.swap.max", "1048576\n");
	put(fx, "memory.events",
	    "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
	put(fx, "io.stat",
	    "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:3 \n");
	put(fx, "hugetlb.1GB.current", "0\n");
	put(fx, "hugetlb.1GB.max", "max\n");
	put(fx, "hugetlb.1GB.events", "max 4\n");
}

static void
test_metrics_v2_all(void **state)
{
	struct fixture *fx = *state;
	v2 *m;

	put_v2(fx);
	m = read_v2(fx);
	assert_int_equal(m->pids->current, 2);
	assert_int_equal(m->pids->limit, UINT64_MAX);
	assert_int_equal(m->cpu->usage_usec, 100);
	assert_int_equal(m->cpu->throttled_usec, 7);
	assert_int_equal(m->cpu->burst_usec, 9);
	assert_true(m->cpu->psi->some->avg10 > 1.49 && m->cpu->psi->some->avg10 < 1.51);
	assert_int_equal(m->cpu->psi->some->total, 1234);
	assert_int_equal(m->cpu->psi->full->total, 5);
	assert_int_equal(m->memory->anon, 1);
	assert_int_equal(m->memory->slab, 33);
	assert_int_equal(m->memory->pgfault, 18);
	assert_int_equal(m->memory->thp_collapse_alloc, 31);
	assert_int_equal(m->memory->usage, 4096);
	assert_int_equal(m->memory->usage_limit, UINT64_MAX);
	assert_int_equal(m->memory->max_usage, 8192);
	assert_int_equal(m->memory->swap_limit, 1048576);
	assert_null(m->memory->psi);
	assert_int_equal(m->memory_events->oom_kill, 5);
	assert_int_equal(m->memory_events->oom_group_kill, 6);
	assert_int_equal(m->io->n_usage, 2);
	assert_int_equal(m->io->usage[0]->wbytes, 2);
	assert_int_equal(m->io->usage[1]->major, 254);
	assert_int_equal(m->n_hugetlb, 1);
	assert_string_equal(m->hugetlb[0]->pagesize, "1GB");
	assert_int_equal(m->hugetlb[0]->max, UINT64_MAX);
	assert_int_equal(m->hugetlb[0]->failcnt, 4);
	assert_null(m->rdma);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void
test_metrics_v2_missing_is_nothing(void **state)
{
	v2 *m = read_v2(*state);

	assert_null(m->pids);
	assert_null(m->cpu);
	assert_null(m->memory);
	assert_null(m->memory_events);
	assert_null(m->io);
	assert_null(m->rdma);
	assert_int_equal(m->n_hugetlb, 0);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void
test_metrics_garbage_harms_nobody(void **state)
{
	static const char *const files[] = {"pids.current", "pids.max", "cpu.stat",
	    "memory.stat", "memory.events", "memory.oom_control", "io.stat",
	    "cpu.pressure", "rdma.current", "blkio.throttle.io_serviced", "diskstats",
	    "cpuacct.usage_percpu"};
	static const char *const texts[] = {"", "\n", " ", "8:0", "8:0 ", "8:0 Read", ":",
	    "a b c d", "usage_usec", "some", "some =", "some avg10", "max",
	    "x hca_handle= hca_object", "\n\n8:"};
	struct fixture *fx = *state;
	size_t i, j;

	for (j = 0; j < ARRAY_LEN(texts); j++) {
		v1 *a;
		v2 *b;

		for (i = 0; i < ARRAY_LEN(files); i++)
			put(fx, files[i], texts[j]);
		a = read_v1(fx, 0);
		b = read_v2(fx);
		protobuf_c_message_free_unpacked(&a->base, NULL);
		protobuf_c_message_free_unpacked(&b->base, NULL);
	}
}

/* --- kills for memory ----------------------------------------------------------------- */

static void
test_metrics_oom_parse(void **state)
{
	uint64_t n = 99;

	(void)state;
	assert_true(
	    oom_parse("low 1\noom 4\noom_kill 5\noom_group_kill 6\n", "oom_kill", &n));
	assert_int_equal(n, 5);
	assert_true(
	    oom_parse("oom_kill_disable 1\nunder_oom 0\noom_kill 7\n", "oom_kill", &n));
	assert_int_equal(n, 7);
	/* before Linux 4.13 */
	assert_false(oom_parse("oom_kill_disable 0\nunder_oom 0\n", "oom_kill", &n));
	assert_false(oom_parse("", "oom_kill", &n));
	assert_false(oom_parse("oom_kill", "oom_kill", &n));
}

static void
test_metrics_oom_v1_counts_what_is_below(void **state)
{
	struct fixture *fx = *state;
	bool whole = false;
	uint64_t n;

	assert_false(oom_count_v1(fx->dirfd, &n, &whole));
	put(fx, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	assert_true(oom_count_v1(fx->dirfd, &n, &whole));
	assert_int_equal(n, 2);
	assert_int_equal(mkdirat(fx->dirfd, "sub", 0755), 0);
	assert_int_equal(mkdirat(fx->dirfd, "sub/sub", 0755), 0);
	put(fx, "sub/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 30\n");
	put(fx, "sub/sub/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 400\n");
	assert_true(oom_count_v1(fx->dirfd, &n, &whole));
	assert_int_equal(n, 432);
	assert_true(whole);
}

/* What there was no time for is not known, and not none. */
static void
test_metrics_oom_v1_with_too_many_below(void **state)
{
	struct fixture *fx = *state;
	bool whole;
	uint64_t n;

	put(fx, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	assert_int_equal(mkdirat(fx->dirfd, "sub", 0755), 0);
	put(fx, "sub/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 30\n");
	assert_true(oom_count_v1(fx->dirfd, &n, &whole));
	assert_int_equal(n, 32);
	assert_true(whole);
	cgroup_set_short_walks_for_test(true);
	assert_true(oom_count_v1(fx->dirfd, &n, &whole));
	cgroup_set_short_walks_for_test(false);
	assert_int_equal(n, 2);
	assert_false(whole);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_metrics_v1_all),
	    TEST(test_metrics_v1_schedulers_own_counters_come_first),
	    TEST(test_metrics_v1_no_limit_is_zero_and_missing_is_nothing),
	    TEST(test_metrics_v2_all),
	    TEST(test_metrics_v2_missing_is_nothing),
	    TEST(test_metrics_garbage_harms_nobody),
	    TEST(test_metrics_oom_parse),
	    TEST(test_metrics_oom_v1_counts_what_is_below),
	    TEST(test_metrics_oom_v1_with_too_many_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

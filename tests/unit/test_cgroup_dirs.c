/*
 * oci/cgroup_dirs on a v1 host whose mountinfo is long: the same directories as
 * ever, and the file is read once for however many containers. The host is made
 * up: mountinfo and statfs(2) are ours, the hierarchies are plain directories.
 */
#include "oci/cgroup_dirs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mountinfo.h"
#include "tmpdir.h"

#define OVERLAYS   1000
#define CONTAINERS 200

static const char *const hierarchies[] = {"pids", "memory", "cpu,cpuacct", "blkio"};

static char *mountinfo;
static const char *init_cgroup; /* in place of /proc/PID/cgroup; NULL: the real one */
static unsigned n_reads;
static size_t parsed;

int __real_file_read(int dirfd, const char *path, size_t max, char **out, size_t *out_len,
    struct err *err);
int __wrap_file_read(int dirfd, const char *path, size_t max, char **out, size_t *out_len,
    struct err *err);
int __wrap_statfs(const char *path, struct statfs *fs);
void __real_mountinfo_parse(const char *text, mountinfo_cb cb, void *arg);
void __wrap_mountinfo_parse(const char *text, mountinfo_cb cb, void *arg);

int
__wrap_file_read(
    int dirfd, const char *path, size_t max, char **out, size_t *out_len, struct err *err)
{
	if (init_cgroup != NULL && strstr(path, "/cgroup") != NULL) {
		*out =
		    mem_strdup(strcmp(path, "/proc/self/cgroup") == 0 ? "" : init_cgroup);
		*out_len = strlen(*out);
		return 0;
	}
	if (strcmp(path, "/proc/self/mountinfo") != 0)
		return __real_file_read(dirfd, path, max, out, out_len, err);
	n_reads++;
	*out = mem_strdup(mountinfo);
	*out_len = strlen(*out);
	return 0;
}

int
__wrap_statfs(const char *path, struct statfs *fs)
{
	memset(fs, 0, sizeof *fs);
	fs->f_type = CGROUP_SUPER_MAGIC;
	return access(path, F_OK);
}

void
__wrap_mountinfo_parse(const char *text, mountinfo_cb cb, void *arg)
{
	parsed += strlen(text);
	__real_mountinfo_parse(text, cb, arg);
}

/* Of a container with many layers; its upper directory's name is meant to mislead. */
static char *
overlay_line(void)
{
	char lower[1100];

	memset(lower, 'l', sizeof lower - 1);
	lower[sizeof lower - 1] = '\0';
	return mem_printf("60 25 0:50 / /run/c/rootfs rw - overlay overlay "
			  "rw,lowerdir=%s,upperdir=/a\\040-\\040cgroup\\040x\n",
	    lower);
}

static void
text_add(char **at, const char *line)
{
	size_t len = strlen(line);

	memcpy(*at, line, len + 1);
	*at += len;
}

static int
host_setup(void **state)
{
	AUTO_FREE char *overlay = overlay_line();
	char *at;
	size_t i;

	if (setup(state) != 0)
		return -1;
	at = mountinfo = mem_zalloc(OVERLAYS * strlen(overlay) + 4096);
	for (i = 0; i < OVERLAYS; i++) {
		if (i % 200 == 100 && i / 200 < ARRAY_LEN(hierarchies)) {
			const char *h = hierarchies[i / 200];
			AUTO_FREE char *line =
			    mem_printf("31 25 0:27 / %s/%s rw shared:9 - cgroup cgroup "
				       "rw,%s\n",
				dir, h, h);

			text_add(&at, line);
		}
		text_add(&at, overlay);
	}
	text_add(&at, "41 25 0:41 / /unified rw - cgroup2 cgroup2 rw"); /* no newline */
	init_cgroup = NULL;
	n_reads = 0;
	parsed = 0;
	return 0;
}

static int
host_teardown(void **state)
{
	free(mountinfo);
	return teardown(state);
}

static void
make_cgroup(const char *hierarchy, unsigned i)
{
	AUTO_FREE char *path = mem_printf("%s/%s/k/c%u", dir, hierarchy, i);

	assert_int_equal(dir_make(path, 0700, NULL), 0);
}

static void
expect(const struct cgroup_dirs *dirs, enum cgroup_dir which, const char *hierarchy,
    unsigned i)
{
	AUTO_FREE char *want = mem_printf("%s/%s/k/c%u", dir, hierarchy, i);

	assert_non_null(dirs->path[which]);
	assert_string_equal(dirs->path[which], want);
}

static void
expect_all(const struct cgroup_dirs *dirs, unsigned i)
{
	assert_non_null(dirs);
	assert_false(dirs->v2);
	expect(dirs, DIR_PIDS, "pids", i);
	expect(dirs, DIR_MEMORY, "memory", i);
	expect(dirs, DIR_CPU, "cpu,cpuacct", i);
	expect(dirs, DIR_CPUACCT, "cpu,cpuacct", i);
	expect(dirs, DIR_BLKIO, "blkio", i);
	assert_null(dirs->path[DIR_HUGETLB]);
}

static void
test_cgroup_dirs_of_one(void **state)
{
	AUTO_FREE char *home = mem_printf("%s/pids/k/c0", dir);
	struct cgroup_dirs *dirs;
	size_t i;

	(void)state;
	assert_null(cgroup_dirs_find(0, home));
	for (i = 0; i < ARRAY_LEN(hierarchies); i++)
		make_cgroup(hierarchies[i], 0);
	/* ours: nothing in it is a container's own */
	dirs = cgroup_dirs_find(getpid(), home);
	expect_all(dirs, 0);
	cgroup_dirs_free(dirs);
	assert_int_equal(n_reads, 1);
	assert_true(parsed < strlen(mountinfo) / 10);
}

/* systemd as init moves itself, in some hierarchies: the container is all of it. */
static void
test_cgroup_dirs_of_an_init_that_moved_below(void **state)
{
	AUTO_FREE char *home = mem_printf("%s/pids/k/c0", dir);
	struct cgroup_dirs *dirs;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(hierarchies); i++)
		make_cgroup(hierarchies[i], 0);
	make_cgroup("pids/k/c0/init.scope", 0);
	make_cgroup("memory/k/c0/init.scope", 0);
	init_cgroup = "4:pids:/k/c0/init.scope/k/c0\n3:memory:/k/c0/init.scope\n"
		      "2:cpu,cpuacct:/k/c0\n1:blkio:/k/c0\n";
	dirs = cgroup_dirs_find(1, home);
	expect_all(dirs, 0);
	cgroup_dirs_free(dirs);
}

/* Where it never was in that path, only init knows. */
static void
test_cgroup_dirs_of_an_init_that_is_elsewhere(void **state)
{
	AUTO_FREE char *home = mem_printf("%s/pids/k/c1", dir);
	struct cgroup_dirs *dirs;

	(void)state;
	make_cgroup("pids", 1);
	make_cgroup("memory", 1);
	make_cgroup("memory", 11); /* a name that only begins like it */
	make_cgroup("blkio", 2);
	init_cgroup = "4:pids:/k/c1\n3:memory:/k/c11\n1:blkio:/k/c2\n";
	dirs = cgroup_dirs_find(1, home);
	assert_non_null(dirs);
	expect(dirs, DIR_PIDS, "pids", 1);
	expect(dirs, DIR_MEMORY, "memory", 11);
	expect(dirs, DIR_BLKIO, "blkio", 2);
	assert_null(dirs->path[DIR_CPU]);
	cgroup_dirs_free(dirs);
}

/* A recovery: the time must not grow with containers times mounts. */
static void
test_cgroup_dirs_of_many_read_once(void **state)
{
	AUTO_FREE char *mounts = NULL;
	unsigned i;

	(void)state;
	for (i = 0; i < CONTAINERS; i++) {
		AUTO_FREE char *home = mem_printf("%s/pids/k/c%u", dir, i);
		struct cgroup_dirs *dirs;
		size_t h;

		for (h = 0; h < ARRAY_LEN(hierarchies); h++)
			make_cgroup(hierarchies[h], i);
		dirs = cgroup_dirs_find_next(i % 2 ? getpid() : 0, home, &mounts);
		expect_all(dirs, i);
		cgroup_dirs_free(dirs);
	}
	assert_int_equal(n_reads, 1);
	assert_true(parsed / CONTAINERS < 16384);
}

static void
on_mount(const struct mountinfo *m, void *arg)
{
	assert_int_equal(strncmp(m->type, "cgroup", 6), 0);
	(*(unsigned *)arg)++;
}

static void
test_cgroup_dirs_mounts_are_cgroups_alone(void **state)
{
	AUTO_FREE char *mounts = NULL;
	unsigned n = 0;

	(void)state;
	assert_int_equal(mountinfo_read_cgroups(&mounts, NULL), 0);
	mountinfo_parse(mounts, on_mount, &n);
	assert_int_equal(n, ARRAY_LEN(hierarchies) + 1);
	free(mountinfo);
	mountinfo = mem_strdup("");
	free(mounts);
	assert_int_equal(mountinfo_read_cgroups(&mounts, NULL), 0);
	assert_string_equal(mounts, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)
	    T(test_cgroup_dirs_of_one),
	    T(test_cgroup_dirs_of_an_init_that_moved_below),
	    T(test_cgroup_dirs_of_an_init_that_is_elsewhere),
	    T(test_cgroup_dirs_of_many_read_once),
	    T(test_cgroup_dirs_mounts_are_cgroups_alone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

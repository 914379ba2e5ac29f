/*
 * oci/mount: the helper with real mounts, in a mount namespace of this test's
 * own. What the options mean: test_mount_options.c.
 */
#include "oci/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mountinfo.h"

/* "lowerdir=" and n directories "<prefix>/<i>/fs". */
static char *
lowerdir(const char *prefix, unsigned n)
{
	char *list = mem_strdup("lowerdir="), *longer;
	unsigned i;

	for (i = 0; i < n; i++) {
		longer = mem_printf("%s%s%s/%u/fs", list, i ? ":" : "", prefix, i);
		free(list);
		list = longer;
	}
	return list;
}

/* --- the helper -------------------------------------------------------------------- */

static bool private_ns;
static char bundle[] = "/tmp/test_mount.XXXXXX";

static void
need_ns(void)
{
	if (private_ns)
		return;
	print_message("no private mount namespace to be had (not root?), skipping\n");
	skip();
}

static void
file_at(const char *fmt, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", bundle, fmt);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
}

static void
dir_at(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", bundle, name);

	assert_int_equal(dir_make(path, 0755, NULL), 0);
}

static bool
exists(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", bundle, name);

	return access(path, F_OK) == 0;
}

static int
try_write(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", bundle, name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd == -1 ? -errno : 0;
}

struct count {
	unsigned n;
	const char *below;
};

static void
count_one(const struct mountinfo *m, void *arg)
{
	struct count *c = arg;

	if (strncmp(m->target, c->below, strlen(c->below)) == 0)
		c->n++;
}

static unsigned
mounted(void)
{
	AUTO_FREE char *rootfs = mem_printf("%s/rootfs", bundle);
	struct count c = {.below = rootfs};

	assert_int_equal(mountinfo_each(count_one, &c, NULL), 0);
	return c.n;
}

/* Run the helper as the keeper would. said: what it printed, 4096 bytes. */
static int
helper_fd(int orders, char *said)
{
	AUTO_CLOSE int out = memfd_create("said", MFD_CLOEXEC);
	AUTO_FREE char *text = NULL;
	size_t len;
	int status;
	pid_t pid;

	assert_true(orders >= 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int exe;

		if (dup2(out, 2) == -1 || (orders != 3 && dup2(orders, 3) == -1))
			_exit(99);
		/* what it was started from */
		exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if ((exe != 4 && dup2(exe, 4) == -1) || fd_set_cloexec(4, false) < 0)
			_exit(99);
		_exit(mount_main());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	(void)lseek(out, 0, SEEK_SET);
	assert_int_equal(fd_read_all(out, 4095, &text, &len, NULL), 0);
	(void)snprintf(said, 4096, "%s", text);
	return WEXITSTATUS(status);
}

static int
helper(const struct mount_spec *mounts, size_t n, char *said)
{
	AUTO_CLOSE int fd = mount_orders(bundle, mounts, n);

	return helper_fd(fd, said);
}

static void
helper_ok(const struct mount_spec *mounts, size_t n)
{
	char said[4096];

	if (helper(mounts, n, said) != 0)
		fail_msg("the helper says: %s", said);
	assert_string_equal(said, "");
}

static int
setup(void **state)
{
	struct stat st;

	(void)state;
	if (mkdtemp(bundle) == NULL)
		return -1;
	private_ns = unshare(CLONE_NEWNS) == 0 &&
	    mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", bundle, "tmpfs", 0, NULL) == 0;
	if (!private_ns)
		return 0;
	helper_ok(NULL, 0); /* nothing there yet: fine */
	if (exists("rootfs"))
		return -1;
	dir_at("low1");
	dir_at("low2");
	dir_at("up");
	dir_at("work");
	dir_at("src/sub");
	file_at("low1/one", "1");
	file_at("low2/two", "2");
	file_at("src/file", "f");
	return stat(bundle, &st);
}

static int
teardown(void **state)
{
	(void)state;
	if (private_ns && umount2(bundle, MNT_DETACH) == -1)
		return -1;
	return rmdir(bundle);
}

static void
test_mount_helper_overlay_twice_is_once(void **state)
{
	AUTO_FREE char *low = mem_printf("lowerdir=%s/low1:%s/low2", bundle, bundle);
	AUTO_FREE char *up = mem_printf("upperdir=%s/up", bundle);
	AUTO_FREE char *work = mem_printf("workdir=%s/work", bundle);
	const char *options[] = {work, up, low};
	const struct mount_spec m = {.type = "overlay",
	    .source = "overlay",
	    .target = "",
	    .options = options,
	    .n_options = 3};
	AUTO_FREE char *rootfs = mem_printf("%s/rootfs", bundle);
	struct stat st;

	(void)state;
	need_ns();
	helper_ok(&m, 1);
	assert_int_equal(mounted(), 1);
	assert_true(exists("rootfs/one") && exists("rootfs/two"));
	assert_int_equal(try_write("rootfs/new"), 0);
	assert_true(exists("up/new"));
	helper_ok(&m, 1);
	assert_int_equal(mounted(), 1);
	helper_ok(NULL, 0);
	assert_int_equal(mounted(), 0);
	assert_int_equal(stat(rootfs, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	helper_ok(NULL, 0);
}

/* More lower directories than a page holds the names of. */
static void
test_mount_helper_overlay_with_many_layers(void **state)
{
	char long_name[200];
	AUTO_FREE char *prefix = NULL, *low = NULL;
	const char *options[1];
	const struct mount_spec m = {.type = "overlay",
	    .source = "overlay",
	    .target = "",
	    .options = options,
	    .n_options = 1};
	unsigned i;

	(void)state;
	need_ns();
	memset(long_name, 'n', sizeof long_name);
	long_name[sizeof long_name - 1] = '\0';
	for (i = 0; i < 60; i++) {
		AUTO_FREE char *dir = mem_printf("%s/%u/fs", long_name, i);
		AUTO_FREE char *file = mem_printf("%s/%u/fs/file%u", long_name, i, i);

		dir_at(dir);
		file_at(file, "x");
	}
	prefix = mem_printf("%s/%s", bundle, long_name);
	low = lowerdir(prefix, 60);
	assert_true(strlen(low) > 8192);
	options[0] = low;
	helper_ok(&m, 1);
	assert_true(exists("rootfs/file0") && exists("rootfs/file59"));
	helper_ok(NULL, 0);
}

/* So many that even "0/fs:1/fs:…" is longer than a page, and a colon in a name. */
static void
test_mount_helper_overlay_with_too_many_layers(void **state)
{
	char long_name[150];
	AUTO_FREE char *low = mem_strdup("lowerdir=");
	const char *options[1];
	const struct mount_spec m = {.type = "overlay",
	    .source = "overlay",
	    .target = "",
	    .options = options,
	    .n_options = 1};
	unsigned i;

	(void)state;
	need_ns();
	memset(long_name, 'm', sizeof long_name);
	long_name[sizeof long_name - 1] = '\0';
	for (i = 0; i < 60; i++) {
		AUTO_FREE char *dir = mem_printf("%u/%s:%u", i, long_name, i);
		AUTO_FREE char *file = mem_printf("%u/%s:%u/file%u", i, long_name, i, i);
		char *more;

		dir_at(dir);
		file_at(file, "x");
		more = mem_printf(
		    "%s%s%s/%u/%s\\:%u", low, i == 0 ? "" : ":", bundle, i, long_name, i);
		free(low);
		low = more;
	}
	options[0] = low;
	helper_ok(&m, 1);
	assert_true(exists("rootfs/file0") && exists("rootfs/file59"));
	assert_int_equal(mounted(), 1);
	helper_ok(NULL, 0);
	assert_int_equal(mounted(), 0);
}

static void
owner_is(const char *name, uid_t uid, gid_t gid)
{
	AUTO_FREE char *path = mem_printf("%s/%s", bundle, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void
test_mount_helper_mapped_ids(void **state)
{
	AUTO_FREE char *src = mem_printf("%s/src", bundle),
		       *file = mem_printf("%s/src/file", bundle),
		       *lower = mem_printf("lowerdir=%s/low1:%s/low2", bundle, bundle),
		       *upper = mem_printf("upperdir=%s/up", bundle),
		       *work = mem_printf("workdir=%s/work", bundle);
	const char *overlay[] = {
	    "uidmap=0:1000:1,1:3000:10", "gidmap=0:2000:9", lower, upper, work};
	const char *bind[] = {"rbind", "ro", "uidmap=0:1000:1", "gidmap=0:2000:1"};
	const char *wrong[] = {"bind", "uidmap=0:1000", "gidmap=0:2000:1"};
	struct mount_spec m[] = {
	    {.type = "overlay",
		.source = "overlay",
		.target = "",
		.options = overlay,
		.n_options = 5},
	    {.type = "bind",
		.source = src,
		.target = "",
		.options = bind,
		.n_options = 4},
	    {.type = "bind",
		.source = file,
		.target = "one",
		.options = bind,
		.n_options = 4},
	};
	char said[4096];

	(void)state;
	need_ns();
	if (helper(m, 1, said) != 0 && strstr(said, "too old") != NULL) {
		print_message("%s, skipping\n", said);
		skip();
	}
	helper_ok(m, 1);
	owner_is("rootfs/one", 1000, 2000);
	owner_is("rootfs/two", 1000, 2000);
	owner_is("low1/one", 0, 0);
	assert_int_equal(mounted(), 1);
	helper_ok(m + 1, 1);
	owner_is("rootfs/file", 1000, 2000);
	assert_int_equal(try_write("rootfs/file"), -EROFS);
	assert_int_equal(mounted(), 1);
	m[1] = m[0];
	helper_ok(m + 1, 2);
	owner_is("rootfs/one", 1000, 2000);
	owner_is("rootfs/two", 1000, 2000);
	assert_int_equal(mounted(), 2);
	m[0].type = "bind";
	m[0].options = wrong;
	m[0].n_options = 3;
	assert_int_equal(helper(m, 1, said), 1);
	assert_non_null(strstr(said, "id map '0:1000' is not"));
	m[0].options = overlay;
	m[0].type = "overlay";
	overlay[2] = "lowerdir=/no/such/layer";
	m[0].n_options = 5;
	assert_int_equal(helper(m, 1, said), 1);
	assert_non_null(strstr(said, "/no/such/layer"));
	assert_int_equal(mounted(), 0);
}

static void
test_mount_helper_bind_and_targets(void **state)
{
	AUTO_FREE char *src = mem_printf("%s/src", bundle),
		       *file = mem_printf("%s/src/file", bundle),
		       *sub = mem_printf("%s/src/sub", bundle);
	const char *rw[] = {"rbind", "rw"}, *ro[] = {"rbind", "ro", "nosuid"},
		   *shared[] = {"bind", "rshared"};
	const struct mount_spec m[] = {
	    {.type = "bind", .source = src, .target = "", .options = rw, .n_options = 2},
	    {.type = "tmpfs", .source = "tmpfs", .target = "/sub", .options = NULL},
	    {.type = "bind",
		.source = file,
		.target = "file",
		.options = ro,
		.n_options = 3},
	    {.type = "bind",
		.source = sub,
		.target = "/sub",
		.options = shared,
		.n_options = 2},
	};
	AUTO_FREE char *bound = mem_printf("%s/rootfs/file", bundle);
	struct statvfs vfs;

	(void)state;
	need_ns();
	helper_ok(m, ARRAY_LEN(m));
	assert_int_equal(mounted(), 4);
	assert_int_equal(try_write("rootfs/made"), 0);
	assert_int_equal(try_write("rootfs/file"), -EROFS);
	assert_int_equal(try_write("src/file"), 0);
	assert_int_equal(statvfs(bound, &vfs), 0);
	assert_true((vfs.f_flag & ST_NOSUID) != 0 && (vfs.f_flag & ST_RDONLY) != 0);
	helper_ok(NULL, 0);
	assert_int_equal(mounted(), 0);
	assert_true(exists("src/made"));
}

static void
test_mount_helper_target_stays_inside(void **state)
{
	AUTO_FREE char *src = mem_printf("%s/evil", bundle);
	AUTO_FREE char *abs_link = mem_printf("%s/evil/abs", bundle);
	AUTO_FREE char *up_link = mem_printf("%s/evil/up", bundle);
	AUTO_FREE char *to = mem_printf("%s/outside", bundle);
	const char *bind[] = {"bind"};
	struct mount_spec m[] = {
	    {.type = "bind",
		.source = src,
		.target = "",
		.options = bind,
		.n_options = 1},
	    {.type = "tmpfs", .source = "tmpfs", .target = "abs"},
	};
	struct count c = {.below = to};
	char said[4096];

	(void)state;
	need_ns();
	dir_at("evil");
	dir_at("outside");
	assert_int_equal(symlink(to, abs_link), 0);
	assert_int_equal(symlink("../../outside", up_link), 0);
	/* both lead out of rootfs, where nothing of that name is inside */
	assert_int_equal(helper(m, 2, said), 1);
	assert_non_null(strstr(said, "mount target 'abs'"));
	m[1].target = "up";
	assert_int_equal(helper(m, 2, said), 1);
	m[1].target = "../../outside";
	assert_int_equal(helper(m, 2, said), 1);
	m[1].target = "proc/self/root";
	assert_int_equal(helper(m, 2, said), 1);
	assert_int_equal(mounted(), 0);
	/* where there is one inside, that one is meant */
	dir_at("evil/outside");
	m[1].target = "up";
	helper_ok(m, 2);
	assert_int_equal(mounted(), 2);
	assert_int_equal(mountinfo_each(count_one, &c, NULL), 0);
	assert_int_equal(c.n, 0);
	helper_ok(NULL, 0);
}

static void
test_mount_helper_failure_leaves_nothing(void **state)
{
	const char *bad[] = {"X-containerd.x=1"};
	const struct mount_spec m[] = {
	    {.type = "tmpfs", .source = "tmpfs", .target = ""},
	    {.type = "nosuchfs", .source = "x", .target = ""},
	};
	const struct mount_spec refused[] = {
	    {.type = "tmpfs", .source = "tmpfs", .target = ""},
	    {.type = "tmpfs",
		.source = "x",
		.target = "",
		.options = bad,
		.n_options = 1},
	};
	const struct mount_spec helperless = {
	    .type = "fuse3.nosuch", .source = "x", .target = ""};
	char said[4096];

	(void)state;
	need_ns();
	assert_int_equal(helper(m, 2, said), 1);
	assert_non_null(strstr(said, "mount 'x' (nosuchfs) on '"));
	assert_non_null(strstr(said, "No such device\n"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	assert_int_equal(mounted(), 0);
	assert_int_equal(helper(refused, 2, said), 1);
	assert_non_null(strstr(said, "X-containerd.x=1"));
	assert_int_equal(mounted(), 0);
	assert_int_equal(helper(&helperless, 1, said), 1);
	assert_non_null(strstr(said, "mount.fuse3 failed with status"));
	assert_int_equal(mounted(), 0);
}

/* A FUSE daemon lives as long as the container: what it inherits stays open. */
static void
test_mount_helper_hands_nothing_on(void **state)
{
	const struct mount_spec m = {.type = "fuse.x", .source = "x", .target = ""};
	AUTO_FREE char *old = mem_strdup(getenv("PATH"));
	AUTO_FREE char *path = mem_printf("%s/bin:%s", bundle, old);
	AUTO_FREE char *program = mem_printf("%s/bin/mount.fuse", bundle);
	AUTO_FREE char *list = mem_printf("%s/fds", bundle);
	AUTO_FREE char *fds = NULL;
	size_t len;

	(void)state;
	need_ns();
	dir_at("bin");
	file_at("bin/mount.fuse",
	    "#!/bin/sh\nreadlink /proc/$$/fd/[!0-2] >\"${2%/*}/fds\"\nexit 0\n");
	assert_int_equal(chmod(program, 0700), 0);
	assert_int_equal(setenv("PATH", path, 1), 0);
	helper_ok(&m, 1);
	assert_int_equal(setenv("PATH", old, 1), 0);
	assert_int_equal(file_read(AT_FDCWD, list, 65536, &fds, &len, NULL), 0);
	assert_null(strstr(fds, "/unit/test_mount\n"));
	assert_null(strstr(fds, "memfd:"));
}

static void
test_mount_helper_rootfs_is_no_link(void **state)
{
	AUTO_FREE char *rootfs = mem_printf("%s/rootfs", bundle);
	const struct mount_spec m = {.type = "tmpfs", .source = "tmpfs", .target = ""};
	char said[4096];

	(void)state;
	need_ns();
	assert_int_equal(rmdir(rootfs), 0);
	assert_int_equal(symlink("src", rootfs), 0);
	assert_int_equal(helper(&m, 1, said), 1);
	assert_non_null(strstr(said, "is not a directory"));
	assert_int_equal(unlink(rootfs), 0);
}

static void
test_mount_undo_nested_covered_and_busy(void **state)
{
	AUTO_FREE char *rootfs = mem_printf("%s/rootfs", bundle),
		       *deep = mem_printf("%s/rootfs/a b", bundle),
		       *deeper = mem_printf("%s/rootfs/a b/c", bundle),
		       *beside = mem_printf("%s/rootfs2", bundle);
	AUTO_CLOSE int busy = -1;
	boot_us_t begun;

	(void)state;
	need_ns();
	dir_at("rootfs");
	dir_at("rootfs2");
	assert_int_equal(mount("tmpfs", beside, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
	dir_at("rootfs/a b");
	assert_int_equal(mount("tmpfs", deep, "tmpfs", 0, NULL), 0);
	dir_at("rootfs/a b/c");
	assert_int_equal(mount("tmpfs", deeper, "tmpfs", 0, NULL), 0);
	/* twice on top: hides all of them */
	assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount_undo(rootfs, NULL), 0);
	assert_int_equal(umount2(beside, 0), 0); /* the neighbour was left alone */
	assert_int_equal(mounted(), 0);
	/* a mount that is older than the one it lies on: one pass is not enough */
	assert_int_equal(mount("tmpfs", beside, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
	dir_at("rootfs/a b");
	assert_int_equal(mount(beside, deep, "", MS_MOVE, NULL), 0);
	assert_int_equal(mounted(), 2);
	assert_int_equal(mount_undo(rootfs, NULL), 0);
	assert_int_equal(mounted(), 0);
	assert_int_equal(mount_undo("/nonexistent/x", NULL), 0);
	assert_int_equal(mount_undo("/", NULL), -EINVAL);

	assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
	busy = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begun = clock_boot_us();
	assert_int_equal(mount_undo(rootfs, NULL), 0);
	assert_true(clock_boot_us() - begun >= 2 * US_PER_S);
	assert_true(clock_boot_us() - begun < 30 * US_PER_S);
	assert_int_equal(mounted(), 0);
}

static void
test_mount_helper_refuses_broken_orders(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
	    {"", 0},
	    {"/b", 2},
	    {"relative\0"
	     "0",
		11},
	    {"/b\0"
	     "x",
		5},
	    {"/b\0"
	     "-1",
		6},
	    {"/b\0"
	     "99999999",
		12},
	};
	char said[4096];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_CLOSE int fd = memfd_sealed("x", cases[i].bytes, cases[i].len);

		assert_int_equal(helper_fd(fd, said), 1);
		assert_string_equal(said, "mount orders make no sense\n");
	}
	need_ns();
	{
		/* every cut of a good one: an error or a success, never more than it says */
		AUTO_FREE char *good =
		    mem_printf("%s|2|tmpfs|t||1|ro|tmpfs|t||1|rw|", bundle);
		size_t len = strlen(good), n;

		for (n = 0; n < len; n++) {
			if (good[n] == '|')
				good[n] = '\0';
		}
		for (n = strlen(bundle) + 1; n <= len; n++) {
			AUTO_CLOSE int fd = memfd_sealed("x", good, n);

			(void)helper_fd(fd, said);
			if (n < len - 3)
				assert_int_equal(mounted(), 0);
		}
		assert_int_equal(mounted(), 2);
		helper_ok(NULL, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mount_helper_overlay_twice_is_once),
	    cmocka_unit_test(test_mount_helper_overlay_with_many_layers),
	    cmocka_unit_test(test_mount_helper_overlay_with_too_many_layers),
	    cmocka_unit_test(test_mount_helper_mapped_ids),
	    cmocka_unit_test(test_mount_helper_bind_and_targets),
	    cmocka_unit_test(test_mount_helper_target_stays_inside),
	    cmocka_unit_test(test_mount_helper_failure_leaves_nothing),
	    cmocka_unit_test(test_mount_helper_hands_nothing_on),
	    cmocka_unit_test(test_mount_helper_rootfs_is_no_link),
	    cmocka_unit_test(test_mount_undo_nested_covered_and_busy),
	    cmocka_unit_test(test_mount_helper_refuses_broken_orders),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

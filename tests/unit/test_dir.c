/*
 * base/dir: listing and emptying directories of which somebody else may own
 * parts. Everything in a directory of the test's own, in a mount namespace of
 * the test's own.
 */
#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

static char dir[] = "/tmp/podshim-test-dir-XXXXXX";
static bool own_mounts;

static int
setup(void **state)
{
	(void)state;
	own_mounts = unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir); /* each test leaves it empty */
}

static void
put(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(file_write(AT_FDCWD, path, "x", 1, 0600, NULL), 0);
}

static void
make(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(dir_make(path, 0700, NULL), 0);
}

static bool
exists(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	return access(path, F_OK) == 0;
}

static void
test_dir_make_makes_all_and_again(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/a/b/c", dir);
	AUTO_FREE char *file = mem_printf("%s/a/f", dir);
	AUTO_FREE char *below = mem_printf("%s/a/f/g", dir);
	AUTO_FREE char *ab = mem_printf("%s/a/b", dir);
	AUTO_FREE char *a = mem_printf("%s/a", dir);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(dir_make(path, 0700, &err), 0);
	assert_int_equal(dir_make(path, 0700, &err), 0);
	assert_int_equal(file_write(AT_FDCWD, file, "", 0, 0600, NULL), 0);
	assert_int_equal(dir_make(below, 0700, &err), -ENOTDIR);
	assert_int_equal(unlink(file) | rmdir(path) | rmdir(ab) | rmdir(a), 0);
}

static unsigned
count(DIR *d)
{
	unsigned n = 0;

	while (dir_next(d) != NULL)
		n++;
	return n;
}

static void
test_dir_open_reads_all_of_it_each_time(void **state)
{
	AUTO_CLOSEDIR DIR *d = NULL;
	unsigned i;

	(void)state;
	make("a");
	put("a/.hidden");
	put("a/seen");
	d = dir_open(AT_FDCWD, dir);
	assert_non_null(d);
	for (i = 0; i < 2; i++) {
		AUTO_CLOSE int fd = openat(dirfd(d), "a", O_RDONLY | O_DIRECTORY);
		AUTO_CLOSEDIR DIR *by_name = dir_open(dirfd(d), "a");
		AUTO_CLOSEDIR DIR *itself = dir_open(fd, "."), *again = dir_open(fd, ".");

		assert_int_equal(count(by_name), 2);
		assert_int_equal(count(itself), 2);
		assert_int_equal(count(again), 2);
	}
	assert_int_equal(count(NULL), 0);
	assert_int_equal(tree_remove(dirfd(d), "a"), 0);
}

static void
test_a_link_is_removed_and_never_followed(void **state)
{
	AUTO_FREE char *link = mem_printf("%s/tree/link", dir);
	AUTO_FREE char *top = mem_printf("%s/top", dir);

	(void)state;
	make("precious");
	put("precious/file");
	make("tree/b");
	put("tree/b/c");
	assert_int_equal(symlink("../precious", link), 0);
	assert_int_equal(symlink("precious", top), 0);
	assert_null(dir_open(AT_FDCWD, top));
	assert_int_equal(tree_remove(AT_FDCWD, top), -ENOTDIR);
	assert_int_equal(unlink(top), 0);
	*strrchr(link, '/') = '\0';
	assert_int_equal(tree_remove(AT_FDCWD, link), 0);
	assert_int_equal(tree_remove(AT_FDCWD, link), 0);
	assert_false(exists("tree"));
	assert_true(exists("precious/file"));
	*strrchr(top, '/') = '\0';
	{
		AUTO_CLOSE int fd = open(top, O_RDONLY | O_DIRECTORY);

		tree_empty(fd);
	}
	assert_false(exists("precious"));
}

static void
test_a_mount_keeps_what_is_in_it(void **state)
{
	AUTO_FREE char *tree = mem_printf("%s/tree", dir);
	AUTO_FREE char *mnt = mem_printf("%s/tree/mnt", dir);

	(void)state;
	if (!own_mounts)
		skip();
	make("tree/mnt");
	put("tree/file");
	assert_int_equal(mount("t", mnt, "tmpfs", 0, NULL), 0);
	put("tree/mnt/precious");
	assert_int_equal(tree_remove(AT_FDCWD, tree), -ENOTEMPTY);
	assert_false(exists("tree/file"));
	assert_true(exists("tree/mnt/precious"));
	assert_int_equal(umount(mnt), 0);
	assert_int_equal(tree_remove(AT_FDCWD, tree), 0);
}

static void
test_a_tree_deeper_than_any_of_ours_ends_the_walk(void **state)
{
	AUTO_FREE char *top = mem_printf("%s/1", dir);

	(void)state;
	make("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20");
	assert_int_equal(tree_remove(AT_FDCWD, top), -ENOTEMPTY);
	assert_true(exists("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20"));
	{
		AUTO_FREE char *low = mem_printf("%s/1/2/3/4/5/6/7/8", dir);

		assert_int_equal(tree_remove(AT_FDCWD, low), 0);
	}
	assert_int_equal(tree_remove(AT_FDCWD, top), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dir_make_makes_all_and_again),
	    cmocka_unit_test(test_dir_open_reads_all_of_it_each_time),
	    cmocka_unit_test(test_a_link_is_removed_and_never_followed),
	    cmocka_unit_test(test_a_mount_keeps_what_is_in_it),
	    cmocka_unit_test(test_a_tree_deeper_than_any_of_ours_ends_the_walk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

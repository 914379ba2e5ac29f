/*
 * oci/mount: what the options of a mount mean.
 */
#include "oci/mount.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

static void
check_options(const char *type, const char *words, unsigned long flags,
    unsigned long propagation, const char *data)
{
	AUTO_FREE char *copy = mem_strdup(words);
	const char *list[16];
	struct mount_spec m = {
	    .type = type, .source = "s", .target = "", .options = list};
	struct mount_flags f;
	char *save = NULL, *w;

	for (w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		list[m.n_options++] = w;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_int_equal(f.flags, flags);
	assert_int_equal(f.propagation, propagation);
	assert_string_equal(f.data, data);
	assert_null(f.cwd);
	mount_flags_fini(&f);
}

static void
test_mount_options_to_flags(void **state)
{
	(void)state;
	check_options("overlay", "", 0, 0, "");
	check_options("tmpfs",
	    "ro nosuid nodev noexec sync dirsync mand noatime nodiratime "
	    "relatime strictatime",
	    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC |
		MS_MANDLOCK | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME,
	    0, "");
	check_options("tmpfs",
	    "ro rw nosuid suid nodev dev noexec exec sync async mand nomand noatime "
	    "atime",
	    0, 0, "");
	check_options("tmpfs",
	    "nodiratime diratime relatime norelatime strictatime nostrictatime "
	    "defaults remount",
	    MS_REMOUNT, 0, "");
	check_options("bind", "rbind ro", MS_BIND | MS_REC | MS_RDONLY, 0, "");
	check_options("bind", "", MS_BIND, 0, "");
	check_options("rbind", "rprivate", MS_BIND | MS_REC, MS_PRIVATE | MS_REC, "");
	check_options("bind", "shared slave unbindable", MS_BIND, MS_UNBINDABLE, "");
	check_options("tmpfs", "size=1k ro mode=755", MS_RDONLY, 0, "size=1k,mode=755");
	check_options("ext4", "context=\"a:b,c\" x", 0, 0, "context=\"a:b,c\",x");
}

static void
test_mount_options_refused(void **state)
{
	static const char *const words[] = {
	    "X-containerd.mkdir.path=/x", "loop=/dev/loop0"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(words); i++) {
		struct mount_spec m = {.type = "ext4",
		    .source = "s",
		    .target = "",
		    .options = &words[i],
		    .n_options = 1};
		struct err err = ERR_INIT;
		struct mount_flags f;

		assert_int_equal(mount_parse_options(&m, &f, &err), -EINVAL);
		assert_non_null(strstr(err.text, words[i]));
	}
}

static void
test_mount_options_for_the_helper(void **state)
{
	const char *loop[] = {"loop", "ro", "direct-io", "noload"};
	const char *maps[] = {
	    "uidmap=0:1:2", "lowerdir=/a:/b", "gidmap=0:3:4,9:9:1", "x"};
	struct mount_spec m = {.type = "ext4", .source = "s", .target = ""};
	struct mount_flags f;
	struct err err = ERR_INIT;

	(void)state;
	m.options = loop;
	m.n_options = 4;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_true(f.loop && f.direct_io && f.flags == MS_RDONLY);
	assert_string_equal(f.data, "noload");
	mount_flags_fini(&f);
	m.options = maps;
	m.type = "overlay";
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_string_equal(f.uidmap, "0:1:2");
	assert_string_equal(f.gidmap, "0:3:4,9:9:1");
	assert_string_equal(f.lower, "/a:/b");
	assert_string_equal(f.data, "x");
	mount_flags_fini(&f);
	/* one alone, and types that cannot */
	m.n_options = 2;
	assert_int_equal(mount_parse_options(&m, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "uidmap= without gidmap="));
	m.n_options = 3;
	m.type = "fuse.x";
	assert_int_equal(mount_parse_options(&m, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "fuse.x"));
	maps[1] = "index=off";
	m.type = "overlay";
	assert_int_equal(mount_parse_options(&m, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "lowerdir"));
}

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

static void
test_mount_options_long_overlay(void **state)
{
	static const char prefix[] =
	    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/s";
	AUTO_FREE char *many = lowerdir(prefix, 100), *too_many = lowerdir(prefix, 1000),
		       *few = lowerdir(prefix, 2);
	const char *options[] = {"index=off", "", "workdir=/w", "upperdir=/u"};
	struct mount_spec m = {.type = "overlay",
	    .source = "overlay",
	    .target = "",
	    .options = options,
	    .n_options = 4};
	struct mount_flags f;
	struct err err;

	(void)state;
	options[1] = few;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_null(f.cwd);
	assert_non_null(strstr(f.data, prefix));
	mount_flags_fini(&f);

	options[1] = many;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_string_equal(
	    f.cwd, "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/s/");
	assert_memory_equal(f.data, "index=off,lowerdir=0/fs:1/fs:2/fs:", 34);
	assert_non_null(strstr(f.data, ":99/fs,workdir=/w,upperdir=/u"));
	mount_flags_fini(&f);

	options[1] = too_many;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_string_equal(f.lower, too_many + strlen("lowerdir="));
	assert_string_equal(f.data, "index=off,workdir=/w,upperdir=/u");
	assert_null(f.cwd);
	mount_flags_fini(&f);
	/* nothing in common, or no plain list */
	free(many);
	many = mem_printf("%s:relative", too_many);
	options[1] = many;
	assert_int_equal(mount_parse_options(&m, &f, NULL), 0);
	assert_non_null(f.lower);
	mount_flags_fini(&f);
	/* something else than that is too long */
	options[0] = too_many + strlen("lowerdir=");
	assert_int_equal(mount_parse_options(&m, &f, &err), -E2BIG);
}

/* A request of 4 MiB has room for more than anybody needs. */
static void
test_mount_options_too_many(void **state)
{
	AUTO_FREE const char **options =
	    mem_zalloc((MOUNT_COUNT_MAX + 1) * sizeof *options);
	char word[1001];
	struct mount_spec m = {
	    .type = "tmpfs", .source = "s", .target = "", .options = options};
	struct mount_flags f;
	struct err err;
	size_t i;

	(void)state;
	memset(word, 'x', sizeof word - 1);
	word[sizeof word - 1] = '\0';
	for (i = 0; i <= MOUNT_COUNT_MAX; i++)
		options[i] = word;
	m.n_options = MOUNT_COUNT_MAX;
	assert_int_equal(mount_parse_options(&m, &f, &err), -E2BIG);
	assert_non_null(strstr(err.text, "4100095 bytes"));
	m.n_options++;
	assert_int_equal(mount_parse_options(&m, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "4097 options"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mount_options_to_flags),
	    cmocka_unit_test(test_mount_options_refused),
	    cmocka_unit_test(test_mount_options_for_the_helper),
	    cmocka_unit_test(test_mount_options_long_overlay),
	    cmocka_unit_test(test_mount_options_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

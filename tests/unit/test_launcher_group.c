/*
 * launcher/group: which annotation counts, and what becomes of bad files.
 */
#include "launcher/group.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

static int dir_fd = -1;
static char dir[] = "/tmp/podshim-group-XXXXXX";

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlinkat(dir_fd, "config.json", 0);
	(void)close(dir_fd);
	return rmdir(dir);
}

/* want NULL: an error */
static void
expect_group(const char *json, const char *want)
{
	struct err err = ERR_INIT;
	AUTO_FREE char *group = NULL;
	int rc;

	assert_int_equal(
	    file_write(dir_fd, "config.json", json, strlen(json), 0600, NULL), 0);
	rc = group_of_bundle(dir_fd, "me", &group, &err);
	if (want == NULL) {
		assert_int_equal(rc, -EINVAL);
		assert_non_null(strstr(err.text, "config.json"));
		assert_null(group);
	} else {
		assert_int_equal(rc, 0);
		assert_string_equal(group, want);
	}
}

static void
test_group_by_annotation(void **state)
{
	(void)state;
	expect_group("{}", "me");
	expect_group("{\"annotations\":null}", "me");
	expect_group("{\"annotations\":{\"other\":\"x\"}}", "me");
	expect_group(
	    "{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\"}}", "pod");
	expect_group("{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\","
		     "\"io.containerd.runc.v2.group\":\"g/x\"}}",
	    "g/x");
	expect_group("{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\","
		     "\"io.containerd.runc.v2.group\":\"\"}}",
	    "pod");
	expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":\"\"}}", "me");
}

/* What Go writes for no limit is beyond a signed number. */
static void
test_group_of_a_spec_without_limits(void **state)
{
	(void)state;
	expect_group("{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_CORE\","
		     "\"hard\":18446744073709551615,\"soft\":18446744073709551615}]}}",
	    "me");
}

static void
test_group_refuses_bad_files(void **state)
{
	(void)state;
	expect_group("", NULL);
	expect_group("{", NULL);
	expect_group("[]", NULL);
	expect_group("{\"annotations\":[]}", NULL);
	expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":1}}", NULL);
	expect_group(
	    "{\"annotations\":{\"io.containerd.runc.v2.group\":\"a\\u0000b\"}}", NULL);
	expect_group("{} trailing", NULL);
}

static void
test_group_without_a_file(void **state)
{
	struct err err = ERR_INIT;
	AUTO_FREE char *group = NULL;

	(void)state;
	(void)unlinkat(dir_fd, "config.json", 0);
	assert_int_equal(group_of_bundle(dir_fd, "me", &group, &err), 0);
	assert_string_equal(group, "me");
	assert_int_equal(mkdirat(dir_fd, "config.json", 0700), 0);
	assert_int_equal(group_of_bundle(dir_fd, "me", &group, &err), -EISDIR);
	assert_int_equal(unlinkat(dir_fd, "config.json", AT_REMOVEDIR), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_group_by_annotation),
	    cmocka_unit_test(test_group_of_a_spec_without_limits),
	    cmocka_unit_test(test_group_refuses_bad_files),
	    cmocka_unit_test(test_group_without_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

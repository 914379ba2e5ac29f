/*
 * base/podpath: hashes against sha256sum's, paths against what Go's
 * filepath.Join gives.
 */
#include "base/podpath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void
test_podpath_joins_like_go(void **state)
{
	static const struct {
		const char *a, *b, *c, *want;
	} rows[] = {
	    {"/run/containerd/containerd.sock", "k8s.io", "id",
		"/run/containerd/containerd.sock/k8s.io/id"},
	    {"/run//containerd/./containerd.sock/", "default", "id",
		"/run/containerd/containerd.sock/default/id"},
	    {"", "default", "id", "default/id"},
	    {"/a", "", "", "/a"},
	    {"", "", "", ""},
	    {"/", "", "", "/"},
	    {"//", "b", "", "/b"},
	    {".", "", "", "."},
	    {"a/..", "", "", "."},
	    {"/a/../..", "b", "c", "/b/c"},
	    {"/a/b/../c", "..", "d", "/a/d"},
	    {"../a", "..", "b", "../b"},
	    {"../..", "a", "..", "../.."},
	    {"a/../..", "b", "", "../b"},
	    {"/..", "..", "x", "/x"},
	    {"/a", "ns", "group/with/../slash", "/a/ns/group/slash"},
	    {"/a", "ns", "...", "/a/ns/..."},
	    {"/a", "ns", "..b", "/a/ns/..b"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *got = pod_path_join(rows[i].a, rows[i].b, rows[i].c);

		assert_string_equal(got, rows[i].want);
	}
}

static void
test_podpath_hash_is_sha256sums(void **state)
{
	char hash[POD_HASH_LEN + 1];

	(void)state;
	/* printf %s /run/containerd/containerd.sock/default/x | sha256sum */
	pod_hash("/run/containerd/containerd.sock", "default", "x", hash);
	assert_string_equal(
	    hash, "5e250b13f984a15f73216d143af1bf3c64171aa56c781ba9d4040c75b2c1eee2");
	pod_hash("/run//containerd/./containerd.sock/", "default", "x", hash);
	assert_string_equal(
	    hash, "5e250b13f984a15f73216d143af1bf3c64171aa56c781ba9d4040c75b2c1eee2");
	/* printf %s /run/containerd/containerd.sock/k8s.io/0123…cdef | sha256sum */
	pod_hash("/run/containerd/containerd.sock", "k8s.io",
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", hash);
	assert_string_equal(
	    hash, "428e2faf0a8621e508bdf59b20b756691d7b9e23d6f777125dc830568aeab725");
}

static void
test_podpath_ids(void **state)
{
#define TEN "0123456789"
	static const char longest[] = TEN TEN TEN TEN TEN TEN TEN "012345";
	static const char too_long[] = TEN TEN TEN TEN TEN TEN TEN "0123456";
	static const char *const good[] = {"a", "A-b_c.d9", "0", "a-b", longest};
	static const char *const bad[] = {"", "-a", "a-", ".", "..", "a..b", "a-_b",
	    "a/b", "a b", "\xc3\xa4", "a\n", "_a", too_long};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		assert_true(pod_id_valid(good[i]));
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(pod_id_valid(bad[i]));
}

static void
test_podpath_names(void **state)
{
	static const char hash[] =
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	AUTO_FREE char *dir = NULL, *lock = NULL, *odd = NULL, *empty = NULL,
		       *dots = NULL;
	AUTO_FREE char *longest = NULL;
	char group[1000];

	(void)state;
	(void)unsetenv("PODSHIM_STATE_ROOT");
	dir = pod_dir("k8s.io", "pod-1", hash);
	assert_string_equal(dir, "/run/podshim/k8s.io/pod-1.01234567");
	(void)setenv("PODSHIM_STATE_ROOT", "/tmp/x", 1);
	lock = pod_lock_path("k8s.io", "pod-1", hash);
	assert_string_equal(lock, "/tmp/x/k8s.io/pod-1.01234567.lock");
	(void)setenv("PODSHIM_STATE_ROOT", "relative", 1);
	assert_string_equal(pod_state_root(), POD_STATE_ROOT);
	(void)unsetenv("PODSHIM_STATE_ROOT");
	odd = pod_name("../a b/\n", hash);
	assert_string_equal(odd, "_._a_b__.01234567");
	empty = pod_name("", hash);
	assert_string_equal(empty, "_.01234567");
	dots = pod_name("..", hash);
	assert_string_equal(dots, "_..01234567");
	memset(group, 'x', sizeof group - 1);
	group[sizeof group - 1] = '\0';
	longest = pod_name(group, hash);
	assert_int_equal(strlen(longest), 128 + 9);
}

static void
test_podpath_addresses(void **state)
{
#define H "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	char hash[POD_HASH_LEN + 1];
	AUTO_FREE char *path = NULL;

	(void)state;
	assert_true(pod_hash_of_address("unix:///run/containerd/s/" H, hash, &path));
	assert_string_equal(hash, H);
	assert_string_equal(path, "/run/containerd/s/" H);
	assert_true(pod_hash_of_address("unix:///" H, hash, NULL));
	assert_false(pod_hash_of_address("unix:///run/containerd/s/" H "\n", hash, NULL));
	assert_false(pod_hash_of_address("unix:///run/containerd/s/abc", hash, NULL));
	assert_false(pod_hash_of_address("unix://" H, hash, NULL));
	assert_false(pod_hash_of_address("/run/containerd/s/" H, hash, NULL));
	assert_false(pod_hash_of_address("", hash, NULL));
#undef H
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_podpath_joins_like_go),
	    cmocka_unit_test(test_podpath_hash_is_sha256sums),
	    cmocka_unit_test(test_podpath_ids),
	    cmocka_unit_test(test_podpath_names),
	    cmocka_unit_test(test_podpath_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

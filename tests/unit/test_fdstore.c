/*
 * keeper/fdstore, keeper/blob and keeper/spare: names, caps, prefixes; the bytes of a
 * request wherever they lie, and the one number the keeper reads in them; no descriptor left.
 */
#include "keeper/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/msg.h"
#include "keeper/blob.h"
#include "keeper/spare.h"

static int
null_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
count_names(const char *name, int fd, void *arg)
{
	assert_true(name[0] != '\0' && fd >= 0);
	++*(int *)arg;
}

static void
test_fdstore_put_get_drop(void **state)
{
	struct fdstore *st = fdstore_new(100);
	int fd = null_fd(), other = null_fd(), n = 0;

	(void)state;
	assert_non_null(st);
	assert_int_equal(fdstore_get(st, "a"), -ENOENT);
	assert_int_equal(fdstore_put(st, "a", fd), 0);
	assert_int_equal(fdstore_get(st, "a"), fd);
	assert_int_equal(
	    fdstore_put(st, "a", other), 0); /* replaces, and closes the old */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fdstore_count(st), 1);
	assert_int_equal(fdstore_put(st, "ab/c", null_fd()), 0);
	assert_int_equal(fdstore_put(st, "ab/d", null_fd()), 0);
	assert_int_equal(fdstore_put(st, "abc", null_fd()), 0);
	fdstore_each(st, count_names, &n);
	assert_int_equal(n, 4);
	assert_int_equal(fdstore_drop(st, "ab/", false), 0);
	assert_int_equal(fdstore_drop(st, "ab/", true), 2);
	assert_int_equal(fdstore_drop(st, "a", false), 1);
	assert_int_equal(fcntl(other, F_GETFD), -1);
	assert_int_equal(fdstore_count(st), 1);
	fdstore_free(st);
	fdstore_free(NULL);
}

static void
test_fdstore_caps(void **state)
{
	struct fdstore *st = fdstore_new(200);
	char name[MSG_NAME_MAX + 2];
	int i, fd = null_fd();

	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	assert_int_equal(fdstore_put(st, name, fd), -EINVAL);
	assert_int_equal(fdstore_put(st, "", fd), -EINVAL);
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "io/%d", i);
		assert_int_equal(fdstore_put(st, name, null_fd()), 0);
	}
	assert_int_equal(fdstore_put(st, "more", fd), -ENFILE);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still ours */
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "io/%d", i);
		assert_true(fdstore_get(st, name) >= 0);
	}
	assert_int_equal(fdstore_drop(st, "", true), 200);
	fdstore_free(st);
	(void)close(fd);
}

static void
fill(struct blob *b, const void *p, size_t len, size_t want)
{
	assert_int_equal(blob_begin(b, want), 0);
	assert_int_equal(blob_append(b, p, len), 0);
}

static void
test_blob_in_memory_and_in_a_memfd(void **state)
{
	static char big[100000];
	char out[64];
	struct blob small, large;

	(void)state;
	memset(big, 'b', sizeof big);
	big[70000] = 'X';
	fill(&small, "hello", 5, 5);
	assert_int_equal(small.memfd, -1);
	assert_int_equal(blob_append(&small, "x", 1), -EMSGSIZE);
	assert_int_equal(blob_finish(&small), 0);
	fill(&large, big, sizeof big, sizeof big);
	assert_int_equal(blob_finish(&large), 0);
	assert_true(large.memfd >= 0);
	assert_int_equal(write(large.memfd, "x", 1), -1); /* sealed */
	assert_int_equal(pwrite(large.memfd, "x", 1, 0), -1);
	assert_int_equal(blob_read(&large, 70000, out, 1), 1);
	assert_int_equal(out[0], 'X');
	assert_int_equal(blob_read(&small, 3, out, sizeof out), 2);
	assert_memory_equal(out, "lo", 2);
	assert_int_equal(blob_read(&small, 5, out, sizeof out), 0);
	assert_true(small.hash != large.hash);
	blob_fini(&small);
	blob_fini(&large);
}

static uint64_t
timeout_of(const void *p, size_t len, size_t want)
{
	struct blob b;
	uint64_t ns;

	fill(&b, p, len, want);
	ns = blob_request_timeout_ns(&b);
	blob_fini(&b);
	return ns;
}

static void
test_blob_finds_the_timeout(void **state)
{
	/* service "s", method "m", payload "pp", timeout_nano 300 */
	static const char good[] = "\x0a\x01s\x12\x01m\x1a\x02pp\x20\xac\x02\x2a\x00";
	static char zeros[1 << 20];
	char cut[sizeof good];
	size_t i;

	(void)state;
	assert_int_equal(timeout_of(good, sizeof good - 1, sizeof good - 1), 300);
	assert_int_equal(timeout_of(good, 10, 10), 0); /* none in it */
	assert_int_equal(timeout_of("\x20\x05", 2, 2), 5);
	/* behind a payload in a memfd */
	assert_int_equal(timeout_of(good, sizeof good - 1, 1 << 20), 300);
	for (i = 0; i < sizeof good - 1; i++) {
		memcpy(cut, good, i);
		(void)timeout_of(cut, i, i);
	}
	/* a negative one, a length beyond the end, endless varints, a megabyte of nothing */
	assert_int_equal(
	    timeout_of("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 11), 0);
	assert_int_equal(timeout_of("\x0a\xff\xff\xff\xff\x0f\x20\x05", 8, 8), 0);
	assert_int_equal(
	    timeout_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, 12), 0);
	assert_int_equal(timeout_of(zeros, sizeof zeros, sizeof zeros), 0);
}

/* An attempt that fails all the same does not cost the next one the reserve. */
static void
test_spare_outlives_a_failed_open(void **state)
{
	struct rlimit was, none;
	int fd;

	(void)state;
	spare_fill();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	fd = null_fd();
	none = was;
	none.rlim_cur = (rlim_t)fd; /* it, and whatever is below it, is open */
	(void)close(fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(spare_openat(AT_FDCWD, "/nowhere", O_RDONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, ENOENT);
	/* nobody else gets its place */
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), -1);
	fd = spare_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(fd >= 0);
	(void)close(fd);
	spare_fill();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fdstore_put_get_drop),
	    cmocka_unit_test(test_fdstore_caps),
	    cmocka_unit_test(test_blob_in_memory_and_in_a_memfd),
	    cmocka_unit_test(test_blob_finds_the_timeout),
	    cmocka_unit_test(test_spare_outlives_a_failed_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

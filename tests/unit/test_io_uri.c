/*
 * oci/io_uri: what a stdio path or URI asks for.
 */
#include "oci/io_uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

static void
test_uri_kinds(void **state)
{
	static const struct {
		const char *text;
		enum uri_kind kind;
		const char *path;
		int rc;
	} cases[] = {
	    {"", URI_NONE, "", 0},
	    {"/run/a%20b", URI_PATH, "/run/a%20b", 0},
	    {"/run/a:b?c", URI_PATH, "/run/a:b?c", 0},
	    {"relative/path", URI_PATH, "relative/path", 0},
	    {"fifo:///run/a%20b", URI_PATH, "/run/a b", 0},
	    {"file:///var/log/x.log?ignored=1#y", URI_FILE, "/var/log/x.log", 0},
	    {"file:/var/log/x", URI_FILE, "/var/log/x", 0},
	    {"binary:///bin/x", URI_BINARY, "/bin/x", 0},
	    {"binary-v2:///bin/x", URI_BINARY, "/bin/x", 0},
	    {"file://relative", URI_NONE, NULL, -EINVAL},
	    {"file://", URI_NONE, NULL, -EINVAL},
	    {"file:///a%zz", URI_NONE, NULL, -EINVAL},
	    {"file:///a%2", URI_NONE, NULL, -EINVAL},
	    {"file:///a%00b", URI_NONE, NULL, -EINVAL},
	    {"pipe:///a", URI_NONE, NULL, -EINVAL},
	    {"ttrpc+unix:///a?streaming_id=b", URI_NONE, NULL, -EINVAL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct io_uri got = {0};

		assert_int_equal(io_uri_parse(cases[i].text, &got, NULL), cases[i].rc);
		if (cases[i].rc == 0) {
			assert_int_equal(got.kind, cases[i].kind);
			assert_string_equal(got.path, cases[i].path);
			io_uri_fini(&got);
		}
	}
}

static void
test_uri_query(void **state)
{
	static const char *const want[] = {
	    "k", "v w", "empty", "", "flag", "", "x&", "1+1"};
	struct io_uri got = {0};
	size_t i;

	(void)state;
	assert_int_equal(
	    io_uri_parse(
		"binary-v2:///bin/x?k=v+w&empty=&flag&k=2&&x%26=1%2B1#f", &got, NULL),
	    0);
	assert_true(got.must_ready);
	assert_int_equal(got.args.n, ARRAY_LEN(want));
	for (i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(got.args.v[i], want[i]);
	io_uri_fini(&got);
	assert_int_equal(io_uri_parse("binary:///bin/x?a=%", &got, NULL), -EINVAL);
}

/* Each key is compared with those before it. */
static void
test_uri_too_long(void **state)
{
	AUTO_FREE char *path = mem_zalloc(IO_URI_MAX + 2), *text = NULL;
	struct io_uri got = {0};
	struct err err;

	(void)state;
	memset(path, 'x', IO_URI_MAX + 1);
	memcpy(path, "binary:/bin/x?", 14);
	assert_int_equal(io_uri_parse(path, &got, &err), -EINVAL);
	assert_non_null(strstr(err.text, "16385 bytes"));
	path[IO_URI_MAX] = '\0';
	assert_int_equal(io_uri_parse(path, &got, &err), 0);
	assert_int_equal(got.args.n, 2);
	io_uri_fini(&got);
	/* what is no URI is for open(2) to refuse */
	text = mem_printf("/%s%s", path, path);
	assert_int_equal(io_uri_parse(text, &got, &err), 0);
	io_uri_fini(&got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_uri_kinds),
	    cmocka_unit_test(test_uri_query),
	    cmocka_unit_test(test_uri_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * launcher/bootstrap: the three generations of containerd, in and out, by
 * bytes written down by hand.
 */
#include "launcher/bootstrap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define BYTES(...)                                                                       \
	((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
/* containerd.runc.v1.Options as type_url */
#define RUNC_TYPE                                                                        \
	0x0a, 26, 'c', 'o', 'n', 't', 'a', 'i', 'n', 'e', 'r', 'd', '.', 'r', 'u', 'n',  \
	    'c', '.', 'v', '1', '.', 'O', 'p', 't', 'i', 'o', 'n', 's'

/* runtimeoptions.v1.Options */
#define TOML_TYPE                                                                        \
	0x0a, 25, 'r', 'u', 'n', 't', 'i', 'm', 'e', 'o', 'p', 't', 'i', 'o', 'n', 's',  \
	    '.', 'v', '1', '.', 'O', 'p', 't', 'i', 'o', 'n', 's'

static struct err err;

static int
parse(const uint8_t *in, size_t len, bool json, struct bootstrap *out)
{
	err = ERR_INIT;
	return bootstrap_parse(in, len, "id", "ns", json, out, &err);
}

static void
test_bootstrap_nothing_on_stdin(void **state)
{
	struct bootstrap b;

	(void)state;
	assert_int_equal(parse(NULL, 0, false, &b), 0);
	assert_int_equal(b.dialect, DIALECT_PLAIN);
	assert_int_equal(parse(NULL, 0, true, &b), 0);
	assert_int_equal(b.dialect, DIALECT_JSON);
	assert_null(b.shim_cgroup);
}

static void
test_bootstrap_options(void **state)
{
	struct bootstrap b;

	(void)state;
	assert_int_equal(
	    parse(BYTES(RUNC_TYPE, 0x12, 4, 0x1a, 2, '/', 'c'), true, &b), 0);
	assert_int_equal(b.dialect, DIALECT_JSON);
	assert_string_equal(b.shim_cgroup, "/c");
	bootstrap_fini(&b);
	/* an unknown type is Create's matter */
	assert_int_equal(parse(BYTES(0x0a, 1, 'T', 0x12, 1, 0xff), false, &b), 0);
	assert_int_equal(b.dialect, DIALECT_PLAIN);
	/* options that look like parameters for somebody else */
	assert_int_equal(parse(BYTES(0x0a, 2, 'i', 'd', 0x12, 1, 'x'), false, &b), 0);
	assert_int_equal(b.dialect, DIALECT_PLAIN);
	/* what CRI sends for our runtime type: ShimCgroup="/c" */
	assert_int_equal(parse(BYTES(TOML_TYPE, 0x12, 17, 0x1a, 15, 'S', 'h', 'i', 'm',
				   'C', 'g', 'r', 'o', 'u', 'p', '=', '"', '/', 'c', '"'),
			     true, &b),
	    0);
	assert_int_equal(b.dialect, DIALECT_JSON);
	assert_non_null(b.shim_cgroup);
	assert_string_equal(b.shim_cgroup, "/c");
	bootstrap_fini(&b);
	/* as is a known one that does not decode */
	assert_int_equal(parse(BYTES(RUNC_TYPE, 0x12, 2, 0x1a, 9), true, &b), 0);
	assert_int_equal(b.dialect, DIALECT_JSON);
	assert_null(b.shim_cgroup);
	/* config_body is no TOML */
	assert_int_equal(parse(BYTES(TOML_TYPE, 0x12, 3, 0x1a, 1, '='), true, &b), 0);
	assert_null(b.shim_cgroup);
}

static void
test_bootstrap_params(void **state)
{
	struct bootstrap b;

	(void)state;
	assert_int_equal(parse(BYTES(0x0a, 2, 'i', 'd', 0x12, 2, 'n', 's'), true, &b), 0);
	assert_int_equal(b.dialect, DIALECT_PARAMS);
	assert_false(b.debug);
	assert_null(b.socket_dir);
	assert_int_equal(
	    parse(BYTES(0x0a, 2, 'i', 'd', 0x12, 2, 'n', 's',
		      /* log_level DEBUG */
		      0x18, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x2a,
		      2, '/', 't', 0x32, 2, '/', 'g', 0x3a, 2, '/', 'b',
		      /* extensions[0].value: the options as the Any they were */
		      0x42, 36, 0x0a, 34, RUNC_TYPE, 0x12, 4, 0x1a, 2, '/', 'c', 0x4a, 2,
		      '/', 's'),
		false, &b),
	    0);
	assert_int_equal(b.dialect, DIALECT_PARAMS);
	assert_true(b.debug);
	assert_string_equal(b.ttrpc_address, "/t");
	assert_string_equal(b.grpc_address, "/g");
	assert_string_equal(b.binary, "/b");
	assert_string_equal(b.shim_cgroup, "/c");
	assert_string_equal(b.socket_dir, "/s");
	bootstrap_fini(&b);
}

static void
test_bootstrap_garbage(void **state)
{
	struct bootstrap b;

	(void)state;
	assert_int_equal(parse(BYTES('h', 'e', 'l', 'l', 'o'), true, &b), -EINVAL);
	assert_string_equal(
	    err.text, "5 bytes on stdin are neither bootstrap parameters nor options");
	assert_int_equal(parse(BYTES(0x00), true, &b), -EINVAL);
	assert_int_equal(parse(BYTES(0x0a, 0x7f), true, &b), -EINVAL);
	assert_int_equal(parse(BYTES(0x12, 1, 'x'), true, &b), -EINVAL);
	/* parameters of another container */
	assert_int_equal(
	    parse(BYTES(0x0a, 2, 'I', 'D', 0x12, 2, 'n', 's', 0x22, 1, '2'), true, &b),
	    -EINVAL);
	assert_string_equal(err.text,
	    "the parameters on stdin are for 'ID' in namespace "
	    "'ns', not for 'id' in 'ns'");
}

static void
expect_answer(enum dialect dialect, const void *want, size_t want_len)
{
	AUTO_FREE void *got = NULL;
	size_t len;

	bootstrap_answer(dialect, "unix:///s", &got, &len);
	assert_int_equal(len, want_len);
	assert_memory_equal(got, want, want_len);
}

static void
test_bootstrap_answers(void **state)
{
	static const char json[] =
	    "{\"version\":2,\"address\":\"unix:///s\",\"protocol\":\"ttrpc\"}";

	(void)state;
	expect_answer(DIALECT_PLAIN, "unix:///s", 9);
	expect_answer(DIALECT_JSON, json, sizeof json - 1);
	expect_answer(DIALECT_PARAMS,
	    BYTES(0x08, 2, 0x12, 9, 'u', 'n', 'i', 'x', ':', '/', '/', '/', 's', 0x1a, 5,
		't', 't', 'r', 'p', 'c'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bootstrap_nothing_on_stdin),
	    cmocka_unit_test(test_bootstrap_options),
	    cmocka_unit_test(test_bootstrap_params),
	    cmocka_unit_test(test_bootstrap_garbage),
	    cmocka_unit_test(test_bootstrap_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

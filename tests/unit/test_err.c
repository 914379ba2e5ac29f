/*
 * base/err: codes stay, sentences grow at the front, nothing overflows.
 */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_err_set_appends_strerror(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&err, ENOENT, "open '%s'", "x"), -ENOENT);
	assert_string_equal(err.text, "open 'x': No such file or directory");
	assert_int_equal(err.code, ENOENT);
}

static void
test_err_wrap_keeps_the_code(void **state)
{
	struct err err = ERR_INIT;
	int rc = err_setx(&err, EINVAL, "bad");

	(void)state;
	assert_int_equal(err_wrap(&err, rc, "task '%s'", "a"), -EINVAL);
	assert_string_equal(err.text, "task 'a': bad");
	assert_int_equal(err.code, EINVAL);
}

static void
test_err_wrap_never_overflows(void **state)
{
	struct err err = ERR_INIT;
	int i, rc = err_setx(&err, EIO, "deep");

	(void)state;
	for (i = 0; i < 300; i++)
		rc = err_wrap(&err, rc, "level %d", i);
	assert_int_equal(rc, -EIO);
	assert_true(strlen(err.text) < sizeof err.text);
	assert_memory_equal(err.text, "level 299: level 298", 20);
}

static void
test_err_null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EPERM, "x"), -EPERM);
	assert_int_equal(err_wrap(NULL, -EPERM, "x"), -EPERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_err_set_appends_strerror),
	    cmocka_unit_test(test_err_wrap_keeps_the_code),
	    cmocka_unit_test(test_err_wrap_never_overflows),
	    cmocka_unit_test(test_err_null_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

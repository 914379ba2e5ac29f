/*
 * base/mem: scope-bound owners free once, lists end in NULL.
 */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_mem_steal_leaves_null_behind(void **state)
{
	AUTO_FREE char *s = mem_strdup("x");
	char *t = steal_ptr(&s);

	(void)state;
	assert_null(s);
	assert_string_equal(t, "x");
	free(t);
}

static void
test_mem_strdup_of_null_is_null(void **state)
{
	(void)state;
	assert_null(mem_strdup(NULL));
}

static void
test_strv_grows_and_ends_in_null(void **state)
{
	AUTO_STRV struct strv sv = {0};
	char want[16];
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		strv_addf(&sv, "%d", i);
	strv_add(&sv, "last");
	assert_int_equal(sv.n, 101);
	assert_null(sv.v[101]);
	for (i = 0; i < 100; i++) {
		(void)snprintf(want, sizeof want, "%d", i);
		assert_string_equal(sv.v[i], want);
	}
	assert_string_equal(sv.v[100], "last");
}

static void
test_strv_fini_takes_an_empty_one_twice(void **state)
{
	struct strv sv = {0};

	(void)state;
	strv_fini(&sv);
	strv_fini(&sv);
	assert_null(sv.v);
}

static void
test_mem_expand_looks_into_no_value(void **state)
{
	const struct mem_word words[] = {{"{a}", "x{a}{b}"}, {"{b}", ""}};
	static const char *const pairs[][2] = {
	    {"", ""},
	    {"/{a}/{b}.{c}", "/x{a}{b}/.{c}"},
	    {"{{a}", "{x{a}{b}"},
	    {"{a", "{a"},
	    {"{b}{b}", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(pairs); i++) {
		AUTO_FREE char *got = mem_expand(pairs[i][0], words, ARRAY_LEN(words));

		assert_string_equal(got, pairs[i][1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mem_steal_leaves_null_behind),
	    cmocka_unit_test(test_mem_strdup_of_null_is_null),
	    cmocka_unit_test(test_mem_expand_looks_into_no_value),
	    cmocka_unit_test(test_strv_grows_and_ends_in_null),
	    cmocka_unit_test(test_strv_fini_takes_an_empty_one_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

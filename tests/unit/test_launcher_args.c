/*
 * launcher/args: Go's flag syntax, and the names that are let through.
 */
#include "launcher/args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define ARGV_MAX 16

/* The words are separated by blanks; an empty word is written ''. */
static int
parse(const char *line, struct args *out, struct err *err)
{
	static char buf[1024];
	char *argv[ARGV_MAX + 1], *word, *save = NULL;
	int argc = 0;

	assert_true(strlen(line) < sizeof buf);
	memcpy(buf, line, strlen(line) + 1);
	for (word = strtok_r(buf, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		assert_true(argc < ARGV_MAX);
		if (strcmp(word, "''") == 0)
			word[0] = '\0';
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return args_parse(argc, argv, out, err);
}

static void
test_args_as_containerd_gives_them(void **state)
{
	struct err err = ERR_INIT;
	struct args a;

	(void)state;
	assert_int_equal(
	    parse("shim -namespace k8s.io -address /run/c.sock -publish-binary "
		  "/usr/bin/containerd -id x -bundle /b -debug delete",
		&a, &err),
	    0);
	assert_string_equal(a.ns, "k8s.io");
	assert_string_equal(a.address, "/run/c.sock");
	assert_string_equal(a.publish_binary, "/usr/bin/containerd");
	assert_string_equal(a.id, "x");
	assert_string_equal(a.bundle, "/b");
	assert_true(a.debug);
	assert_int_equal(a.action, ACTION_DELETE);
	assert_int_equal(args_check_names(&a, &err), 0);
}

static void
test_args_go_syntax(void **state)
{
	struct err err = ERR_INIT;
	struct args a;

	(void)state;
	assert_int_equal(
	    parse("shim --namespace=n -id=x=y --debug=false start", &a, &err), 0);
	assert_string_equal(a.ns, "n");
	assert_string_equal(a.id, "x=y");
	assert_false(a.debug);
	assert_int_equal(a.action, ACTION_START);
	/* the last one counts; a value may look like a flag; '' is a value */
	assert_int_equal(
	    parse("shim -id a -id -b -address '' -debug=T -- start", &a, &err), 0);
	assert_string_equal(a.id, "-b");
	assert_string_equal(a.address, "");
	assert_true(a.debug);
	assert_int_equal(a.action, ACTION_START);
	assert_int_equal(parse("shim -v", &a, &err), 0);
	assert_true(a.version);
	assert_int_equal(parse("shim --version", &a, &err), 0);
	assert_true(a.version);
	assert_int_equal(parse("shim -info", &a, &err), 0);
	assert_true(a.info);
	assert_int_equal(a.action, ACTION_NONE);
	assert_false(a.whole);
	assert_int_equal(parse("shim -whole delete", &a, &err), 0);
	assert_true(a.whole);
	assert_int_equal(parse("shim", &a, &err), 0);
	assert_int_equal(a.action, ACTION_NONE);
}

static void
test_args_refuses(void **state)
{
	static const struct {
		const char *line, *text;
	} rows[] = {
	    {"shim -bogus start", "unknown flag '-bogus'"},
	    {"shim -bogus=1 start", "unknown flag '-bogus=1'"},
	    {"shim -names n start", "unknown flag '-names'"},
	    {"shim -id", "flag '-id' needs a value"},
	    {"shim ---id x start", "bad flag syntax: '---id'"},
	    {"shim -=x start", "bad flag syntax: '-=x'"},
	    {"shim -debug=maybe start", "flag '-debug' takes true or false, not 'maybe'"},
	    {"shim -debug false start", "unknown action 'false'"},
	    {"shim restart", "unknown action 'restart'"},
	    {"shim - start", "unknown action '-'"},
	    {"shim start -id x", "unexpected word '-id' behind 'start'"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct err err = ERR_INIT;
		struct args a;

		assert_int_equal(parse(rows[i].line, &a, &err), -EINVAL);
		assert_string_equal(err.text, rows[i].text);
	}
}

static void
test_args_names(void **state)
{
	static const char *const bad[] = {
	    "shim -id x start",
	    "shim -namespace '' -id x start",
	    "shim -namespace n start",
	    "shim -namespace n -id '' start",
	    "shim -namespace ../n -id x start",
	    "shim -namespace n -id ../../etc start",
	    "shim -namespace n -id -x start",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct err err = ERR_INIT;
		struct args a;

		assert_int_equal(parse(bad[i], &a, &err), 0);
		assert_int_equal(args_check_names(&a, &err), -EINVAL);
		assert_true(err.text[0] != '\0');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_args_as_containerd_gives_them),
	    cmocka_unit_test(test_args_go_syntax),
	    cmocka_unit_test(test_args_refuses),
	    cmocka_unit_test(test_args_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

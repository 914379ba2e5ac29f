/*
 * worker/conf: defaults, every key, and that nothing wrong with the file is
 * more than a line in the log.
 */
#include "worker/conf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

static char dir[] = "/tmp/test_conf.XXXXXX";
static char path[64], log_file[64];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/conf", dir);
	(void)snprintf(log_file, sizeof log_file, "%s/log", dir);
	return setenv("PODSHIM_CONFIG", path, 1);
}

static int
teardown(void **state)
{
	(void)state;
	log_set_path(NULL);
	(void)unlink(path);
	(void)unlink(log_file);
	return rmdir(dir);
}

/* Load text (NULL: what is there); returns what was logged. */
static char *
load(const char *text, struct conf *conf)
{
	char *said = NULL;
	size_t len;

	if (text != NULL)
		assert_int_equal(
		    file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, log_file, "", 0, 0600, NULL), 0);
	log_set_path(log_file);
	conf_load(conf);
	assert_int_equal(file_read(AT_FDCWD, log_file, 100000, &said, &len, NULL), 0);
	return said;
}

static void
assert_defaults(const struct conf *c)
{
	assert_int_equal(c->events_transport, TRANSPORT_AUTO);
	assert_false(c->stdio_direct);
	assert_int_equal(c->runtime_timeout_us, 120 * US_PER_S);
	assert_int_equal(c->drain_timeout_us, 10 * US_PER_S);
	assert_int_equal(c->end_delay_us, 30 * US_PER_S);
	assert_false(c->debug);
	assert_int_equal(c->wait, HALT_NONE);
}

static void
test_conf_defaults(void **state)
{
	AUTO_FREE char *said = NULL;
	struct conf c;

	(void)state;
	said = load("", &c);
	assert_defaults(&c);
	assert_string_equal(said, "");
}

static void
test_conf_every_key(void **state)
{
	AUTO_FREE char *said = NULL;
	struct conf c;

	(void)state;
	said = load("# a comment\n[events]\ntransport = "
		    "ttrpc\n[stdio]\ndirect=always\ndrain = 0\n"
		    "[runtime]\ntimeout= 5 ; a comment\n[pod]\nend_delay =86400\n[log]\n"
		    "level = debug\n[debug]\nwait = exec\n",
	    &c);
	assert_string_equal(said, "");
	assert_int_equal(c.events_transport, TRANSPORT_TTRPC);
	assert_true(c.stdio_direct);
	assert_int_equal(c.runtime_timeout_us, 5 * US_PER_S);
	assert_int_equal(c.drain_timeout_us, 0);
	assert_int_equal(c.end_delay_us, 86400 * US_PER_S);
	assert_true(c.debug);
	assert_int_equal(c.wait, HALT_EXEC);
	free(said);
	said = load("[events]\ntransport = publish-binary\n", &c);
	assert_int_equal(c.events_transport, TRANSPORT_PUBLISH_BINARY);
}

static void
test_conf_bad_values_are_logged_and_ignored(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
	    {"[events]\ntransport = pigeon\n",
		"'pigeon' is no value for transport in [events], ignoring"},
	    {"[events]\ntransport =\n", "'' is no value for transport"},
	    {"[stdio]\ndirect = yes\n", "'yes' is no value for direct in [stdio]"},
	    {"[stdio]\ndrain = -1\n", "'-1' is no value for drain"},
	    {"[stdio]\ndrain = 3601\n", "'3601' is no value"},
	    {"[runtime]\ntimeout = 0\n", "'0' is no value for timeout"},
	    {"[runtime]\ntimeout = 5s\n", "'5s' is no value"},
	    {"[runtime]\ntimeout = 99999999999999999999\n", "is no value"},
	    {"[pod]\nend_delay = x\n", "'x' is no value"},
	    {"[log]\nlevel = loud\n", "'loud' is no value"},
	    {"[debug]\nwait = kill\n", "'kill' is no value for wait in [debug]"},
	    {"[log]\ncolour = red\n", "unknown key 'colour' in [log], ignoring"},
	    {"transport = ttrpc\n", "unknown key 'transport' in [], ignoring"},
	    {"[events\ntransport = ttrpc\n", "line 1 makes no sense, ignoring"},
	    {"[events]\nwhat\n", "line 2 makes no sense, ignoring"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *said = NULL;
		struct conf c;

		said = load(cases[i].text, &c);
		assert_defaults(&c);
		if (strstr(said, cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].text, said);
	}
}

static void
test_conf_what_is_no_file(void **state)
{
	AUTO_FREE char *big = mem_zalloc(70000), *said = NULL;
	struct conf c;

	(void)state;
	(void)unlink(path);
	said = load(NULL, &c);
	assert_defaults(&c);
	assert_non_null(strstr(said, "No such file or directory, ignoring"));
	free(said);
	assert_int_equal(mkfifo(path, 0600), 0);
	said = load(NULL, &c);
	assert_defaults(&c);
	assert_non_null(strstr(said, "is not a regular file, ignoring"));
	free(said);
	(void)unlink(path);
	memset(big, '#', 69999);
	said = load(big, &c);
	assert_defaults(&c);
	assert_non_null(strstr(said, "more than 65536 bytes, ignoring"));
}

/* The file that is shipped must be understood, and say the defaults. */
static void
test_conf_the_example(void **state)
{
	AUTO_FREE char *name = mem_strdup(SRCDIR "/daemon/worker/podshim.conf");
	AUTO_FREE char *text = NULL, *said = NULL;
	struct conf c;
	size_t len, i, n = 0;

	(void)state;
	assert_int_equal(file_read(AT_FDCWD, name, 65536, &text, &len, NULL), 0);
	/* take the '#' off the settings, which have no blank behind it */
	for (i = 0; i < len; i++) {
		if (text[i] == '#' && i + 1 < len && text[i + 1] != ' ') {
			text[i] = ' ';
			n++;
		}
	}
	assert_int_equal(n, 7);
	for (i = 0; i < len; i++) { /* inih takes an indented line for a continuation */
		if (text[i] == ' ' && i > 0 && text[i - 1] == '\n')
			text[i] = '\n';
	}
	said = load(text, &c);
	assert_string_equal(said, "");
	assert_defaults(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conf_defaults),
	    cmocka_unit_test(test_conf_every_key),
	    cmocka_unit_test(test_conf_bad_values_are_logged_and_ignored),
	    cmocka_unit_test(test_conf_what_is_no_file),
	    cmocka_unit_test(test_conf_the_example),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

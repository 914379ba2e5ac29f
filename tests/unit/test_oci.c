/*
 * worker/oci: what is read from config.json, what is refused and with which
 * words, and an exec's process.json that differs in `terminal` alone.
 */
#include "oci/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

static char bundle[] = "/tmp/test_oci.XXXXXX";

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(bundle) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/config.json", bundle);

	(void)state;
	(void)unlink(path);
	return rmdir(bundle);
}

static int
load(const char *config, struct oci_spec *spec, struct err *err)
{
	AUTO_FREE char *path = mem_printf("%s/config.json", bundle);

	assert_int_equal(
	    file_write(AT_FDCWD, path, config, strlen(config), 0600, NULL), 0);
	return oci_spec_load(bundle, spec, err);
}

static void
test_oci_spec_reads_what_matters(void **state)
{
	struct oci_spec spec;
	struct err err;

	(void)state;
	assert_int_equal(
	    load("{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":true,"
		 "\"user\":{\"uid\":1000,\"gid\":1001},"
		 "\"rlimits\":[{\"hard\":18446744073709551615}]},"
		 "\"root\":{\"path\":\"rootfs\"},"
		 "\"linux\":{\"cgroupsPath\":\"/k8s.io/x\","
		 "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"}]}}",
		&spec, &err),
	    0);
	assert_string_equal(spec.root_path, "rootfs");
	assert_string_equal(spec.cgroups_path, "/k8s.io/x");
	assert_true(spec.own_pidns);
	assert_true(spec.terminal);
	assert_false(spec.has_userns);
	assert_int_equal(spec.host_uid, 1000);
	assert_int_equal(spec.host_gid, 1001);
	oci_spec_fini(&spec);
	assert_null(spec.root_path);
}

static void
test_oci_spec_of_nearly_nothing(void **state)
{
	struct oci_spec spec;
	struct err err;

	(void)state;
	assert_int_equal(load(" {} ", &spec, &err), 0);
	assert_null(spec.cgroups_path);
	assert_null(spec.root_path);
	assert_false(spec.own_pidns);
	assert_int_equal(spec.host_uid, 0);
	oci_spec_fini(&spec);
	assert_int_equal(
	    load("{\"linux\":null,\"process\":null,\"root\":{\"path\":\"\"}}", &spec,
		&err),
	    0);
	assert_null(spec.root_path);
	oci_spec_fini(&spec);
}

static void
test_oci_spec_private_pid_namespace(void **state)
{
	static const struct {
		const char *namespaces;
		bool own;
	} cases[] = {
	    {"[]", false},
	    {"[{\"type\":\"mount\"}]", false},
	    {"[{\"type\":\"pid\"}]", true},
	    {"[{\"type\":\"pid\",\"path\":\"\"}]", true},
	    {"[{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}]", false},
	    {"[{\"path\":\"/proc/1/ns/net\",\"type\":\"network\"},{\"type\":\"pid\"}]",
		true},
	    {"[{\"type\":\"pid\"},{\"type\":\"pid\",\"path\":\"/x\"}]", false},
	    {"null", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *config =
		    mem_printf("{\"linux\":{\"namespaces\":%s}}", cases[i].namespaces);
		struct oci_spec spec;

		assert_int_equal(load(config, &spec, NULL), 0);
		assert_int_equal(spec.own_pidns, cases[i].own);
		oci_spec_fini(&spec);
	}
}

static void
test_oci_spec_maps_ids_of_a_user_namespace(void **state)
{
	static const char fmt[] =
	    "{\"process\":{\"user\":{\"uid\":%s,\"gid\":%s}},\"linux\":{"
	    "\"namespaces\":[{\"type\":\"user\"}],"
	    "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000},"
	    "{\"containerID\":1000,\"hostID\":7,\"size\":1}],"
	    "\"gidMappings\":[{\"containerID\":0,\"hostID\":4294967290,\"size\":"
	    "4294967295}]}}";
	static const struct {
		const char *uid, *gid;
		unsigned host_uid, host_gid;
	} cases[] = {
	    {"0", "0", 100000, 4294967290u},
	    {"999", "5", 100999, 4294967295u},
	    {"1000", "6", 7, 0}, /* 6 would be beyond the last id */
	    {"1001", "1", 0, 4294967291u},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *config = NULL;
		struct oci_spec spec;

		assert_true(asprintf(&config, fmt, cases[i].uid, cases[i].gid) > 0);
		assert_int_equal(load(config, &spec, NULL), 0);
		assert_true(spec.has_userns);
		assert_int_equal(spec.host_uid, cases[i].host_uid);
		assert_int_equal(spec.host_gid, cases[i].host_gid);
		oci_spec_fini(&spec);
	}
}

static void
test_oci_spec_refuses_broken_documents_in_words(void **state)
{
	static const struct {
		const char *config, *words;
	} cases[] = {
	    {"", "not valid JSON"},
	    {"{", "not valid JSON: line 1 column 1"},
	    {"[]", "not a JSON object"},
	    {"7", "not valid JSON"},
	    {"{} {}", "not valid JSON"},
	    {"{\"process\":7}", "process is a number, not an object"},
	    {"{\"root\":\"x\"}", "root is a string, not an object"},
	    {"{\"root\":{\"path\":7}}", "root.path is a number, not a string"},
	    {"{\"root\":{\"path\":\"a\\u0000b\"}}", "not valid JSON"},
	    {"{\"root\":{\"path\":\"a\xff\"}}", "not valid JSON"},
	    {"{\"process\":{\"terminal\":\"yes\"}}",
		"process.terminal is a string, not a boolean"},
	    {"{\"process\":{\"user\":{\"uid\":-1}}}",
		"process.user.uid is not a number from 0"},
	    {"{\"process\":{\"user\":{\"gid\":4294967296}}}", "process.user.gid is not"},
	    {"{\"process\":{\"user\":{\"gid\":1.5}}}", "process.user.gid is not"},
	    {"{\"linux\":{\"namespaces\":{}}}",
		"linux.namespaces is an object, not an array"},
	    {"{\"linux\":{\"namespaces\":[7]}}", "linux.namespaces[0] is not an object"},
	    {"{\"linux\":{\"namespaces\":[{},{\"type\":[]}]}}",
		"linux.namespaces[1]: type is an array"},
	    {"{\"linux\":{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{},3]}}",
		"linux.uidMappings[1] is not an object"},
	    {"{\"linux\":{\"namespaces\":[{\"type\":\"user\"}],"
	     "\"gidMappings\":[{\"size\":\"x\"}]}}",
		"linux.gidMappings[0]: mapping: size is not a number"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct oci_spec spec;

		assert_int_equal(load(cases[i].config, &spec, &err), -EINVAL);
		if (strstr(err.text, cases[i].words) == NULL ||
		    strstr(err.text, "/config.json") == NULL)
			fail_msg("%s: %s", cases[i].config, err.text);
	}
}

static void
test_oci_spec_deep_nesting_is_refused(void **state)
{
	AUTO_FREE char *config = mem_zalloc(200001);
	struct oci_spec spec;

	(void)state;
	memset(config, '[', 200000);
	assert_int_equal(load(config, &spec, NULL), -EINVAL);
}

static void
test_oci_spec_missing_file(void **state)
{
	struct oci_spec spec;
	struct err err;

	(void)state;
	assert_int_equal(oci_spec_load("/nonexistent", &spec, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/config.json"));
}

static void
check_process(const char *in, bool terminal, const char *want)
{
	AUTO_FREE char *copy =
	    mem_dup(in, strlen(in)); /* no NUL: ASan sees a step too far */
	AUTO_FREE char *out = NULL;
	struct err err = ERR_INIT;
	size_t len;

	if (oci_exec_process(copy, strlen(in), terminal, &out, &len, NULL, &err) != 0)
		fail_msg("%s: %s", in, err.text);
	assert_int_equal(len, strlen(out));
	assert_string_equal(out, want);
}

static void
test_oci_exec_process_forces_terminal_alone(void **state)
{
	(void)state;
	check_process("{}", true, "{\"terminal\":true}");
	check_process(" { } ", false, "{\"terminal\":false}");
	check_process("{\"terminal\":true}", false, "{\"terminal\":false}");
	check_process("{\"args\":[\"a,b\",\"}\"],\"terminal\":false,\"cwd\":\"/\"}", true,
	    "{\"terminal\":true,\"args\":[\"a,b\",\"}\"],\"cwd\":\"/\"}");
	/* numbers that no double holds stay as they are */
	check_process("{\"rlimits\":[{\"hard\":18446744073709551615,\"soft\":1e3}] , "
		      "\"cwd\" : \"/\" }",
	    false,
	    "{\"terminal\":false,\"rlimits\":[{\"hard\":18446744073709551615,\"soft\":"
	    "1e3}] "
	    ",\"cwd\" : \"/\" }");
	/* every way to write the key that a runtime would take for it */
	check_process("{\"Terminal\":true,\"termin\\u0061l\":true,\"terminal\" : true}",
	    false, "{\"terminal\":false}");
	/* not at the top: somebody else's */
	check_process("{\"x\":{\"terminal\":true},\"a\\\"terminal\":\"\\\\\"}", false,
	    "{\"terminal\":false,\"x\":{\"terminal\":true},\"a\\\"terminal\":\"\\\\\"}");
}

static void
check_command(const char *json, const char *want)
{
	AUTO_FREE char *out = NULL, *command = NULL;
	size_t len;

	assert_int_equal(
	    oci_exec_process(json, strlen(json), false, &out, &len, &command, NULL), 0);
	assert_string_equal(command, want);
}

static void
test_oci_exec_process_tells_the_command(void **state)
{
	static const char word[] = ",\"word\"";
	char json[4096] = "{\"args\":[\"a\"";
	AUTO_FREE char *out = NULL, *command = NULL;
	size_t len, i, at = strlen(json);

	(void)state;
	check_command("{}", "");
	check_command("{\"args\":[]}", "");
	check_command("{\"args\":[\"/bin/ls\",\"-l\"]}", "/bin/ls -l");
	check_command("{\"args\":[\"sh\",\"-c\",\"echo it's; x\",\"\"]}",
	    "sh -c 'echo it'\\''s; x' ''");
	for (i = 0; i < 300; i++, at += sizeof word - 1)
		memcpy(json + at, word, sizeof word);
	memcpy(json + at, "]}", sizeof "]}");
	assert_int_equal(
	    oci_exec_process(json, strlen(json), false, &out, &len, &command, NULL), 0);
	assert_true(strlen(command) >= OCI_COMMAND_MAX);
	assert_true(strlen(command) < OCI_COMMAND_MAX + 8);
}

static void
test_oci_exec_process_refuses(void **state)
{
	static const struct {
		const char *json, *words;
	} cases[] = {
	    {"", "not valid JSON"},
	    {"null", "not valid JSON"},
	    {"[]", "not a JSON object"},
	    {"{\"args\":\"sh\"}", "args is a string, not an array"},
	    {"{\"args\":[\"sh\",7]}", "args[1] is not a string"},
	    {"{\"env\":[null]}", "env[0] is not a string"},
	    {"{\"cwd\":{}}", "cwd is an object, not a string"},
	    {"{\"user\":0}", "user is a number, not an object"},
	    {"{\"terminal\":1}", "terminal is a number, not a boolean"},
	    {"{\"args\":[\"a\\u0000\"]}", "not valid JSON"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		char *out;
		size_t len;

		assert_int_equal(oci_exec_process(cases[i].json, strlen(cases[i].json),
				     true, &out, &len, NULL, &err),
		    -EINVAL);
		if (strstr(err.text, cases[i].words) == NULL ||
		    strncmp(err.text, "process spec: ", 14) != 0)
			fail_msg("%s: %s", cases[i].json, err.text);
	}
	assert_int_equal(
	    oci_exec_process(NULL, 0, true, NULL, NULL, NULL, NULL), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_oci_spec_reads_what_matters),
	    cmocka_unit_test(test_oci_spec_of_nearly_nothing),
	    cmocka_unit_test(test_oci_spec_private_pid_namespace),
	    cmocka_unit_test(test_oci_spec_maps_ids_of_a_user_namespace),
	    cmocka_unit_test(test_oci_spec_refuses_broken_documents_in_words),
	    cmocka_unit_test(test_oci_spec_deep_nesting_is_refused),
	    cmocka_unit_test(test_oci_spec_missing_file),
	    cmocka_unit_test(test_oci_exec_process_forces_terminal_alone),
	    cmocka_unit_test(test_oci_exec_process_tells_the_command),
	    cmocka_unit_test(test_oci_exec_process_refuses),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/*
 * worker/options: every message that options come in, the TOML text of CRI,
 * the JSON form, and clear refusals.
 */
#include "oci/options.h"

#include <errno.h>
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

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/options.pb-c.h"
#include "proto/runctypes.pb-c.h"
#include "proto/runtimeoptions.pb-c.h"
#include "oci/options_toml.h"

static char lit[64];

/* protobuf-c wants char *, literals are const. */
static char *
str(const char *s)
{
	(void)snprintf(lit, sizeof lit, "%s", s);
	return lit;
}

static int
decode_generic(const char *path, const char *toml, struct options *o, struct err *err)
{
	Runtimeoptions__V1__Options m = RUNTIMEOPTIONS__V1__OPTIONS__INIT;
	AUTO_FREE uint8_t *body =
	    mem_dup(toml == NULL ? "" : toml, toml == NULL ? 0 : strlen(toml));
	uint8_t buf[8192];
	size_t len;

	if (path != NULL)
		m.config_path = str(path);
	m.config_body.data = body;
	m.config_body.len = toml == NULL ? 0 : strlen(toml);
	assert_true(runtimeoptions__v1__options__get_packed_size(&m) < sizeof buf);
	len = runtimeoptions__v1__options__pack(&m, buf);
	return options_decode("runtimeoptions.v1.Options", buf, len, o, err);
}

static void
test_options_none_is_defaults(void **state)
{
	static const char *const types[] = {NULL, "", "containerd.runc.v1.Options",
	    "runtimeoptions.v1.Options", "containerd.linux.runc.CreateOptions"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(types); i++) {
		struct options o;

		assert_int_equal(options_decode(types[i], NULL, 0, &o, NULL), 0);
		assert_string_equal(o.binary_name, "runc");
		assert_null(o.root);
		assert_false(o.systemd_cgroup);
		options_fini(&o);
	}
}

static void
test_options_of_runc(void **state)
{
	Containerd__Runc__V1__Options m = CONTAINERD__RUNC__V1__OPTIONS__INIT;
	uint8_t buf[256];
	struct options o;
	size_t len;

	(void)state;
	m.binary_name = str("crun");
	m.systemd_cgroup = true;
	m.no_pivot_root = true;
	m.io_uid = 4000000000u;
	m.task_api_version = 3;
	len = containerd__runc__v1__options__pack(&m, buf);
	assert_int_equal(
	    options_decode("containerd.runc.v1.Options", buf, len, &o, NULL), 0);
	assert_string_equal(o.binary_name, "crun");
	assert_true(o.systemd_cgroup);
	assert_true(o.no_pivot_root);
	assert_false(o.no_new_keyring);
	assert_int_equal(o.io_uid, 4000000000u);
	assert_null(o.shim_cgroup);
	options_fini(&o);
	assert_int_equal(options_decode("type.googleapis.com/containerd.runc.v1.Options",
			     buf, len, &o, NULL),
	    0);
	assert_string_equal(o.binary_name, "crun");
	options_fini(&o);
}

static void
test_options_of_containerd_1_6_clients(void **state)
{
	Containerd__Linux__Runc__CreateOptions m =
	    CONTAINERD__LINUX__RUNC__CREATE_OPTIONS__INIT;
	uint8_t buf[256];
	struct options o;
	size_t len;

	(void)state;
	m.no_new_keyring = true;
	m.io_gid = 7;
	m.shim_cgroup = str("/x");
	len = containerd__linux__runc__create_options__pack(&m, buf);
	assert_int_equal(
	    options_decode("containerd.linux.runc.CreateOptions", buf, len, &o, NULL), 0);
	assert_true(o.no_new_keyring);
	assert_int_equal(o.io_gid, 7);
	assert_string_equal(o.shim_cgroup, "/x");
	assert_string_equal(o.binary_name, "runc");
	options_fini(&o);
}

static void
test_options_refuses(void **state)
{
	static const uint8_t junk[] = {0x32, 0x7f, 'x'};
	static const struct {
		const char *type;
		const char *words;
	} cases[] = {
	    {"containerd.runc.v1.Options", "do not decode"},
	    {"runtimeoptions.v1.Options", "do not decode"},
	    {"containerd.linux.runc.CreateOptions", "do not decode"},
	    {"containerd.runhcs.v1.Options",
		"of type 'containerd.runhcs.v1.Options' are not known"},
	    {"types.containerd.io/x", "are not known"},
	    {NULL, "without a type"},
	    {"", "without a type"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct options o;

		assert_int_equal(
		    options_decode(cases[i].type, junk, sizeof junk, &o, &err), -EINVAL);
		assert_int_equal(err.code, EINVAL);
		if (strstr(err.text, cases[i].words) == NULL)
			fail_msg("%s", err.text);
	}
}

static void
test_options_of_cri(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(decode_generic(NULL,
			     "\n# from the options table\r\n"
			     "BinaryName = \"/usr/bin/crun\"\r\n"
			     "  Root='/run/c\\run' # with a comment\n"
			     "SystemdCgroup = true\n"
			     "io_uid = 1_000\n"
			     "NoSuchKey = [ \"a]\", # ]\n 1, {b = 2}]\n"
			     "CriuWorkPath = \"a\\u00e9\\t\\\"\\U0001F600\"\n"
			     "When = 1979-05-27T07:32:00Z\n"
			     "Ratio = 1.5\n"
			     "a.BinaryName = \"no\"\n"
			     "Text = \"\"\"\nBinaryName = \"no\"\n\"\"\"\n"
			     "\"NoPivotRoot\" = true\n"
			     "[sub]\n"
			     "BinaryName = \"neither\"\n",
			     &o, NULL),
	    0);
	assert_string_equal(o.binary_name, "/usr/bin/crun");
	assert_string_equal(o.root, "/run/c\\run");
	assert_string_equal(o.criu_work_path, "a\xc3\xa9\t\"\xf0\x9f\x98\x80");
	assert_true(o.systemd_cgroup);
	assert_true(o.no_pivot_root);
	assert_int_equal(o.io_uid, 1000);
	options_fini(&o);
}

static void
test_options_toml_errors_name_the_line(void **state)
{
	static const struct {
		const char *toml, *words;
	} cases[] = {
	    {"BinaryName", "line 1: a key without '='"},
	    {"\n\nBinaryName =", "line 3: no value"},
	    {"BinaryName = \"x", "line 1: a string that does not end"},
	    {"BinaryName = \"x\ny\"", "line 1: a string that does not end"},
	    {"BinaryName = \"\\q\"", "an escape that is none"},
	    {"BinaryName = \"\\ud800\"", "an escape that is no character"},
	    {"BinaryName = \"\\u0000\"", "an escape that is no character"},
	    {"BinaryName = \"\\u00", "an escape that is none"},
	    {"BinaryName = crun", "a value that is none"},
	    {"BinaryName = \"a\" \"b\"", "something behind the value"},
	    {"BinaryName = true", "'BinaryName' has a value of the wrong type"},
	    {"SystemdCgroup = \"true\"", "'SystemdCgroup' has a value of the wrong type"},
	    {"IoUid = -1", "'IoUid' is not an id"},
	    {"IoUid = 4294967296", "'IoUid' is not an id"},
	    {"IoUid = 99999999999999999999", "wrong type"},
	    {"x = [\n1,\n", "line 3: a bracket that is not closed"},
	    {"x = \"\"\"\n", "line 2: a string that does not end"},
	    {"= 1", "not a key"},
	    {"{}", "not a key"},
	    {"a..b = 1", "not a key"},
	    {"x = "
	     "truetruetruetruetruetruetruetruetruetruetruetruetruetruetruetruetruetruetru"
	     "etrue",
		"a value that is none"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct options o;

		assert_int_equal(decode_generic(NULL, cases[i].toml, &o, &err), -EINVAL);
		if (strstr(err.text, cases[i].words) == NULL ||
		    strstr(err.text, "config_body: ") == NULL)
			fail_msg("%s: %s", cases[i].toml, err.text);
	}
}

static int
ignore_key(const char *key, const struct toml_value *v, void *arg, struct err *err)
{
	(void)key;
	(void)v;
	(void)arg;
	(void)err;
	return 0;
}

/* Any text at all ends in 0 or -EINVAL, and every cut of a good one too. */
static void
test_options_toml_survives_anything(void **state)
{
	static const char good[] =
	    "a = \"\\u00e9\"\nb=[1,{c='x'}]\n'd'.e = \"\"\"\\\"x\"\"\"\n[t]\n";
	unsigned seed = 1;
	size_t i, j;

	(void)state;
	for (i = 0; i <= sizeof good - 1; i++) {
		AUTO_FREE char *cut = mem_dup(good, i);
		int rc = toml_read(cut, i, ignore_key, NULL, NULL);

		assert_true(rc == 0 || rc == -EINVAL);
	}
	for (i = 0; i < 20000; i++) {
		AUTO_FREE char *text = mem_dup(good, sizeof good - 1);
		int rc;

		for (j = 0; j < 3; j++) {
			seed = seed * 1103515245u + 12345u;
			text[(seed >> 8) % (sizeof good - 1)] = (char)(seed >> 24);
		}
		rc = toml_read(text, sizeof good - 1, ignore_key, NULL, NULL);
		assert_true(rc == 0 || rc == -EINVAL);
	}
}

static void
test_options_config_path(void **state)
{
	char dir[] = "/tmp/test_options.XXXXXX", path[64];
	static const char good[] = "BinaryName = \"crun\"\n";
	AUTO_FREE char *big = mem_zalloc(64 * 1024 + 2);
	struct err err = ERR_INIT;
	struct options o;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/c.toml", dir);
	assert_int_equal(decode_generic(path, NULL, &o, &err), -EINVAL);
	assert_int_equal(err.code, EINVAL);
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(file_write(AT_FDCWD, path, good, strlen(good), 0644, NULL), 0);
	assert_int_equal(decode_generic(path, NULL, &o, NULL), 0);
	assert_string_equal(o.binary_name, "crun");
	options_fini(&o);
	/* the body speaks last */
	assert_int_equal(decode_generic(path, "BinaryName = \"youki\"", &o, NULL), 0);
	assert_string_equal(o.binary_name, "youki");
	options_fini(&o);

	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(decode_generic(path, NULL, &o, &err), -EINVAL);
	assert_non_null(strstr(err.text, "can be written by others"));
	if (geteuid() == 0) {
		assert_int_equal(chmod(path, 0600), 0);
		assert_int_equal(chown(path, 65534, 0), 0);
		assert_int_equal(decode_generic(path, NULL, &o, &err), -EINVAL);
		assert_non_null(strstr(err.text, "can be written by others"));
	}
	memset(big, '#', 64 * 1024 + 1);
	assert_int_equal(file_write(AT_FDCWD, path, big, 64 * 1024 + 1, 0600, NULL), 0);
	assert_int_equal(decode_generic(path, NULL, &o, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(decode_generic(path, NULL, &o, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_options_json_round_trip(void **state)
{
	char crun[] = "crun", root[] = "/r\"\xc3\xa9", cgroup[] = "/c", image[] = "/i",
	     work[] = "/w";
	const struct options all = {.binary_name = crun,
	    .root = root,
	    .shim_cgroup = cgroup,
	    .criu_image_path = image,
	    .criu_work_path = work,
	    .systemd_cgroup = true,
	    .no_pivot_root = true,
	    .no_new_keyring = true,
	    .io_uid = 4294967295u,
	    .io_gid = 1};
	AUTO_FREE char *json = options_to_json(&all), *again = NULL, *empty = NULL;
	struct options o;

	(void)state;
	assert_non_null(strstr(json, "\"binary_name\":\"crun\""));
	assert_non_null(strstr(json, "\"io_uid\":4294967295"));
	assert_int_equal(options_from_json(json, &o, NULL), 0);
	again = options_to_json(&o);
	assert_string_equal(json, again);
	options_fini(&o);

	assert_int_equal(options_from_json("", &o, NULL), 0);
	assert_string_equal(o.binary_name, "runc");
	empty = options_to_json(&o);
	assert_string_equal(empty, "{}");
	options_fini(&o);
	assert_int_equal(options_from_json("[]", &o, NULL), -EINVAL);
	assert_int_equal(options_from_json("{\"io_uid\":-1}", &o, NULL), -EINVAL);
	assert_int_equal(
	    options_from_json("{\"root\":\"/x\",\"systemd_cgroup\":3}", &o, NULL),
	    -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_options_none_is_defaults),
	    cmocka_unit_test(test_options_of_runc),
	    cmocka_unit_test(test_options_of_containerd_1_6_clients),
	    cmocka_unit_test(test_options_refuses),
	    cmocka_unit_test(test_options_of_cri),
	    cmocka_unit_test(test_options_toml_errors_name_the_line),
	    cmocka_unit_test(test_options_toml_survives_anything),
	    cmocka_unit_test(test_options_config_path),
	    cmocka_unit_test(test_options_json_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What `podshimctl run` and `logs` are made of: config.json, the log program's URI,
 * the directory's files, and the reading of logs while they are rotated.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/log_read.h"
#include "client/run_dir.h"
#include "client/run_event.h"
#include "client/run_logger.h"
#include "client/run_spec.h"
#include "tmpdir.h"

static void
put(const char *name, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

/* --- config.json ------------------------------------------------------------------------ */

static json_t *
make(const struct run_spec *spec)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	json_t *json;

	if (run_spec_make(spec, &text, &err) < 0)
		fail_msg("%s", err.text);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	return json;
}

static void
test_spec_default(void **state)
{
	char *args[] = {(char[]){"sh"}, (char[]){"-c"}, NULL},
	     *env[] = {(char[]){"A=b"}, NULL};
	struct run_spec spec = {.ns = "n",
	    .id = "i",
	    .pod = "p",
	    .rootfs = dir,
	    .args = args,
	    .env = env,
	    .terminal = true,
	    .cwd = "/w"};
	const char *root, *group, *cgroup, *cwd, *arg;
	int terminal;
	json_t *json = make(&spec), *found = json_object_get(json, "process");

	(void)state;
	assert_int_equal(
	    json_unpack(json, "{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:b, s:s, s:[s]}}", "root",
		"path", &root, "annotations", "io.containerd.runc.v2.group", &group,
		"linux", "cgroupsPath", &cgroup, "process", "terminal", &terminal, "cwd",
		&cwd, "args", &arg),
	    0);
	assert_string_equal(root, dir);
	assert_string_equal(group, "p");
	assert_string_equal(cgroup, "/n/i");
	assert_string_equal(cwd, "/w");
	assert_string_equal(arg, "sh");
	assert_true(terminal);
	found = json_object_get(found, "env");
	assert_string_equal(
	    json_string_value(json_array_get(found, json_array_size(found) - 1)), "A=b");
	/* five namespaces, or four with the host's network */
	found = json_object_get(json_object_get(json, "linux"), "namespaces");
	assert_int_equal(json_array_size(found), 5);
	json_decref(json);
	spec.host_net = true;
	json = make(&spec);
	found = json_object_get(json_object_get(json, "linux"), "namespaces");
	assert_int_equal(json_array_size(found), 4);
	json_decref(json);
}

static void
test_spec_bundle(void **state)
{
	char *none[] = {NULL};
	struct run_spec spec = {
	    .ns = "n", .id = "i", .pod = "p", .bundle = dir, .args = none};
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *want_root = mem_printf("%s/rootfs", dir);
	AUTO_FREE char *want_mount = mem_printf("%s/data", dir);
	struct err err = ERR_INIT;
	const char *root, *source, *proc, *arg, *cgroup;
	json_t *json;

	(void)state;
	assert_int_equal(mkdir(want_root, 0755), 0);
	put("config.json",
	    "{\"process\": {\"args\": [\"own\"], \"cwd\": \"/\"}, \"root\": {\"path\": "
	    "\"rootfs/../rootfs\"}, \"mounts\": [{\"type\": \"none\", \"options\": "
	    "[\"rbind\"], "
	    "\"source\": \"data\"}, {\"type\": \"proc\", \"source\": \"proc\"}], "
	    "\"linux\": {\"cgroupsPath\": \"/mine\"}}");
	json = make(&spec);
	assert_int_equal(
	    json_unpack(json, "{s:{s:s}, s:[{s:s}, {s:s}], s:{s:[s]}, s:{s:s}}", "root",
		"path", &root, "mounts", "source", &source, "source", &proc, "process",
		"args", &arg, "linux", "cgroupsPath", &cgroup),
	    0);
	assert_string_equal(root, want_root);
	assert_string_equal(source, want_mount);
	assert_string_equal(proc, "proc");
	assert_string_equal(arg, "own");
	assert_string_equal(cgroup, "/mine");
	json_decref(json);
	assert_int_equal(rmdir(want_root), 0);
	put("config.json", "{\"process\": \n oops");
	assert_int_equal(run_spec_make(&spec, &text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "config.json', line 2"));
	put("config.json", "[]");
	assert_int_equal(run_spec_make(&spec, &text, &err), -EINVAL);
}

/* The runtime would run another command, or none of it. */
static void
test_spec_not_utf8(void **state)
{
	char *args[] = {(char[]){"sh"}, (char[]){"a\xff"}, NULL},
	     *plain[] = {(char[]){"sh"}, NULL}, *env[] = {(char[]){"A=\xff"}, NULL};
	AUTO_FREE char *bad_dir = mem_printf("%s/\xff", dir);
	struct run_spec spec = {
	    .ns = "n", .id = "i", .pod = "p", .rootfs = dir, .args = args};
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run_spec_make(&spec, &text, &err), -EILSEQ);
	assert_non_null(strstr(err.text, "argument 'a\xff' is not UTF-8"));
	spec.args = plain;
	spec.env = env;
	assert_int_equal(run_spec_make(&spec, &text, &err), -EILSEQ);
	assert_non_null(strstr(err.text, "variable 'A=\xff' is not UTF-8"));
	spec.env = NULL;
	spec.cwd = "/\xff";
	assert_int_equal(run_spec_make(&spec, &text, &err), -EILSEQ);
	assert_non_null(strstr(err.text, "directory '/\xff' is not UTF-8"));
	spec.cwd = NULL;
	assert_int_equal(mkdir(bad_dir, 0700), 0);
	spec.rootfs = bad_dir;
	assert_int_equal(run_spec_make(&spec, &text, &err), -EILSEQ);
	/* a bundle's own paths are made absolute below it */
	spec.rootfs = NULL;
	spec.bundle = bad_dir;
	put("\xff/config.json", "{\"process\": {\"args\": [\"sh\"], \"cwd\": \"/\"}}");
	assert_int_equal(run_spec_make(&spec, &text, &err), -EILSEQ);
	assert_null(text);
}

/* --- the log program's URI -------------------------------------------------------------- */

static void
test_uri(void **state)
{
	struct logged l;

	(void)state;
	assert_true(
	    logged_of_uri("binary-v2:///usr/bin/podshim-logger?path=%2Fvar%2Fl+g%2F{id}."
			  "{namespace}&attach=/run/a&format=plain",
		"c", "n", &l));
	assert_string_equal(l.path, "/var/l g/c.n");
	assert_string_equal(l.attach, "/run/a");
	assert_true(l.plain);
	logged_fini(&l);
	/* a path that is not written to */
	assert_true(logged_of_uri("binary-v2:///usr/bin/podshim-logger?path=/l&attach=/a&"
				  "format=none",
	    "c", "n", &l));
	assert_null(l.path);
	logged_fini(&l);
	assert_true(logged_of_uri("file:///var/log/x", "c", "n", &l));
	assert_string_equal(l.path, "/var/log/x");
	assert_true(l.plain);
	logged_fini(&l);
	assert_false(logged_of_uri("binary:///usr/bin/other?path=/x", "c", "n", &l));
	assert_false(logged_of_uri("/run/fifo", "c", "n", &l));
	assert_false(logged_of_uri("", "c", "n", &l));
	assert_false(logged_of_uri("gopher://x", "c", "n", &l));
}

/* --- files of the directory -------------------------------------------------------------- */

static void
test_info(void **state)
{
	struct run_info in = {.id = (char[]){"i"},
			    .ns = (char[]){"n"},
			    .pod = (char[]){"p"},
			    .log = (char[]){"/l"},
			    .own_log = true,
			    .exit_file = (char[]){"/e"},
			    .remove = true},
			out = {0};
	AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run_info_read(fd, &out, &err), -ENOENT);
	assert_int_equal(run_info_write(fd, &in, &err), 0);
	assert_int_equal(run_info_read(fd, &out, &err), 0);
	assert_string_equal(out.id, "i");
	assert_string_equal(out.log, "/l");
	assert_string_equal(out.exit_file, "/e");
	assert_null(out.pid_file);
	assert_true(out.own_log && out.remove);
	run_info_fini(&out);
	put("run.json", "{}");
	assert_int_equal(run_info_read(fd, &out, &err), -EBADMSG);
	put("run.json", "not at all");
	assert_int_equal(run_info_read(fd, &out, &err), -EBADMSG);
}

static void
test_exit_file(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/exit", dir);
	AUTO_FREE char *text = NULL;
	struct stat st;
	size_t len;

	(void)state;
	assert_int_equal(
	    run_write_exit(path, 137, INT64_C(1700000000000000001), NULL), 0);
	assert_int_equal(file_read(AT_FDCWD, path, 100, &text, &len, NULL), 0);
	assert_string_equal(text, "137");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(st.st_mtim.tv_nsec, 1);
}

static void
test_event_call(void **state)
{
	char *yes[] = {(char[]){"podshimctl"}, (char[]){"--address"}, (char[]){"a"},
	    (char[]){"publish"}, (char[]){"--topic"}, (char[]){"/tasks/start"},
	    (char[]){"--namespace"}, (char[]){"n"}, NULL};

	(void)state;
	assert_true(run_event_is(8, yes));
	assert_false(run_event_is(7, yes));
	yes[3] = (char[]){"list"};
	assert_false(run_event_is(8, yes));
}

/* --- logs --------------------------------------------------------------------------------- */

#define LINE(stream, tag, text)                                                          \
	"2024-01-31T12:00:00.000000001Z " stream " " tag " " text "\n"

static void
expect(struct log_reader *r, const char *text, bool is_stderr, bool partial)
{
	struct log_line line;

	assert_true(log_next(r, &line));
	if (line.len != strlen(text) || memcmp(line.text, text, line.len) != 0)
		fail_msg("'%.*s' instead of '%s'", (int)line.len, line.text, text);
	assert_int_equal(line.is_stderr, is_stderr);
	assert_int_equal(line.partial, partial);
}

static void
nothing(struct log_reader *r)
{
	struct log_line line;

	if (log_next(r, &line))
		fail_msg("'%.*s'", (int)line.len, line.text);
}

static void
test_line(void **state)
{
	static const char *const odd[] = {"", "x", "a b", "a stdout", "a stdout F",
	    "a b F c", "a stdout X c", "  ", "time stdoux F c"};
	struct log_line line;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(odd); i++) {
		log_line_parse(odd[i], strlen(odd[i]), false, &line);
		assert_int_equal(line.len, strlen(odd[i]));
		assert_int_equal(line.time_len, 0);
	}
	/* further tags behind the first */
	log_line_parse("t stderr P:x ", 13, false, &line);
	assert_true(
	    line.is_stderr && line.partial && line.len == 0 && line.time_len == 1);
	log_line_parse("t stderr P text", 15, true, &line);
	assert_int_equal(line.len, 15);
}

static void
append(const char *name, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void
shift(const char *from, const char *to)
{
	AUTO_FREE char *a = mem_printf("%s/%s", dir, from),
		       *b = mem_printf("%s/%s", dir, to);

	assert_int_equal(rename(a, b), 0);
}

static void
test_follow_rotation(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/l", dir);
	struct log_reader *r = NULL;

	(void)state;
	assert_int_equal(log_open(path, false, &r, NULL), -ENOENT);
	append("l.2", LINE("stdout", "F", "one"));
	append("l.1", LINE("stderr", "P", "two"));
	append("l", LINE("stdout", "F", "three"));
	assert_int_equal(log_open(path, false, &r, NULL), 0);
	expect(r, "one", false, false);
	expect(r, "two", true, true);
	expect(r, "three", false, false);
	nothing(r);
	/* a line that comes in two pieces */
	append("l", "2024-01-31T12:00:00Z stdout F fo");
	nothing(r);
	append("l", "ur\n");
	expect(r, "four", false, false);
	nothing(r);
	/* two rotations while nobody looks, and more in the old file before */
	append("l", LINE("stdout", "F", "five"));
	shift("l.1", "l.2");
	shift("l", "l.1");
	append("l", LINE("stdout", "F", "six"));
	shift("l.2", "l.3");
	shift("l.1", "l.2");
	shift("l", "l.1");
	append("l", LINE("stdout", "F", "seven"));
	expect(r, "five", false, false);
	expect(r, "six", false, false);
	expect(r, "seven", false, false);
	nothing(r);
	/* removed: the next one, from its beginning */
	assert_int_equal(unlink(path), 0);
	append("l.new", LINE("stdout", "F", "eight"));
	shift("l.new", "l");
	expect(r, "eight", false, false);
	nothing(r);
	log_close(r);
}

static void
test_tail(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/l", dir);
	struct log_reader *r = NULL;
	struct log_line line;

	(void)state;
	append("l.1", LINE("stdout", "F", "1") LINE("stdout", "P", "2a"));
	append("l", LINE("stdout", "F", "2b") LINE("stdout", "F", "3"));
	assert_int_equal(log_open(path, false, &r, NULL), 0);
	log_seek_tail(r, 2);
	expect(r, "2a", false, true);
	expect(r, "2b", false, false);
	expect(r, "3", false, false);
	nothing(r);
	log_seek_tail(r, 0);
	nothing(r);
	log_seek_tail(r, 99);
	expect(r, "1", false, false);
	log_close(r);
	/* plain, and no newline at the end: that is the last line */
	append("p", "a\nb\nc");
	free(path);
	path = mem_printf("%s/p", dir);
	assert_int_equal(log_open(path, true, &r, NULL), 0);
	log_seek_tail(r, 2);
	expect(r, "b", false, false);
	nothing(r);
	assert_true(log_last(r, &line));
	assert_int_equal(line.len, 1);
	log_close(r);
}

/* What there is of a long line comes in pieces; its stream and its end are its own. */
static void
test_long_line(void **state)
{
	const size_t len = 200000;
	AUTO_FREE char *path = mem_printf("%s/l", dir);
	AUTO_FREE char *text = mem_zalloc(len + 1);
	struct log_reader *r = NULL;
	struct log_line line;
	size_t got = 0;

	(void)state;
	memset(text, 'a', len);
	memcpy(text + 100000, " stdout F ", 10);
	append("l", "2024-01-31T12:00:00Z stderr P ");
	append("l", text);
	append("l", "\n" LINE("stderr", "F", "end"));
	assert_int_equal(log_open(path, false, &r, NULL), 0);
	while (got < len && log_next(r, &line)) {
		assert_true(line.is_stderr && line.partial);
		assert_true(line.len <= 65536);
		assert_memory_equal(line.text, text + got, line.len);
		got += line.len;
	}
	assert_int_equal(got, len);
	expect(r, "end", true, false);
	log_seek_tail(r, 1);
	assert_true(log_next(r, &line));
	assert_int_equal(line.text[0], 'a');
	log_close(r);
}

/* One without an end, from a disk that is larger than memory. */
static void
test_endless_line(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/l", dir);
	struct log_reader *r = NULL;
	struct log_line line;
	off_t got = 0, len = (64 << 20) + 1;

	(void)state;
	append("l", "");
	assert_int_equal(truncate(path, len), 0);
	assert_int_equal(log_open(path, true, &r, NULL), 0);
	log_seek_tail(r, 1);
	while (log_next(r, &line)) {
		assert_true(line.partial && line.len <= 65536);
		got += (off_t)line.len;
	}
	assert_true(log_last(r, &line));
	assert_true(line.partial && line.len <= 65536);
	assert_int_equal(got + (off_t)line.len, len);
	log_close(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_spec_default, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_spec_bundle, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_spec_not_utf8, setup, teardown),
	    cmocka_unit_test(test_uri),
	    cmocka_unit_test_setup_teardown(test_info, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_exit_file, setup, teardown),
	    cmocka_unit_test(test_event_call),
	    cmocka_unit_test(test_line),
	    cmocka_unit_test_setup_teardown(test_follow_rotation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

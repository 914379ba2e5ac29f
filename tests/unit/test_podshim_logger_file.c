/*
 * The file that podshim-logger writes: formats, rotation, other writers, full disks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "logger/conf.h"
#include "logger/lines.h"
#include "logger/out.h"
#include "tmpdir.h"

static char *
content(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	char *text;
	size_t len;

	return file_read(AT_FDCWD, path, 1 << 24, &text, &len, NULL) < 0 ? NULL : text;
}

static struct out *
out_new(enum log_format format, uint64_t max_size, unsigned max_files)
{
	struct logger_conf conf = {.format = format,
	    .path = mem_printf("%s/a/b/log", dir),
	    .max_size = max_size,
	    .max_files = max_files,
	    .mode = 0640};
	struct out *o = mem_zalloc(sizeof *o);
	struct err err = ERR_INIT;

	(void)umask(0);
	if (out_open(o, &conf, &err) < 0)
		fail_msg("%s", err.text);
	out_stamp(o, INT64_C(1700000000000000007));
	return o;
}

static int
out_end(struct out *o, struct err *err)
{
	union {
		const char *in;
		void *out;
	} path = {.in = o->file.path};
	int rc = out_close(o, err);

	free(path.out);
	free(o);
	return rc;
}

static void
out_free(struct out *o)
{
	assert_int_equal(out_end(o, NULL), 0);
}

static void
say(struct out *o, bool is_stderr, const char *text, bool partial)
{
	out_line(o, is_stderr,
	    &(struct line){.text = text, .len = strlen(text), .partial = partial});
}

#define STAMP "2023-11-14T22:13:20.000000007Z"

static void
test_out_cri(void **state)
{
	struct out *o = out_new(LOG_CRI, 0, 1);
	AUTO_FREE char *text = NULL;
	struct stat st;
	AUTO_FREE char *path = mem_printf("%s/a/b/log", dir);

	(void)state;
	say(o, false, "hello", false);
	say(o, true, "wo", true);
	say(o, true, "", false);
	out_flush(o);
	text = content("a/b/log");
	assert_string_equal(
	    text, STAMP " stdout F hello\n" STAMP " stderr P wo\n" STAMP " stderr F \n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	out_free(o);
}

static void
test_out_plain(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 0, 1);
	AUTO_FREE char *text = NULL;

	(void)state;
	say(o, false, "a", false);
	say(o, false, "b", true);
	say(o, false, "c", false);
	out_flush(o);
	text = content("a/b/log");
	assert_string_equal(text, "a\nbc\n");
	out_free(o);
}

/* Every line once, in order, in files that are not too large. */
static void
test_rotation(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 4096, 4);
	AUTO_FREE char *all = mem_strdup("");
	AUTO_FREE char *want = mem_zalloc(1 << 20);
	static const char *const names[] = {
	    "a/b/log.3", "a/b/log.2", "a/b/log.1", "a/b/log"};
	size_t i, n = 0;
	char line[40];

	(void)state;
	for (i = 0; i < 2000; i++) {
		(void)snprintf(line, sizeof line, "line %zu", i);
		say(o, false, line, false);
		if (i % 37 == 0)
			out_flush(o);
	}
	out_flush(o);
	for (i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *text = content(names[i]);
		char *both;

		assert_non_null(text);
		assert_true(strlen(text) <= 4096);
		both = mem_printf("%s%s", all, text);
		free(all);
		all = both;
	}
	assert_null(content("a/b/log.4"));
	assert_null(content("a/b/log.next"));
	for (i = 0; i < 2000; i++)
		n += (size_t)snprintf(want + n, 40, "line %zu\n", i);
	assert_true(strlen(all) > (size_t)3 * 4000 && strlen(all) <= n);
	/* the last ones are all there */
	assert_string_equal(all, want + n - strlen(all));
	out_free(o);
}

static void
test_rotation_one_file(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 4096, 1);
	AUTO_FREE char *big = mem_zalloc(10001);
	AUTO_FREE char *text = NULL;

	(void)state;
	memset(big, 'x', 10000);
	say(o, false, "small", false);
	out_flush(o);
	/* larger than a file may be: it gets one of its own */
	say(o, false, big, false);
	out_flush(o);
	text = content("a/b/log");
	assert_int_equal(strlen(text), 10001);
	assert_null(content("a/b/log.1"));
	out_free(o);
}

static void
test_moved_and_removed(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 0, 1);
	AUTO_FREE char *path = mem_printf("%s/a/b/log", dir),
		       *away = mem_printf("%s/x", dir);
	AUTO_FREE char *text = NULL, *old = NULL;

	(void)state;
	say(o, false, "one", false);
	out_flush(o);
	assert_int_equal(rename(path, away), 0);
	say(o, false, "two", false);
	out_flush(o);
	text = content("a/b/log");
	old = content("x");
	assert_string_equal(text, "two\n");
	assert_string_equal(old, "one\n");
	assert_int_equal(unlink(path), 0);
	say(o, false, "three", false);
	out_flush(o);
	free(text);
	text = content("a/b/log");
	assert_string_equal(text, "three\n");
	out_free(o);
}

/* The directory is another one now, or a link to where the log has no business. */
static void
test_directory_is_replaced(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 4096, 2);
	AUTO_FREE char *parent = mem_printf("%s/a/b", dir),
		       *away = mem_printf("%s/a/away", dir),
		       *evil = mem_printf("%s/evil", dir),
		       *loot = mem_printf("%s/evil/log.1", dir);
	AUTO_FREE char *big = mem_zalloc(3001), *text = NULL;
	int i;

	(void)state;
	memset(big, 'x', 3000);
	assert_int_equal(mkdir(evil, 0755), 0);
	assert_int_equal(file_write(AT_FDCWD, loot, "loot", 4, 0600, NULL), 0);
	say(o, false, "one", false);
	out_flush(o);
	assert_int_equal(rename(parent, away), 0);
	assert_int_equal(symlink(evil, parent), 0);
	for (i = 0; i < 5; i++) {
		say(o, false, big, false);
		out_flush(o);
		out_reopen(o);
	}
	assert_null(content("evil/log"));
	text = content("evil/log.1");
	assert_string_equal(text, "loot");
	free(text);
	text = content("a/away/log.1");
	assert_int_equal(strlen(text), 3001);
	out_free(o);
}

static void
test_directory_is_removed(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 0, 1);
	AUTO_FREE char *path = mem_printf("%s/a/b/log", dir),
		       *parent = mem_printf("%s/a/b", dir),
		       *evil = mem_printf("%s/evil", dir);
	AUTO_FREE char *text = NULL;

	(void)state;
	assert_int_equal(mkdir(evil, 0755), 0);
	assert_int_equal(unlink(path) | rmdir(parent), 0);
	say(o, false, "to nowhere", false);
	out_flush(o);
	assert_int_equal(symlink(evil, parent), 0);
	say(o, false, "nor there", false);
	out_flush(o);
	out_reopen(o);
	assert_null(content("evil/log"));
	assert_int_equal(unlink(parent), 0);
	assert_int_equal(mkdir(parent, 0755), 0);
	say(o, false, "here", false);
	out_flush(o);
	text = content("a/b/log");
	assert_string_equal(text, "here\n");
	out_free(o);
}

/* One's own links lead to it, also when it was made again. */
static void
test_directory_by_a_link(void **state)
{
	AUTO_FREE char *a = mem_printf("%s/a", dir), *real = mem_printf("%s/real", dir),
		       *parent = mem_printf("%s/a/b", dir),
		       *path = mem_printf("%s/real/log", dir);
	AUTO_FREE char *text = NULL;
	struct out *o;

	(void)state;
	assert_int_equal(mkdir(a, 0755) | mkdir(real, 0755) | symlink(real, parent), 0);
	o = out_new(LOG_PLAIN, 0, 1);
	assert_int_equal(unlink(path) | rmdir(real) | mkdir(real, 0755), 0);
	say(o, false, "here", false);
	out_flush(o);
	text = content("real/log");
	assert_string_equal(text, "here\n");
	out_free(o);
}

/* Lines in the log and what it was rotated to. */
static size_t
lines_in_all(size_t files)
{
	size_t i, lines = 0;

	for (i = 0; i < files; i++) {
		AUTO_FREE char *name =
		    i == 0 ? mem_strdup("a/b/log") : mem_printf("a/b/log.%zu", i);
		AUTO_FREE char *text = content(name);
		const char *p;

		for (p = text; p != NULL && (p = strchr(p, '\n')) != NULL; p++)
			lines++;
	}
	return lines;
}

/* Two log programs of one file, an exec's and init's. */
static void
test_shared(void **state)
{
	struct out *a = out_new(LOG_PLAIN, 4096, 50), *b = out_new(LOG_PLAIN, 4096, 50);
	char line[60];
	size_t i;

	(void)state;
	for (i = 0; i < 600; i++) {
		(void)snprintf(line, sizeof line, "line %zu of both and some more", i);
		say(i % 2 == 0 ? a : b, false, line, false);
		out_flush(i % 2 == 0 ? a : b);
	}
	assert_int_equal(lines_in_all(50), 600);
	out_free(a);
	out_free(b);
}

/* The other log program; it writes whenever a rotation stands between two steps. */
static struct out *other;
static size_t other_lines;

static void
other_writes(void)
{
	struct out *o = steal_ptr(&other);
	int code = errno;

	if (o == NULL)
		return;
	say(o, false, "from the other", false);
	out_flush(o);
	other_lines++;
	other = o;
	errno = code;
}

/* in place of libc's */
int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	int rc;

	other_writes();
	rc = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
	other_writes();
	return rc;
}

static void
test_shared_in_between(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 4096, 50);
	size_t i;

	(void)state;
	other = out_new(LOG_PLAIN, 4096, 50);
	other_lines = 0;
	for (i = 0; i < 600; i++) {
		say(o, false, "a line and some more text", false);
		out_flush(o);
	}
	assert_true(other_lines > 4);
	assert_int_equal(lines_in_all(50), 600 + other_lines);
	out_free(steal_ptr(&other));
	out_free(o);
}

static void
shared_round(size_t lines)
{
	enum { WRITERS = 2, FILES = 999 };
	AUTO_FREE char *text = mem_zalloc(501);
	struct out *o[WRITERS];
	pid_t pids[WRITERS];
	size_t i, j;
	int status;

	memset(text, 'x', 500);
	for (i = 0; i < WRITERS; i++)
		o[i] = out_new(LOG_PLAIN, 4096, FILES);
	for (i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] > 0)
			continue;
		for (j = 0; j < lines; j++) {
			say(o[i], false, text, false);
			out_flush(o[i]);
		}
		_exit(o[i]->file.lost_lines > 0);
	}
	for (i = 0; i < WRITERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		out_free(o[i]);
	}
	assert_int_equal(lines_in_all(FILES), WRITERS * lines);
}

/* Each rotates under the other's hands. Short rounds: many files are slow to shift. */
static void
test_shared_at_once(void **state)
{
	int i;

	for (i = 0; i < 20; i++) {
		shared_round(300);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

/* What the old file cannot be moved to costs no line. */
static void
test_rotation_fails(void **state)
{
	struct out *o = out_new(LOG_PLAIN, 4096, 2);
	AUTO_FREE char *away = mem_printf("%s/a/b/log.1", dir);
	AUTO_FREE char *text = NULL;
	size_t i, n = 0;
	const char *p;
	char line[60];

	(void)state;
	assert_int_equal(mkdir(away, 0755), 0);
	for (i = 0; i < 400; i++) {
		(void)snprintf(line, sizeof line, "line %zu and some more text", i);
		say(o, false, line, false);
		out_flush(o);
	}
	text = content("a/b/log");
	for (p = text; (p = strstr(p, "and some more text\n")) != NULL; p++)
		n++;
	assert_int_equal(n, 400);
	/* it is said, once */
	p = strstr(text, "podshim-logger: ");
	assert_non_null(p);
	assert_non_null(strstr(p, "a/b/log.1'"));
	assert_null(strstr(p + 1, "podshim-logger: "));
	assert_null(content("a/b/log.next"));
	/* and when it can be moved, it is */
	assert_int_equal(rmdir(away), 0);
	say(o, false, "new", false);
	out_flush(o);
	free(text);
	text = content("a/b/log");
	assert_string_equal(text, "new\n");
	assert_int_equal(lines_in_all(2), 400 + 1 + 1);
	out_free(o);
}

/* As on a file system that knows none: here the kernel refuses one to a stranger's file. */
static void
test_rotation_without_links(void **state)
{
	AUTO_FREE char *forbids = NULL, *parent = mem_printf("%s/a/b", dir),
		       *path = mem_printf("%s/a/b/log", dir),
		       *try = mem_printf("%s/a/b/try", dir);
	struct out *o;
	size_t len;
	char line[60];
	int i;

	(void)state;
	if (geteuid() != 0 ||
	    file_read(AT_FDCWD, "/proc/sys/fs/protected_hardlinks", 10, &forbids, &len,
		NULL) < 0 ||
	    forbids[0] != '1')
		skip();
	o = out_new(LOG_PLAIN, 4096, 3);
	assert_int_equal(chmod(path, 0602), 0);
	assert_int_equal(chmod(parent, 0777), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	(void)setfsuid(65534);
	assert_int_equal(link(path, try), -1);
	for (i = 0; i < 200; i++) {
		(void)snprintf(line, sizeof line, "line %d and some more text", i);
		say(o, false, line, false);
		out_flush(o);
	}
	(void)setfsuid(0);
	assert_int_equal(lines_in_all(3), 200);
	assert_int_equal(access(try, F_OK), -1);
	assert_null(content("a/b/log.next"));
	out_free(o);
}

/* A limit on file size is as good as a full disk. */
static void
test_full_disk(void **state)
{
	struct out *o = out_new(LOG_CRI, 0, 1);
	struct rlimit old, less;
	AUTO_FREE char *text = NULL, *after = NULL;
	int i;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	less = old;
	less.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	for (i = 0; i < 10; i++) {
		say(o, false, "a line of some length", false);
		if (i != 4)
			out_flush(o);
	}
	text = content("a/b/log");
	/* whole lines only */
	assert_int_equal(
	    strlen(text), 3 * strlen(STAMP " stdout F a line of some length\n"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	say(o, false, "again", false);
	out_flush(o);
	after = content("a/b/log");
	assert_string_equal(after + strlen(text),
	    STAMP " stderr F podshim-logger: 7 lines, 434 bytes are missing here: "
		  "File too large\n" STAMP " stdout F again\n");
	out_free(o);
}

/* What was lost last is told as well: in the log, or to whoever closes it. */
static void
test_full_disk_at_the_end(void **state)
{
	static const char line[] = STAMP " stdout F a line of some length\n";
	struct rlimit old, less;
	bool is_full;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (is_full = false;; is_full = true) {
		struct out *o = out_new(LOG_CRI, 0, 1);
		AUTO_FREE char *path = mem_printf("%s/a/b/log", dir);
		AUTO_FREE char *text = NULL;
		struct err err = ERR_INIT;
		int i, rc;

		less = old;
		less.rlim_cur = 200;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
		for (i = 0; i < 5; i++) {
			say(o, false, "a line of some length", false);
			out_flush(o);
		}
		if (!is_full)
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		rc = out_end(o, &err);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(rc, is_full ? -EFBIG : 0);
		text = content("a/b/log");
		if (is_full) {
			assert_non_null(strstr(err.text,
			    "log' lacks the last 2 lines, "
			    "124 bytes: File too large"));
			assert_int_equal(strlen(text), 3 * strlen(line));
		} else {
			assert_string_equal(text + 3 * strlen(line),
			    STAMP " stderr F podshim-logger: 2 lines, 124 bytes are "
				  "missing here: File too large\n");
		}
		assert_int_equal(unlink(path), 0);
		if (is_full)
			break;
	}
}

static void
test_not_a_file(void **state)
{
	AUTO_FREE char *fifo = mem_printf("%s/fifo", dir),
		       *link = mem_printf("%s/link", dir);
	struct logger_conf conf = {.format = LOG_CRI, .path = fifo, .mode = 0640};
	struct out *o = mem_zalloc(sizeof *o);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(out_open(o, &conf, &err) < 0); /* and does not wait for a reader */
	assert_int_equal(symlink("/etc/passwd", link), 0);
	conf.path = link;
	assert_true(out_open(o, &conf, &err) < 0);
	assert_non_null(strstr(err.text, "link'"));
	conf.path = dir;
	assert_true(out_open(o, &conf, &err) < 0);
	free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_out_cri, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_out_plain, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation_one_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_moved_and_removed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_directory_is_replaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_directory_is_removed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_directory_by_a_link, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared_in_between, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation_fails, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation_without_links, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_disk_at_the_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * podshim-logger's parts: the cutting of lines, rotation, full disks, what it is told,
 * journald's datagrams, and watchers.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "ipc/attach.h"
#include "logger/conf.h"
#include "logger/lines.h"
#include "logger/out.h"
#include "logger/watch.h"
#include "tmpdir.h"

static char *
content(const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	char *text;
	size_t len;

	return file_read(AT_FDCWD, path, 1 << 24, &text, &len, NULL) < 0 ? NULL : text;
}

/* --- lines ---------------------------------------------------------------------------- */

static void
feed(struct lines *l, const char *p, size_t len)
{
	size_t room;
	char *at = lines_room(l, &room);

	assert_true(len <= room);
	memcpy(at, p, len);
	lines_added(l, len);
}

static void
expect(struct lines *l, bool early, const char *text, size_t len, bool partial)
{
	struct line line;

	assert_true(lines_next(l, early, &line));
	assert_int_equal(line.len, len);
	assert_memory_equal(line.text, text, len);
	assert_int_equal(line.partial, partial);
}

static void
test_lines_whole_and_split(void **state)
{
	struct lines *l = mem_zalloc(sizeof *l);
	struct line line;

	(void)state;
	feed(l, "one\n\ntw", 7);
	expect(l, false, "one", 3, false);
	expect(l, false, "", 0, false);
	assert_false(lines_next(l, false, &line));
	assert_true(lines_pending(l));
	feed(l, "o\nrest", 6);
	expect(l, false, "two", 3, false);
	assert_false(lines_next(l, false, &line));
	expect(l, true, "rest", 4, true);
	assert_false(lines_pending(l));
	assert_false(lines_next(l, true, &line));
	/* its newline alone */
	feed(l, "\n", 1);
	expect(l, false, "", 0, false);
	free(l);
}

static void
test_lines_long(void **state)
{
	struct lines *l = mem_zalloc(sizeof *l);
	char *text = mem_zalloc(LINES_BUF);
	struct line line;
	size_t room;

	(void)state;
	memset(text, 'x', LINES_BUF);
	/* exactly the longest: nobody knows yet whether it is whole */
	feed(l, text, LINE_MAX_BYTES);
	assert_false(lines_next(l, false, &line));
	feed(l, "\n", 1);
	expect(l, false, text, LINE_MAX_BYTES, false);
	/* one more */
	feed(l, text, LINE_MAX_BYTES + 1);
	expect(l, false, text, LINE_MAX_BYTES, true);
	feed(l, "\n", 1);
	expect(l, false, "x", 1, false);
	/* a buffer full of it, again and again: there is always room */
	(void)lines_room(l, &room);
	assert_int_equal(room, LINES_BUF);
	feed(l, text, LINES_BUF);
	while (lines_next(l, false, &line))
		assert_true(line.partial && line.len == LINE_MAX_BYTES);
	(void)lines_room(l, &room);
	assert_true(room > 0);
	free(text);
	free(l);
}

/* Any bytes, fed in pieces of any size, can be put together again. */
static void
test_lines_lossless(void **state)
{
	struct lines *l = mem_zalloc(sizeof *l);
	enum { N = 400000 };
	char *in = mem_zalloc(N), *back = mem_zalloc(N + 1);
	size_t i, at = 0, n = 0, room, piece;
	struct line line;

	(void)state;
	srandom(1);
	for (i = 0; i < N; i++)
		in[i] = (char)(random() % 300 == 0 || (i > N / 2 && random() % 40000 != 0)
			? (i > N / 2 ? 'y' : '\n')
			: (char)random());
	while (at < N || lines_pending(l)) {
		char *to = lines_room(l, &room);
		bool early = at == N || random() % 50 == 0;

		piece = (size_t)random() % 40000;
		piece = piece > N - at ? N - at : piece;
		piece = piece > room ? room : piece;
		memcpy(to, in + at, piece);
		lines_added(l, piece);
		at += piece;
		while (lines_next(l, early, &line)) {
			assert_true(line.len <= LINE_MAX_BYTES);
			memcpy(back + n, line.text, line.len);
			n += line.len;
			if (!line.partial)
				back[n++] = '\n';
			assert_true(n <= N);
		}
	}
	assert_int_equal(n, N);
	assert_memory_equal(in, back, N);
	free(in);
	free(back);
	free(l);
}

/* --- what it is told --------------------------------------------------------------------- */

static void
conf_is_refused(const char *key, const char *value, const char *why)
{
	char *k = mem_strdup(key), *v = mem_strdup(value), *words[] = {k, v, NULL};
	struct logger_conf conf;
	struct err err = ERR_INIT;

	assert_int_equal(logger_conf_parse(words, "c", "ns", &conf, &err), -EINVAL);
	if (strstr(err.text, why) == NULL)
		fail_msg("'%s' does not say '%s'", err.text, why);
	free(k);
	free(v);
}

static void
test_conf(void **state)
{
	char *words[] = {(char[]){"max-size"}, (char[]){"2M"}, (char[]){"path"},
	    (char[]){"/l/{namespace}/{id}.{id}"}, (char[]){"mode"}, (char[]){"600"},
	    NULL};
	struct logger_conf conf;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(logger_conf_parse(words, "c1", "k8s.io", &conf, &err), 0);
	assert_string_equal(conf.path, "/l/k8s.io/c1.c1");
	assert_int_equal(conf.max_size, 2 << 20);
	assert_int_equal(conf.max_files, 5);
	assert_int_equal(conf.mode, 0600);
	assert_string_equal(conf.tag, "c1");
	logger_conf_fini(&conf);
	assert_int_equal(logger_conf_parse(words, "../x", "ns", &conf, &err), -EINVAL);
	conf_is_refused("path", "log", "'log' is not absolute");
	conf_is_refused("format", "json", "'json' is none of cri");
	conf_is_refused("format", "plain", "'path' is missing");
	conf_is_refused("max-size", "12q", "'12q'");
	conf_is_refused("max-size", "99999999999999999999", "no number");
	conf_is_refused("max-size", "99999999999999g", "no number");
	conf_is_refused("max-size", "10", "less than");
	conf_is_refused("max-files", "0", "from 1");
	conf_is_refused("mode", "0888", "octal");
	conf_is_refused("mode", "044", "octal");
	conf_is_refused("colour", "red", "unknown key 'colour'");
	conf_is_refused("path", NULL, "has no value");
}

/* --- the file ------------------------------------------------------------------------------ */

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

static void
out_free(struct out *o)
{
	union {
		const char *in;
		void *out;
	} path = {.in = o->file.path};

	out_close(o);
	free(path.out);
	free(o);
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

/* Two log programs of one file, an exec's and init's. */
static void
test_shared(void **state)
{
	struct out *a = out_new(LOG_PLAIN, 4096, 50), *b = out_new(LOG_PLAIN, 4096, 50);
	size_t i, lines = 0;
	char name[40], line[60];

	(void)state;
	for (i = 0; i < 600; i++) {
		(void)snprintf(line, sizeof line, "line %zu of both and some more", i);
		say(i % 2 == 0 ? a : b, false, line, false);
		out_flush(i % 2 == 0 ? a : b);
	}
	for (i = 0; i < 50; i++) {
		char *text, *p;

		(void)snprintf(name, sizeof name, i == 0 ? "a/b/log" : "a/b/log.%zu", i);
		text = content(name);
		for (p = text; p != NULL && (p = strchr(p, '\n')) != NULL; p++)
			lines++;
		free(text);
	}
	assert_int_equal(lines, 600);
	out_free(a);
	out_free(b);
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

/* --- journald -------------------------------------------------------------------------------- */

static void
test_journald(void **state)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	AUTO_FREE char *path = mem_printf("%s/journal", dir);
	struct logger_conf conf = {
	    .format = LOG_JOURNALD, .journal = path, .id = "c", .ns = "n", .tag = "t"};
	struct out *o = mem_zalloc(sizeof *o);
	static const char want[] = "SYSLOG_IDENTIFIER=t\nCONTAINER_ID=c\n"
				   "CONTAINER_NAMESPACE=n\nPRIORITY=3\n"
				   "CONTAINER_PARTIAL_MESSAGE=true\n"
				   "MESSAGE\n\3\0\0\0\0\0\0\0a\0b\n";
	struct err err = ERR_INIT;
	char got[400];

	(void)state;
	assert_true(out_open(o, &conf, &err) < 0);
	assert_non_null(strstr(err.text, "no journald at"));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(out_open(o, &conf, &err), 0);
	out_line(o, true, &(struct line){.text = "a\0b", .len = 3, .partial = true});
	assert_int_equal(recv(fd, got, sizeof got, 0), sizeof want - 1);
	assert_memory_equal(got, want, sizeof want - 1);
	/* while it is away, lines are counted */
	fd_close(&fd);
	say(o, false, "lost", false);
	assert_int_equal(o->journal.lost_lines, 1);
	out_close(o);
	free(o);
}

/* --- watchers ----------------------------------------------------------------------------------- */

static int
forever(void)
{
	return -1;
}

static int
not_at_all(void)
{
	return 0;
}

static void
turn(struct watch *w)
{
	struct pollfd pfd[1 + WATCHERS_MAX];
	size_t n = watch_poll(w, pfd);

	(void)poll(pfd, n, 0);
	watch_on_poll(w, pfd, n);
}

static int
join(struct watch *w, char hello)
{
	int dirfd = open(dir, O_PATH | O_CLOEXEC);
	int fd = unix_connect_at(dirfd, "attach", SOCK_SEQPACKET, 1000, NULL);
	char c = 'x';

	assert_true(fd >= 0);
	assert_int_equal(send(fd, &hello, 1, 0), 1);
	turn(w);
	turn(w);
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	assert_int_equal(c, ATTACH_READY);
	(void)close(dirfd);
	return fd;
}

static void
test_watchers(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/attach", dir);
	AUTO_FREE char *big = mem_zalloc(60000);
	struct err err = ERR_INIT;
	struct watch w;
	char got[ATTACH_PACKET_MAX];
	unsigned long got_bytes = 0, missed = 0;
	int watcher, holder, i;
	ssize_t n;

	(void)state;
	assert_int_equal(watch_open(&w, path, forever, &err), 0);
	assert_int_equal(access(path, F_OK), 0);
	watcher = join(&w, ATTACH_WATCH);
	watch_send(&w, true, "oops", 4);
	assert_int_equal(recv(watcher, got, sizeof got, 0), 5);
	assert_memory_equal(got, "\2oops", 5);
	/* one that does not read delays nobody, and learns what it missed */
	for (i = 0; i < 100; i++)
		watch_send(&w, false, big, 60000);
	while ((n = recv(watcher, got, sizeof got, MSG_DONTWAIT)) > 0)
		got_bytes += (unsigned long)n - 1;
	watch_send(&w, false, "z", 1);
	n = recv(watcher, got, sizeof got - 1, MSG_DONTWAIT);
	assert_true(n > 1 && got[0] == ATTACH_MISSED);
	got[n] = '\0';
	missed = strtoul(got + 1, NULL, 10);
	assert_int_equal(got_bytes + missed, 100 * 60000);
	assert_int_equal(recv(watcher, got, sizeof got, MSG_DONTWAIT), 2);
	/* one that holds the output is waited for, but not beyond our own end */
	holder = join(&w, ATTACH_HOLD);
	w.patience_ms = not_at_all;
	for (i = 0; i < 100; i++)
		watch_send(&w, false, big, 60000);
	assert_int_equal(w.w[1].fd, -1);
	(void)close(holder);
	(void)close(watcher);
	turn(&w);
	assert_int_equal(w.w[0].fd, -1);
	watch_close(&w);
	assert_int_equal(access(path, F_OK), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines_whole_and_split),
	    cmocka_unit_test(test_lines_long),
	    cmocka_unit_test(test_lines_lossless),
	    cmocka_unit_test(test_conf),
	    cmocka_unit_test_setup_teardown(test_out_cri, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_out_plain, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation_one_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_moved_and_removed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_journald, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_watchers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * podshim-logger's parts: the cutting of lines, what it is told, journald's datagrams,
 * and watchers. Its file: test_podshim_logger_file.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
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

static void
conf_path_is(const char *id, const char *ns, const char *path, const char *want)
{
	char *p = mem_strdup(path), *i = mem_strdup(id);
	char *words[] = {(char[]){"path"}, p, (char[]){"id"}, i, NULL};
	struct logger_conf conf;
	struct err err = ERR_INIT;

	assert_int_equal(logger_conf_parse(words, "c", ns, &conf, &err), 0);
	assert_string_equal(conf.path, want);
	logger_conf_fini(&conf);
	free(p);
	free(i);
}

/* A name that looks like a word to be replaced is a name all the same. */
static void
test_conf_expands_once(void **state)
{
	(void)state;
	(void)alarm(60);
	conf_path_is("{id}", "n", "/l/{id}.log", "/l/{id}.log");
	conf_path_is("a{id}", "n", "/{id}{id}", "/a{id}a{id}");
	conf_path_is("{namespace}", "{id}", "/{namespace}/{id}", "/{id}/{namespace}");
	conf_path_is("c", "n", "/{{id}/{x}{namespace", "/{c/{x}{namespace");
	(void)alarm(0);
}

/* --- journald -------------------------------------------------------------------------------- */

static int
journald_listen(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

/* The next datagram's message begins so. */
static void
journald_says(int fd, const char *want)
{
	static const char name[] = "MESSAGE\n";
	char got[400], *at;
	ssize_t n = recv(fd, got, sizeof got, 0);

	assert_true(n > 0);
	at = memmem(got, (size_t)n, name, sizeof name - 1);
	assert_non_null(at);
	at += sizeof name - 1 + sizeof(uint64_t);
	assert_true(at + strlen(want) <= got + n);
	assert_memory_equal(at, want, strlen(want));
}

static void
test_journald(void **state)
{
	AUTO_CLOSE int fd = -1;
	const struct line lost = {.text = "lost", .len = 4};
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
	fd = journald_listen(path);
	assert_int_equal(out_open(o, &conf, &err), 0);
	out_line(o, true, &(struct line){.text = "a\0b", .len = 3, .partial = true});
	assert_int_equal(recv(fd, got, sizeof got, 0), sizeof want - 1);
	assert_memory_equal(got, want, sizeof want - 1);
	/* while it is away, lines are counted */
	fd_close(&fd);
	out_line(o, false, &lost);
	out_line(o, false, &lost);
	assert_int_equal(o->journal.lost_lines, 2);
	assert_int_equal(unlink(path), 0);
	out_line(o, false, &lost);
	assert_int_equal(o->journal.lost_lines, 3);
	/* it is back, at a socket of its own */
	fd = journald_listen(path);
	out_line(o, false, &(struct line){.text = "again", .len = 5});
	journald_says(fd, "podshim-logger: 3 lines, 12 bytes are missing here: ");
	journald_says(fd, "again");
	assert_int_equal(o->journal.lost_lines, 0);
	/* it goes, and is back before the end, or is not */
	fd_close(&fd);
	out_line(o, false, &lost);
	assert_int_equal(unlink(path), 0);
	fd = journald_listen(path);
	assert_int_equal(out_close(o, &err), 0);
	journald_says(fd, "podshim-logger: 1 lines, 4 bytes are missing here: ");
	assert_int_equal(out_open(o, &conf, &err), 0);
	fd_close(&fd);
	out_line(o, false, &lost);
	assert_int_equal(out_close(o, &err), -ECONNREFUSED);
	assert_non_null(
	    strstr(err.text, "the journal lacks the last 1 lines, 4 bytes: "));
	free(o);
}

/* One that is stuck is waited for once, not for each line. */
static void
test_journald_stuck(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/journal", dir);
	AUTO_CLOSE int fd = journald_listen(path);
	struct logger_conf conf = {
	    .format = LOG_JOURNALD, .journal = path, .id = "c", .ns = "n", .tag = "t"};
	struct out *o = mem_zalloc(sizeof *o);
	const struct line line = {.text = "line", .len = 4};
	struct err err = ERR_INIT;
	boot_us_t begin;
	char got[400];
	int i;

	(void)state;
	assert_int_equal(out_open(o, &conf, &err), 0);
	do {
		begin = clock_boot_us();
		out_line(o, false, &line);
	} while (o->journal.lost_lines == 0);
	for (i = 1; i < 10; i++)
		out_line(o, false, &line);
	/* 50 s if each waits */
	assert_true(clock_boot_us() - begin < 45 * US_PER_S);
	assert_int_equal(o->journal.lost_lines, 10);
	while (recv(fd, got, sizeof got, 0) > 0)
		;
	out_line(o, false, &line);
	journald_says(fd, "podshim-logger: 10 lines, 40 bytes are missing here: ");
	journald_says(fd, "line");
	assert_int_equal(out_close(o, &err), 0);
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

/* Only what a dead log program left is taken away. */
static void
test_attach_takes_nothing(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/attach", dir);
	AUTO_CLOSE int dirfd = open(dir, O_PATH | O_CLOEXEC);
	AUTO_CLOSE int stale = -1;
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	struct watch w, other;
	size_t len;

	(void)state;
	assert_int_equal(file_write(AT_FDCWD, path, "mine", 4, 0644, NULL), 0);
	assert_int_equal(watch_open(&w, path, forever, &err), -ENOTSOCK);
	assert_non_null(strstr(err.text, "attach'"));
	assert_non_null(strstr(err.text, "is no socket"));
	watch_close(&w);
	assert_int_equal(file_read(AT_FDCWD, path, 10, &text, &len, NULL), 0);
	assert_string_equal(text, "mine");
	assert_int_equal(unlink(path), 0);
	/* nobody listens at it */
	stale = unix_listen_at(dirfd, "attach", SOCK_SEQPACKET, NULL);
	assert_true(stale >= 0);
	fd_close(&stale);
	assert_int_equal(watch_open(&w, path, forever, &err), 0);
	/* one that is just ending */
	assert_int_equal(watch_open(&other, path, forever, &err), 0);
	watch_close(&w);
	(void)close(join(&other, ATTACH_WATCH));
	watch_close(&other);
	assert_int_equal(access(path, F_OK), -1);
	/* a server's: it stays, and is reached */
	stale = unix_listen_at(dirfd, "attach", SOCK_STREAM, NULL);
	assert_true(stale >= 0);
	assert_int_equal(watch_open(&w, path, forever, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "attach' is no log program's"));
	watch_close(&w);
	assert_int_equal(access(path, F_OK), 0);
}

static void
test_attach_of_a_successor(void **state)
{
	AUTO_FREE char *path = mem_printf("%s/attach", dir);
	struct err err = ERR_INIT;
	struct watch w, next;

	(void)state;
	assert_int_equal(watch_open(&w, path, forever, &err), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(watch_open(&next, path, forever, &err), 0);
	watch_close(&w);
	(void)close(join(&next, ATTACH_WATCH));
	watch_close(&next);
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
	    cmocka_unit_test(test_conf_expands_once),
	    cmocka_unit_test_setup_teardown(test_journald, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_journald_stuck, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_watchers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_attach_takes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_attach_of_a_successor, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * podshimctl, run as a function on made-up pods: dead ones, some whose keeper
 * never answers, one whose keeper does; tables, JSON, names, bad usage.
 */
#include "client_helper.h"

/* --- list ----------------------------------------------------------------- */

static void
test_client_list_of_dead_pods(void **state)
{
	pods_make(*state);
	AUTO_RUN struct run r = RUN(*state, "list");

	assert_int_equal(r.code, CTL_OK);
	assert_string_equal(r.err, "");
	assert_string_equal(r.out,
	    "NAMESPACE  POD  KEEPER  WORKER  RESTARTS  VERSION  "
	    "CONTAINERS  RUNNING  EVENTS  STATE\n"
	    "default    web  -       -       -         -        2 "
	    "          1        1       dead\n"
	    "k8s.io     db   -       -       -         -        1 "
	    "          0        0       dead\n");
}

static void
test_client_list_as_json(void **state)
{
	pods_make(*state);
	AUTO_RUN struct run r = RUN(*state, "-o", "json", "list", "-n", "default");
	json_t *all = json_loads(r.out, 0, NULL), *pod;
	const char *ns, *name, *st, *created;
	int containers, running, events, old, dropped;

	assert_int_equal(r.code, CTL_OK);
	assert_int_equal(json_array_size(all), 1);
	pod = json_array_get(all, 0);
	assert_int_equal(
	    json_unpack(pod,
		"{s:s, s:s, s:n, s:n, s:n, s:n, s:n, s:b, s:n, s:i, s:i, s:i, s:i, "
		"s:s, s:s !}",
		"namespace", &ns, "pod", &name, "keeper_pid", "worker_pid",
		"worker_restarts", "version", "keeper_version", "outdated", &old,
		"worker_deaths", "containers", &containers, "running", &running,
		"events_pending", &events, "events_dropped", &dropped, "created_at",
		&created, "state", &st),
	    0);
	assert_string_equal(ns, "default");
	assert_string_equal(name, "web");
	assert_string_equal(st, "dead");
	assert_int_equal(containers, 2);
	assert_int_equal(running, 1);
	assert_int_equal(events, 1);
	json_decref(all);
}

static void
test_client_empty_and_unreadable_roots(void **state)
{
	AUTO_FREE char *file = path_in(*state, "file");
	AUTO_FREE char *damaged = pod_make(*state, "default", "bad.00000000");
	AUTO_FREE __attribute__((unused)) char *fresh =
	    pod_make(*state, "default", "new.00000000");

	assert_int_equal(file_write(AT_FDCWD, file, "x", 1, 0600, NULL), 0);
	AUTO_RUN struct run none = RUN("/nonexistent/root", "list", "-o", "json");
	assert_int_equal(none.code, CTL_OK);
	assert_string_equal(none.out, "[]\n");
	AUTO_RUN struct run no_dir = RUN(file, "list");
	assert_int_equal(no_dir.code, CTL_FAILED);
	assert_non_null(strstr(no_dir.err, "Not a directory"));

	free(file);
	file = path_in(damaged, STORE_FILE);
	assert_int_equal(
	    file_write(AT_FDCWD, file, "this is no database, not at all", 31, 0600, NULL),
	    0);
	AUTO_RUN struct run r = RUN(*state, "list");
	assert_int_equal(r.code, CTL_FAILED); /* and yet what is known is shown */
	assert_non_null(strstr(r.err, "bad.00000000"));
	assert_null(strstr(r.err, "new.00000000"));
	assert_non_null(strstr(r.out, "default    bad  -"));
	assert_non_null(strstr(r.out, "default    new  -"));
}

/* The sockets are this child's, which sleeps: we, who ask, are runnable. */
static pid_t
sleeper_start(const int *fds, size_t n, size_t full)
{
	int ready[2];
	char c = 0;
	size_t i;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child_begin();
		for (i = 0; i < n; i++)
			(void)listen(fds[i], i == full ? 0 : 16); /* unix(7) */
		(void)!write(ready[1], &c, 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	return pid;
}

static void
test_client_unresponsive_keepers_cost_200_ms_in_all(void **state)
{
	enum { MANY = 60, FULL = 7 };
	char name[32];
	boot_us_t t0;
	int i, fds[MANY];
	pid_t sleeper;

	for (i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "p%02d.0000000%x", i, i % 16);
		AUTO_FREE char *dir = pod_make(*state, "default", name);
		AUTO_CLOSE int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (i == FULL) { /* its queue is full as well */
			fds[i] =
			    unix_listen_at(dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
			assert_int_equal(listen(fds[i], 0), 0);
			(void)unix_connect_at(
			    dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, 0, NULL);
			(void)unix_connect_at(
			    dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, 0, NULL);
		} else {
			fds[i] =
			    unix_listen_at(dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
		}
		assert_true(fds[i] >= 0);
	}
	sleeper = sleeper_start(fds, MANY, FULL);
	t0 = clock_boot_us();
	AUTO_RUN struct run r = RUN(*state, "list", "-o", "json");
	/* one after the other it would be 12 s */
	assert_true(clock_boot_us() - t0 < 11 * US_PER_S);
	assert_true(clock_boot_us() - t0 >= 190 * US_PER_MS);
	assert_int_equal(r.code, CTL_OK);
	json_t *all = json_loads(r.out, 0, NULL), *pod;
	size_t k;

	assert_int_equal(json_array_size(all), MANY);
	json_array_foreach(all, k, pod) assert_string_equal(
	    json_string_value(json_object_get(pod, "state")), "unresponsive");
	json_decref(all);
	keeper_stop(sleeper);
	for (i = 0; i < MANY; i++)
		(void)close(fds[i]);
	/* sockets without anybody behind: dead, which no waiting tells */
	AUTO_RUN struct run r2 = RUN(*state, "list");
	assert_non_null(strstr(r2.out, "dead"));
	assert_null(strstr(r2.out, "unresponsive"));
}

/* What a busy machine makes of a keeper that is well. */
static void
test_client_a_keeper_that_waits_for_a_cpu(void **state)
{
	AUTO_FREE char *dir = pod_make(*state, "default", "web.00000000");
	pid_t pid;

	keeper_spins_us = 700 * US_PER_MS;
	pid = keeper_start(dir, "worker_state=running\n");
	keeper_spins_us = 0;
	AUTO_RUN struct run r = RUN(*state, "list");
	assert_non_null(strstr(r.out, "running"));
	keeper_stop(pid);
}

static void
test_client_keeper_that_answers(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	pid_t pid;

	pods_make(*state);
	pid = keeper_start(dir,
	    "keeper_pid=11\nworker_pid=12\nworker_restarts=3\n"
	    "worker_state=ready\nversion=0.0.1\n"
	    "build=99.0\nmark=\x1b[31mred\n");
	AUTO_RUN struct run r = RUN(*state, "list", "-n", "default");
	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out,
	    "default    web  11      12      3         99.0   "
	    "  2           1        1       running\n"));
	AUTO_RUN struct run i = RUN(*state, "inspect", "web");
	assert_int_equal(i.code, CTL_OK);
	assert_non_null(strstr(i.out, "  keeper_pid: 11\n"));
	assert_non_null(strstr(i.out, "  mark: \\x1b[31mred\n"));
	keeper_stop(pid);

	(void)unlinkat(AT_FDCWD, dir, 0);
	AUTO_FREE char *sock = path_in(dir, ADMIN_SOCKET);
	assert_int_equal(unlink(sock), 0);
	pid = keeper_start(dir,
	    "keeper_pid=11\nworker_state=restarting\nworker_pid=x\n"
	    "build=0.0.9\n");
	AUTO_RUN struct run r2 = RUN(*state, "list", "-n", "default");
	assert_non_null(strstr(r2.out, "restarting\n"));
	assert_non_null(strstr(r2.out, "web  11      -       -         0.0.9*"));
	keeper_stop(pid);

	assert_int_equal(unlink(sock), 0);
	pid = keeper_start(dir, "worker_state=down\ndeaths=7\nfailed_boots=0\nbuild=\n");
	AUTO_RUN struct run r3 = RUN(*state, "list", "-n", "default");
	assert_non_null(strstr(r3.out, "crash-loop\n"));
	assert_non_null(strstr(r3.out, "build-1")); /* as the database knows */
	keeper_stop(pid);
}

/* --- tasks ---------------------------------------------------------------- */

static void
test_client_tasks_table(void **state)
{
	pods_make(*state);
	AUTO_RUN struct run r = RUN(*state, "tasks", "--exact");

	assert_int_equal(r.code, CTL_OK);
	assert_string_equal(r.out,
	    "NAMESPACE  POD  CONTAINER  EXEC  PID   STATUS    EXIT  STARTED              "
	    "           EXITED\n"
	    "default    web  front      -     1001  running   -     "
	    "2023-11-14T22:13:21.000000000Z  -\n"
	    "default    web  front      sh    1002  stopped   42    "
	    "2023-11-14T22:13:21.000000000Z  2023-11-14T22:13:22.500000000Z\n"
	    "default    web  old        -     1003  stopped   42    "
	    "2023-11-14T22:13:21.000000000Z  2023-11-14T22:13:22.500000000Z\n"
	    "k8s.io     db   web        -     -     creating  -     -                    "
	    "           -\n");
}

static void
test_client_tasks_json(void **state)
{
	json_t *all, *t;

	pods_make(*state);
	AUTO_RUN struct run r = RUN(*state, "tasks", "web", "--output=json");
	assert_int_equal(r.code, CTL_OK);
	all = json_loads(r.out, 0, NULL);
	assert_int_equal(json_array_size(all), 3);
	t = json_array_get(all, 0);
	assert_int_equal(json_object_size(t), 10);
	assert_true(json_is_null(json_object_get(t, "exec")));
	assert_true(json_is_null(json_object_get(t, "exit_status")));
	assert_true(json_is_null(json_object_get(t, "exited_at")));
	assert_int_equal(json_integer_value(json_object_get(t, "pid")), 1001);
	assert_string_equal(json_string_value(json_object_get(t, "bundle")), "/b");
	t = json_array_get(all, 1);
	assert_string_equal(json_string_value(json_object_get(t, "exec")), "sh");
	assert_string_equal(json_string_value(json_object_get(t, "status")), "stopped");
	assert_int_equal(json_integer_value(json_object_get(t, "exit_status")), 42);
	assert_string_equal(json_string_value(json_object_get(t, "exited_at")),
	    "2023-11-14T22:13:22.500000000Z");
	json_decref(all);
}

/* --- inspect and names ---------------------------------------------------- */

static void
test_client_inspect(void **state)
{
	json_t *v;

	pods_make(*state);
	AUTO_RUN struct run pod = RUN(*state, "inspect", "web", "-o", "json");
	assert_int_equal(pod.code, CTL_OK);
	v = json_loads(pod.out, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(v, "state")), "dead");
	assert_true(json_is_null(json_object_get(v, "keeper")));
	assert_int_equal(json_array_size(json_object_get(v, "containers")), 2);
	assert_int_equal(json_array_size(json_object_get(v, "events")), 1);
	assert_string_equal(json_string_value(json_object_get(v, "build")), "build-1");
	json_decref(v);

	AUTO_RUN struct run c = RUN(*state, "inspect", "front", "-o", "json");
	assert_int_equal(c.code, CTL_OK);
	v = json_loads(c.out, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(v, "container")), "front");
	assert_int_equal(json_array_size(json_object_get(v, "processes")), 2);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(v, "options"), "a")), 1);
	assert_int_equal(json_array_size(json_object_get(v, "events")), 0);
	json_decref(v);

	AUTO_RUN struct run t = RUN(*state, "inspect", "db/web");
	assert_int_equal(t.code, CTL_OK);
	assert_non_null(strstr(t.out, "container: web\nstatus: creating\n"));
}

static void
test_client_names(void **state)
{
	AUTO_FREE __attribute__((unused)) char *twin =
	    pod_make(*state, "k8s.io", "web.fedcba98");
	AUTO_FREE __attribute__((unused)) char *longer =
	    pod_make(*state, "default", "website.00000000");

	pods_make(*state);
	AUTO_RUN struct run unknown = RUN(*state, "inspect", "nope");
	assert_int_equal(unknown.code, CTL_NOT_FOUND);
	assert_string_equal(unknown.err, "podshimctl: no pod or container 'nope'\n");
	assert_string_equal(unknown.out, "");
	AUTO_RUN struct run two = RUN(*state, "tasks", "web");
	assert_int_equal(two.code, CTL_FAILED);
	assert_string_equal(two.err,
	    "podshimctl: 'web' is ambiguous: "
	    "default/web.0123abcd, k8s.io/web.fedcba98\n");
	AUTO_RUN struct run ns =
	    RUN(*state, "tasks", "web", "-n", "default"); /* whole beats longer */
	assert_int_equal(ns.code, CTL_OK);
	AUTO_RUN struct run hash = RUN(*state, "tasks", "web.0123abcd");
	assert_int_equal(hash.code, CTL_OK);
	AUTO_RUN struct run prefix = RUN(*state, "inspect", "fro");
	assert_int_equal(prefix.code, CTL_OK);
	AUTO_RUN struct run empty = RUN(*state, "tasks", "");
	assert_int_equal(empty.code, CTL_NOT_FOUND);
	AUTO_RUN struct run near = RUN(*state, "tasks", "wbesiet");
	assert_int_equal(near.code, CTL_NOT_FOUND);
	assert_string_equal(
	    near.err, "podshimctl: no pod 'wbesiet', did you mean 'website'?\n");
	AUTO_RUN struct run near_c = RUN(*state, "inspect", "web.0123abcd/frotn");
	assert_int_equal(near_c.code, CTL_NOT_FOUND);
	assert_string_equal(near_c.err,
	    "podshimctl: no container 'web.0123abcd/frotn', did you mean 'front'?\n");
	AUTO_RUN struct run evil = RUN(*state, "inspect", "\x1b]0;x\x07");
	assert_string_equal(
	    evil.err, "podshimctl: no pod or container '\\x1b]0;x\\x07'\n");
}

static void
only_printable(const char *text)
{
	for (; *text != '\0'; text++)
		assert_true(*text == '\n' || (*text >= ' ' && *text < 0x7f));
}

static void
test_client_hostile_rows_are_printed_safely(void **state)
{
	AUTO_FREE char *dir = pod_make(*state, "default", "e\x1b[2J.00000000");
	struct store *st = pod_store(dir, "e\x1b[2J");

	store_begin(st);
	container(st,
	    "c\n\x9b"
	    "1\xe2\x80\xaex\x7f\xc2\x9b",
	    TASK_RUNNING);
	commit_ok(st);
	store_close(st);
	AUTO_RUN struct run t = RUN(*state, "tasks");
	assert_int_equal(t.code, CTL_OK);
	assert_non_null(strstr(t.out, "e\\x1b[2J  c\\x0a\\x9b1\\u202ex\\x7f\\u009b  -"));
	only_printable(t.out);
	AUTO_RUN struct run j = RUN(*state, "tasks", "-o", "json");
	json_t *all = json_loads(j.out, 0, NULL);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(all, 0), "container")),
	    "c\n\xef\xbf\xbd"
	    "1\xe2\x80\xaex\x7f\xc2\x9b");
	json_decref(all);
	only_printable(j.out);
	AUTO_RUN struct run l = RUN(*state, "tasks", "-o", "jsonl");
	only_printable(l.out);
	AUTO_RUN struct run m = RUN(*state, "metrics");
	only_printable(m.out);
	assert_non_null(strstr(m.out,
	    "podshim_container_oom_kills_total{namespace=\"default\","
	    "pod=\"e\\\\x1b[2J\",container="
	    "\"c\\\\x0a\\\\x9b1\\\\u202ex\\\\x7f\\\\u009b\"} "));
	AUTO_RUN struct run i = RUN(*state, "inspect", "default/x");
	assert_int_equal(i.code, CTL_NOT_FOUND);
}

/* --- text, table, usage --------------------------------------------------- */

static void
test_client_table(void **state)
{
	static const char *const heads[] = {"A", "LONGER", "C", NULL};
	struct table *t = table_new(heads);
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	table_add(t, "\xc3\xa4\xc3\xb6"); /* two columns, four bytes */
	table_add_num(t, -5);
	table_add(t, "");
	table_add(t, "x");
	table_add(t, NULL);
	table_add(t, "last");
	table_print(t, f);
	(void)fclose(f);
	assert_string_equal(out,
	    "A   LONGER  C\n"
	    "\xc3\xa4\xc3\xb6  -5      -\n"
	    "x   -       last\n");
	free(out);
	f = open_memstream(&out, &len);
	table_print_at(t, f, 16, true);
	(void)fclose(f);
	assert_string_equal(out,
	    "\x1b[1mA\x1b[0m   \x1b[1mLONGER\x1b[0m  \x1b[1mC\x1b[0m\n"
	    "\xc3\xa4\xc3\xb6  -5      -\n"
	    "x   -       last\n");
	free(out);
	table_free(t);
}

/* The widest column gives way, others stay whole; nothing is cut below a limit. */
static void
test_client_table_fits(void **state)
{
	static const char *const heads[] = {"NAME", "STATE", NULL};
	struct table *t = table_new(heads);
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	table_add(t, "a-name-that-is-\xc3\xa4rgerlich-long");
	table_add_look(t, "running", LOOK_BAD);
	table_print_at(t, f, 26, false);
	table_print_at(t, f, 3, false);
	(void)fclose(f);
	assert_string_equal(out,
	    "NAME               STATE\n"
	    "a-name-that-is-\xc3\xa4\xe2\x80\xa6  running\n"
	    "NAME    STATE\n"
	    "a-nam\xe2\x80\xa6  runni\xe2\x80\xa6\n");
	free(out);
	table_free(t);
}

/* Heads give way before names do. */
static void
test_client_table_heads(void **state)
{
	static const char *const heads[] = {"NAME", "CONTAINERS", "EVENTS", NULL};
	struct table *t = table_new(heads);
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	table_add(t, "a-long-name");
	table_add_num(t, 7);
	table_add_num(t, 1234567);
	table_print_at(t, f, 28, false);
	table_print_at(t, f, 26, false);
	(void)fclose(f);
	assert_string_equal(out,
	    "NAME         CONTA\xe2\x80\xa6  EVENTS\n"
	    "a-long-name  7       1234567\n"
	    "NAME        CONT\xe2\x80\xa6  EVENTS\n"
	    "a-long-na\xe2\x80\xa6  7      1234567\n");
	free(out);
	table_free(t);
}

static void
assert_text(char *got, const char *want)
{
	assert_string_equal(got, want);
	free(got);
}

static void
test_client_text(void **state)
{
	(void)state;
	assert_text(text_safe("plain \xe2\x82\xac"), "plain \xe2\x82\xac");
	assert_text(text_safe("\x7f\t\xc2\x9b"), "\\x7f\\x09\\u009b");
	assert_text(text_safe("\xc0\x80\xed\xa0\x80"), "\\xc0\\x80\\xed\\xa0\\x80");
	assert_text(text_safe("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
	assert_text(text_safe("\xf3\xa0\x84\x80"), "\\ue0100");
	assert_text(text_safe("cut \xe2\x82"), "cut \\xe2\\x82");
	assert_text(text_utf8("a\xff"
			      "b"),
	    "a\xef\xbf\xbd"
	    "b");
	assert_null(text_time(0));
	assert_text(text_time(1), "1970-01-01T00:00:00.000000001Z");
	assert_text(text_time(INT64_MAX), "2262-04-11T23:47:16.854775807Z");
	assert_text(text_cut("whole", 5), "whole");
	assert_text(text_cut("a\xc3\xa4z.", 3), "a\xc3\xa4\xe2\x80\xa6");
	assert_text(text_cut("cut", 1), "\xe2\x80\xa6");
	assert_text(text_span(0), "0 ms");
	assert_text(text_span(NS_PER_S - 1), "999 ms");
	assert_text(text_span(59 * NS_PER_S), "59 s");
	assert_text(text_span(61 * NS_PER_S), "1 min 1 s");
	assert_text(text_span(11 * 60 * NS_PER_S + 1), "11 min");
	assert_text(text_span(3660 * NS_PER_S), "1 h 1 min");
	assert_text(text_span(7200 * NS_PER_S), "2 h");
	assert_text(text_span(47 * 3600 * NS_PER_S), "47 h");
	assert_text(text_span(48 * 3600 * NS_PER_S), "2 d");
	assert_text(text_span(800 * 24 * 3600 * NS_PER_S), "2 y");
	assert_text(text_ago(-5), "now");
	assert_text(text_ago(3 * 60 * NS_PER_S + 2 * NS_PER_S), "3 min ago");
	assert_text(text_ago(8000 * NS_PER_S), "2 h ago");
	assert_text(text_bytes(0), "0 B");
	assert_text(text_bytes(1023), "1023 B");
	assert_text(text_bytes(1536), "1.5 KiB");
	assert_text(text_bytes(10ull << 30), "10 GiB");
	assert_text(text_bytes(UINT64_MAX), "16384 PiB");
}

/* How many lines of text begin so. */
static size_t
count_lines(const char *text, const char *begin)
{
	size_t n = 0;

	while (text != NULL && *text != '\0') {
		n += strncmp(text, begin, strlen(begin)) == 0;
		text = strchr(text, '\n');
		text = text == NULL ? NULL : text + 1;
	}
	return n;
}

/* Two containerds of one state root: the pods' names differ in the hash alone. */
static void
test_client_metrics_of_twins(void **state)
{
	AUTO_FREE char *twin = pod_make(*state, "default", "web.fedcba98");
	struct store *st = pod_store(twin, "web");

	store_close(st);
	pods_make(*state);
	AUTO_RUN struct run r = RUN(*state, "metrics", "--all");
	assert_int_equal(r.code, CTL_OK);
	assert_int_equal(
	    count_lines(r.out, "podshim_pod_state{namespace=\"default\",pod=\"web\","),
	    2);
	assert_int_equal(count_lines(r.out,
			     "podshim_pod_state{namespace=\"default\",pod=\"web\","
			     "hash=\"0123abcd\",state="),
	    1);
	assert_int_equal(count_lines(r.out,
			     "podshim_pod_state{namespace=\"default\",pod=\"web\","
			     "hash=\"fedcba98\",state="),
	    1);
	/* the same series as among all */
	AUTO_RUN struct run one = RUN(*state, "metrics", "web.fedcba98");
	assert_int_equal(one.code, CTL_OK);
	assert_int_equal(count_lines(one.out,
			     "podshim_pod_state{namespace=\"default\",pod=\"web\","
			     "hash=\"fedcba98\",state="),
	    1);
	/* who is alone bears no hash */
	assert_int_equal(count_lines(r.out,
			     "podshim_pod_state{namespace=\"k8s.io\",pod=\"db\",state="),
	    1);
}

static void
test_client_bad_usage(void **state)
{
	static const char *const bad[][5] = {
	    {"frobnicate"},
	    {"list", "extra"},
	    {"inspect"},
	    {"inspect", "a", "b"},
	    {"list", "-o", "xml"},
	    {"list", "-o"},
	    {"list", "--frob"},
	    {"-x", "list"},
	    {"--version=3"},
	    {"upgrade"},
	    {"upgrade", "--all", "web"},
	    {"upgrade", "--jobs", "0", "web"},
	    {"upgrade", "--jobs=65", "web"},
	    {"restart", "--worker=/bin/sh", "web"},
	    {"list", "--all"},
	    {"crashes"},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_RUN struct run r = run_v(*state, bad[i]);

		assert_int_equal(r.code, CTL_USAGE);
		assert_string_equal(r.out, "");
		assert_non_null(strstr(r.err, "podshimctl: "));
		assert_non_null(strstr(r.err, "Try 'podshimctl "));
		assert_non_null(strstr(r.err, "--help'."));
	}
	AUTO_RUN struct run none = run_v(*state, (const char *const[]){NULL});
	assert_int_equal(none.code, CTL_USAGE);
	AUTO_RUN struct run help = RUN(*state, "-h");
	assert_int_equal(help.code, CTL_OK);
	AUTO_RUN struct run v = RUN(*state, "-v");
	assert_string_equal(v.out, "podshimctl " PACKAGE_VERSION "\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_client_list_of_dead_pods),
	    TEST_IN_DIR(test_client_list_as_json),
	    TEST_IN_DIR(test_client_empty_and_unreadable_roots),
	    TEST_IN_DIR(test_client_unresponsive_keepers_cost_200_ms_in_all),
	    TEST_IN_DIR(test_client_a_keeper_that_waits_for_a_cpu),
	    TEST_IN_DIR(test_client_keeper_that_answers),
	    TEST_IN_DIR(test_client_tasks_table),
	    TEST_IN_DIR(test_client_tasks_json),
	    TEST_IN_DIR(test_client_inspect),
	    TEST_IN_DIR(test_client_names),
	    TEST_IN_DIR(test_client_hostile_rows_are_printed_safely),
	    cmocka_unit_test(test_client_table),
	    cmocka_unit_test(test_client_table_fits),
	    cmocka_unit_test(test_client_table_heads),
	    cmocka_unit_test(test_client_text),
	    TEST_IN_DIR(test_client_metrics_of_twins),
	    TEST_IN_DIR(test_client_bad_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

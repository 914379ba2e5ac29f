/*
 * What podshimctl shows of events, history and processes, of made-up pods; and
 * that a pod that talks nonsense is called broken.
 */
#include "client_helper.h"

#include <poll.h>
#include <sched.h>

#include "client/inside.h"
#include "client/pods.h"
#include "client/proc.h"
#include "client/sheet.h"
#include "oci/cgroup.h"

static void
event(struct store *st, const char *container, const char *exec, const char *topic,
    int64_t t)
{
	(void)store_add_event(st,
	    &(struct row_event){.container = container,
		.exec_id = exec,
		.topic = topic,
		.type = "T",
		.class = EVENT_KEEP,
		.t = t});
}

/* web: of three events one is delivered, one dropped; some lines of history. */
static char *
pod_with_past(const char *root)
{
	char *dir = pod_make(root, "default", "web.0123abcd");
	struct store *st = pod_store(dir, "web");

	store_begin(st);
	container(st, "front", TASK_RUNNING);
	event(st, "front", "", "/tasks/create", 1700000000000000001);
	event(st, "front", "sh", "/tasks/exec-added", 1700000001000000000);
	event(st, "gone", "", "/tasks/exit", 1700000002000000000);
	store_event_done(st, 1, "publish-binary");
	store_event_done(st, 2, "dropped");
	store_event_attempted(st, 3);
	store_event_attempted(st, 3);
	store_audit(st, "front", "", "create", "runc");
	store_audit(st, "front", "sh", "exec", "sh -c 'secret'");
	store_audit(st, "front", "q", "exec", "'my sh' -c secret");
	store_audit(st, "front", "one", "exec", "true");
	store_audit(st, "front", "", "debug-shell", "curl -u secret");
	store_audit(st, "front", "", "trace", "strace -f -e secret");
	store_audit(st, "gone", "", "delete", "");
	commit_ok(st);
	store_close(st);
	return dir;
}

static void
test_client_see_events(void **state)
{
	AUTO_FREE __attribute__((unused)) char *dir = pod_with_past(*state);
	AUTO_RUN struct run r = RUN(*state, "events", "--exact");

	assert_int_equal(r.code, CTL_OK);
	assert_string_equal(r.out,
	    "TIME                            POD  CONTAINER  EXEC  TOPIC       STATE  "
	    "    BY              TRIES\n"
	    "2023-11-14T22:13:20.000000001Z  web  front      -     create      "
	    "delivered  publish-binary  1\n"
	    "2023-11-14T22:13:21.000000000Z  web  front      sh    exec-added  dropped "
	    "   -               0\n"
	    "2023-11-14T22:13:22.000000000Z  web  gone       -     exit        pending "
	    "   -               2\n");
	AUTO_RUN struct run one = RUN(*state, "events", "web/gone", "-o", "jsonl");
	assert_int_equal(one.code, CTL_OK);
	assert_string_equal(one.out,
	    "{\"time\":\"2023-11-14T22:13:22.000000000Z\",\"namespace\":\"default\","
	    "\"pod\":\"web\",\"container\":\"gone\",\"exec\":null,\"topic\":\"/tasks/"
	    "exit\",\"state\":\"pending\",\"transport\":null,\"attempts\":2,"
	    "\"delivered_at\":null,\"seq\":3}\n");
	AUTO_RUN struct run none = RUN(*state, "events", "-n", "other", "-o", "json");
	assert_string_equal(none.out, "[]\n");
	AUTO_RUN struct run unknown = RUN(*state, "events", "fronz");
	assert_int_equal(unknown.code, CTL_NOT_FOUND);
	assert_string_equal(unknown.err,
	    "podshimctl: no pod or container 'fronz', did you mean 'front'?\n");
}

static void
test_client_see_history(void **state)
{
	AUTO_FREE __attribute__((unused)) char *dir = pod_with_past(*state);
	AUTO_RUN struct run r = RUN(*state, "history", "web");

	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out, "  web  front      -     create       runc\n"));
	assert_non_null(strstr(r.out, "  web  front      sh    exec         sh ...\n"));
	assert_non_null(
	    strstr(r.out, "  web  front      q     exec         'my sh' ...\n"));
	assert_non_null(strstr(r.out, "  web  front      one   exec         true\n"));
	assert_non_null(strstr(r.out, "debug-shell  curl ...\n"));
	assert_non_null(strstr(r.out, "trace        strace ...\n"));
	assert_non_null(strstr(r.out, "  web  gone       -     delete       -\n"));
	assert_null(strstr(r.out, "secret"));
	AUTO_RUN struct run j = RUN(*state, "history", "front", "-o", "json");
	assert_null(strstr(j.out, "secret"));
	assert_null(strstr(j.out, "gone"));
	AUTO_RUN struct run args = RUN(*state, "history", "web", "--args");
	assert_non_null(strstr(args.out, "curl -u secret\n"));
	assert_non_null(strstr(args.out, "sh -c 'secret'\n"));
	AUTO_RUN struct run gone = RUN(*state, "history", "gone");
	assert_int_equal(gone.code, CTL_OK);
	assert_null(strstr(gone.out, "front"));
}

/* --- following -------------------------------------------------------------------- */

struct follow {
	pid_t pid;
	int out;
	FILE *err;
	char text[65536]; /* of out */
	size_t len;
};

static void
follow_start(struct follow *f, const char *root)
{
	char *argv[] = {(char[]){"podshimctl"}, (char[]){"--state-root"},
	    mem_strdup(root), (char[]){"events"}, (char[]){"-f"}, (char[]){"-o"},
	    (char[]){"jsonl"}, NULL};
	int fds[2];

	*f = (struct follow){.err = tmpfile()};
	assert_non_null(f->err);
	(void)setvbuf(f->err, NULL, _IONBF, 0);
	assert_int_equal(pipe(fds), 0);
	f->pid = fork();
	if (f->pid == 0) {
		child_begin();
		_exit(
		    ctl_run((int)ARRAY_LEN(argv) - 1, argv, fdopen(fds[1], "w"), f->err));
	}
	(void)close(fds[1]);
	f->out = fds[0];
	free(argv[2]);
}

/* Until the text has been printed so many times. */
static void
follow_until(struct follow *f, const char *text, int times)
{
	struct pollfd p = {.fd = f->out, .events = POLLIN};
	const char *at = f->text;
	ssize_t n;

	while (times > 0) {
		const char *next = strstr(at, text);

		if (next != NULL) {
			at = next + 1;
			times--;
			continue;
		}
		if (poll(&p, 1, 30000) != 1)
			fail_msg("no '%s'", text);
		n = read(f->out, f->text + f->len, sizeof f->text - 1 - f->len);
		assert_true(n > 0);
		f->len += (size_t)n;
	}
}

static void
event_now(struct store *st, const char *topic)
{
	store_begin(st);
	event(st, "c", "", topic, 1700000000000000001);
	commit_ok(st);
}

/* All that there is has been looked at since: an event that is shown began a round. */
static void
follow_rounds(struct follow *f, struct store *st)
{
	static int n;
	int i;

	for (i = 0; i < 3; i++) {
		AUTO_FREE char *topic = mem_printf("/ping/%d.", n++);

		event_now(st, topic);
		follow_until(f, topic, 1);
	}
}

/* Of pods that are gone nothing is kept, and what cannot be read is said once. */
static void
test_client_see_follow(void **state)
{
	AUTO_FREE char *dir = pod_make(*state, "default", "web.0123abcd");
	AUTO_FREE char *gone = pod_make(*state, "default", "gone.0123abcd");
	AUTO_FREE char *bad = pod_make(*state, "default", "bad.0123abcd");
	AUTO_FREE char *db = path_in(bad, "state.db");
	AUTO_FREE char *away = path_in(*state, "away");
	AUTO_FREE char *junk = mem_zalloc(4096);
	struct store *st = pod_store(dir, "web"), *other = pod_store(gone, "gone");
	char line[512];
	struct follow f;
	int complaints = 0;

	memset(junk, 'x', 4096);
	assert_int_equal(file_write(AT_FDCWD, db, junk, 4096, 0600, NULL), 0);
	event_now(other, "/of/gone");
	store_close(other);
	follow_start(&f, *state);
	follow_until(&f, "/of/gone", 1);
	assert_int_equal(rename(gone, away), 0);
	follow_rounds(&f, st);
	assert_int_equal(rename(away, gone), 0);
	follow_until(&f, "/of/gone", 2);
	store_close(st);
	keeper_stop(f.pid);
	(void)close(f.out);
	rewind(f.err);
	while (fgets(line, sizeof line, f.err) != NULL)
		complaints += strstr(line, "pod 'bad.0123abcd': ") != NULL;
	(void)fclose(f.err);
	assert_int_equal(complaints, 1);
}

/* A sheet may be filled for hours: an age is that of now. */
static void
test_client_see_ages(void **state)
{
	static const struct column columns[] = {{"TIME", "time", 0}, {0}};
	int64_t begun = clock_real_ns();
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct ctl ctl = {.out = out, .err = out};
	struct sheet *sheet = sheet_new(&ctl, columns);

	(void)state;
	(void)poll(NULL, 0, 1100);
	sheet_time(sheet, begun);
	sheet_flush(sheet);
	sheet_free(sheet);
	(void)fclose(out);
	assert_non_null(strstr(text, " s ago"));
	free(text);
}

static void
test_client_see_ps(void **state)
{
	AUTO_FREE char *dir = pod_make(*state, "default", "web.0123abcd");
	struct store *st = pod_store(dir, "web");
	pid_t child = fork();
	json_t *v, *p;

	if (child == 0) {
		(void)alarm(60);
		(void)pause();
		_exit(0);
	}
	assert_true(child > 0);
	store_begin(st);
	container(st, "front", TASK_RUNNING);
	process(st, "front", "", TASK_RUNNING, (int)getpid());
	process(st, "front", "sh", TASK_RUNNING, (int)child);
	process(st, "front", "over", TASK_STOPPED, 1);
	commit_ok(st);
	store_close(st);
	AUTO_RUN struct run r = RUN(*state, "ps", "front", "-o", "json");
	assert_int_equal(r.code, CTL_OK);
	v = json_loads(r.out, 0, NULL);
	assert_int_equal(json_array_size(v), 2);
	p = json_array_get(v, 0);
	assert_int_equal(json_integer_value(json_object_get(p, "pid")), getpid());
	assert_string_equal(json_string_value(json_object_get(p, "container")), "front");
	assert_true(json_is_null(json_object_get(p, "exec")));
	p = json_array_get(v, 1);
	assert_string_equal(json_string_value(json_object_get(p, "exec")), "sh");
	assert_int_equal(json_integer_value(json_object_get(p, "ppid")), getpid());
	json_decref(v);
	AUTO_RUN struct run t = RUN(*state, "ps", "web");
	AUTO_FREE char *row = mem_printf("\nfront      sh    %ld", (long)child);
	assert_non_null(strstr(t.out, row));
	assert_non_null(strstr(t.out, "iB    ")); /* the child stands below its parent */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	AUTO_RUN struct run after = RUN(*state, "ps", "web", "-o", "jsonl");
	assert_null(strstr(after.out, "\"exec\":\"sh\""));
}

static void
test_client_see_proc(void **state)
{
	char nowhere[] = "/nonexistent";
	struct procs procs;
	struct proc p;

	(void)state;
	assert_true(proc_read(getpid(), &p));
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.ppid, getppid());
	assert_int_equal(p.state, 'R');
	assert_true(p.rss > 0 && p.threads == 1);
	assert_true(proc_age(&p) >= 0 && proc_age(&p) < 3600 * NS_PER_S);
	assert_false(proc_read(-5, &p));
	procs_read(&procs);
	assert_non_null(procs_find(&procs, getpid()));
	assert_null(procs_find(&procs, 0));
	assert_null(procs_find_keeper(&procs, &(struct pod){.path = nowhere}));
	procs_fini(&procs);
}

/*
 * Run a script that bears a keeper's name and arguments, as that user, by wish among
 * pids of its own. Returns what ends it when it is closed; -1: not possible here.
 */
static int
impostor_start(const char *script, const char *pod_dir, uid_t uid, bool own_pids)
{
	int end[2], up[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (own_pids && unshare(CLONE_NEWPID) == -1)
			_exit(1);
		if (fork() != 0)
			_exit(0);
		if (dup2(end[0], 0) == -1 || dup2(up[1], 1) == -1 || setgid(uid) == -1 ||
		    setuid(uid) == -1)
			_exit(1);
		(void)execl(script, script, "-dir", pod_dir, (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(end[0]);
	(void)close(up[1]);
	if (read(up[0], &byte, 1) != 1)
		fd_close(&end[1]);
	(void)close(up[0]);
	return end[1];
}

static const char *
keeper_found(struct pod *pod)
{
	struct procs procs;
	bool found;

	procs_read(&procs);
	found = procs_find_keeper(&procs, pod) != NULL;
	procs_fini(&procs);
	return found ? "found" : "none";
}

/* Anybody may bear its name and arguments; it is root's, and among our pids. */
static void
test_client_see_impostors(void **state)
{
	static const char text[] = "#!/bin/sh\necho\nread x\n";
	AUTO_FREE char *script = mem_printf("%s/podshim-keeper", (char *)*state);
	AUTO_FREE char *path = mem_printf("%s/default/web.0123abcd", (char *)*state);
	struct pod pod = {.path = path};
	uid_t other = getuid() != 0 ? getuid() : 65534;
	int end;

	assert_int_equal(chmod(*state, 0755), 0);
	assert_int_equal(file_write(AT_FDCWD, script, text, strlen(text), 0755, NULL), 0);
	end = impostor_start(script, path, other, false);
	assert_true(end >= 0);
	assert_string_equal(keeper_found(&pod), "none");
	(void)close(end);
	end = getuid() == 0 ? impostor_start(script, path, 0, true) : -1;
	if (end >= 0)
		assert_string_equal(keeper_found(&pod), "none");
	fd_close(&end);
	/* the same among our pids is one */
	end = getuid() == 0 ? impostor_start(script, path, 0, false) : -1;
	if (end >= 0)
		assert_string_equal(keeper_found(&pod), "found");
	/* unless somebody says who it is */
	pod.status = (char[]){"keeper_pid=999999999\nworker_state=ready\n"};
	pod.keeper = KEEPER_ANSWERED;
	assert_string_equal(keeper_found(&pod), "none");
	fd_close(&end);
}

/* A process in a user namespace of its own: no danger to anybody in ours. */
static pid_t
harmless_start(void)
{
	int fds[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		c = unshare(CLONE_NEWUSER) == 0;
		(void)!write(fds[1], &c, 1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	(void)close(fds[0]);
	(void)close(fds[1]);
	if (c == 1)
		return pid;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return 0;
}

/* Where it cannot be told who could trace a tool, nobody is taken for harmless. */
static void
test_client_see_tracers(void **state)
{
	char cgroup[80], sub[96], none[] = "";
	struct process_info init = {0}, own = {.pid = getpid()};
	struct container_info all[2] = {{.cgroup = cgroup,
					    .processes = &init,
					    .n_processes = 1,
					    .state = TASK_RUNNING},
	    {.cgroup = none, .processes = &own, .n_processes = 1, .state = TASK_RUNNING}};
	struct pod pod = {.containers = all, .n_containers = 1};

	(void)state;
	(void)snprintf(cgroup, sizeof cgroup, "/sys/fs/cgroup/%spodshim-test-see-%ld",
	    access("/sys/fs/cgroup/pids", F_OK) == 0 ? "pids/" : "", (long)getpid());
	(void)snprintf(sub, sizeof sub, "%s/a", cgroup);
	init.pid = geteuid() == 0 ? harmless_start() : 0;
	if (init.pid == 0)
		skip();
	if (mkdir(cgroup, 0755) == 0 && mkdir(sub, 0755) == 0) {
		assert_int_equal(inside_tracer(&pod, &all[0], init.pid), 0);
		cgroup_set_short_walks_for_test(true);
		assert_int_equal(inside_tracer(&pod, &all[0], init.pid), INSIDE_UNSURE);
		cgroup_set_short_walks_for_test(false);
		/* another of the same pids, whose cgroup nobody knows: ourselves */
		pod.n_containers = 2;
		assert_int_equal(inside_tracer(&pod, &all[0], init.pid), getpid());
		all[1].state = TASK_STOPPED;
		assert_int_equal(inside_tracer(&pod, &all[0], init.pid), 0);
		assert_int_equal(rmdir(sub) | rmdir(cgroup), 0);
	}
	assert_int_equal(kill(init.pid, SIGKILL), 0);
	assert_int_equal(waitpid(init.pid, NULL, 0), init.pid);
}

#define LOOK_MS 60000

static void
look_quickly(int out, const void *arg)
{
	(void)!write(out, arg, strlen(arg));
}

/* It says something before it hangs, or nothing. */
static void
look_for_ever(int out, const void *arg)
{
	if (arg != NULL)
		look_quickly(out, arg);
	for (;;)
		(void)pause();
}

/* One that hangs is waited for as long as was said, and then killed. */
static void
test_client_see_hangs(void **state)
{
	AUTO_FREE char *ours = proc_cmdline(getpid());
	char buf[16] = "";
	int i;

	(void)state;
	assert_non_null(strstr(ours, "test_client_see"));
	assert_null(proc_cmdline(999999999));
	for (i = 0; i < 4; i++) {
		assert_int_equal(
		    proc_in_child(look_quickly, "hello", LOOK_MS, buf, 16), 5);
		assert_memory_equal(buf, "hello", 5);
		assert_int_equal(
		    proc_in_child(look_quickly, "hello", LOOK_MS, buf, 3), 3);
		assert_int_equal(
		    proc_in_child(look_for_ever, "hello", LOOK_MS, buf, 3), 3);
		assert_int_equal(
		    proc_in_child(look_for_ever, NULL, 50, buf, 16), -ETIMEDOUT);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	}
	/* it has to get as far as that on a busy machine */
	assert_int_equal(proc_in_child(look_for_ever, "some", 5000, buf, 16), 4);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static char freezer[80];

static void
freeze_write(const char *file, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", freezer, file);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Frozen by cgroup v1 it does not die, as if a file system held it. */
static void
look_frozen(int out, const void *arg)
{
	freeze_write("cgroup.procs", "0");
	freeze_write("freezer.state", "FROZEN");
	look_quickly(out, arg);
}

/* After two that not even SIGKILL ends nobody is asked any more. The last of all tests. */
static void
test_client_see_hangs_beyond_sigkill(void **state)
{
	char buf[16] = "";
	int i;

	(void)state;
	(void)snprintf(freezer, sizeof freezer,
	    "/sys/fs/cgroup/freezer/podshim-test-see-%ld", (long)getpid());
	if (mkdir(freezer, 0755) == -1)
		skip();
	/* some are killed before they have frozen themselves */
	for (i = 0; proc_in_child(look_quickly, "hello", LOOK_MS, buf, 16) != -EBUSY;
	     i++) {
		assert_true(i < 20);
		assert_int_equal(
		    proc_in_child(look_frozen, "thaw", 200, buf, 16), -ETIMEDOUT);
	}
	assert_true(i >= 2);
	assert_null(proc_cmdline(getpid()));
	freeze_write("freezer.state", "THAWED");
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(rmdir(freezer), 0);
}

static void
test_client_see_nonsense(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	pid_t pid;

	pods_make(*state);
	pid = keeper_start(dir, "hello, I am no keeper");
	AUTO_RUN struct run r = RUN(*state, "list");
	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out, "broken\n"));
	assert_non_null(strstr(r.out, "dead\n")); /* the other pod */
	keeper_stop(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_client_see_events),
	    TEST_IN_DIR(test_client_see_history),
	    TEST_IN_DIR(test_client_see_follow),
	    cmocka_unit_test(test_client_see_ages),
	    TEST_IN_DIR(test_client_see_ps),
	    cmocka_unit_test(test_client_see_proc),
	    TEST_IN_DIR(test_client_see_impostors),
	    TEST_IN_DIR(test_client_see_nonsense),
	    cmocka_unit_test(test_client_see_tracers),
	    cmocka_unit_test(test_client_see_hangs),
	    cmocka_unit_test(test_client_see_hangs_beyond_sigkill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

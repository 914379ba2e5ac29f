/*
 * What podshimctl shows of events, history and processes, of made-up pods; and
 * that a pod that talks nonsense is called broken.
 */
#include "client_helper.h"

#include "client/proc.h"

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
	assert_null(procs_find_keeper(&procs, "/nonexistent"));
	procs_fini(&procs);
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
	    TEST_IN_DIR(test_client_see_ps),
	    cmocka_unit_test(test_client_see_proc),
	    TEST_IN_DIR(test_client_see_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

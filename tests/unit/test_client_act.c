/*
 * podshimctl's verbs that act on a pod: upgrade, restart, dump; and what
 * it shows of crashes.
 */
#include "client_helper.h"

/* --- upgrade, restart, dump, crashes ---------------------------------------- */

static void
test_client_upgrade_and_restart(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	AUTO_FREE char *plain = path_in(*state, "plain");
	pid_t pid;

	pods_make(*state);
	pid = keeper_start(dir, "keeper_pid=11\nworker_state=running\nbuild=0.0.9\n");
	AUTO_RUN struct run one = RUN(*state, "upgrade", "--worker", "/bin/sh", "web");
	assert_string_equal(one.out, "[1/1] default/web: " UPGRADED " (was 0.0.9)\n");
	assert_int_equal(one.code, CTL_OK);
	/* the other pod has no keeper */
	AUTO_RUN struct run all =
	    RUN(*state, "upgrade", "--all", "--worker", "/bin/sh", "--jobs", "1");
	assert_int_equal(all.code, CTL_OK);
	assert_string_equal(all.out,
	    "[1/2] default/web: " UPGRADED " (was 0.0.9)\n"
	    "[2/2] k8s.io/db: left alone: no keeper\n"
	    "2 pods: 1 upgraded, 1 left alone, 0 failed\n");
	AUTO_RUN struct run json =
	    RUN(*state, "upgrade", "-o", "json", "--worker", "/bin/sh", "web");
	json_t *v = json_loads(json.out, 0, NULL);
	const char *ns, *name, *result, *was, *text;

	assert_int_equal(json_unpack(v, "[{s:s, s:s, s:s, s:s, s:s !}]", "namespace", &ns,
			     "pod", &name, "result", &result, "was", &was, "text", &text),
	    0);
	assert_string_equal(result, "done");
	assert_string_equal(text, UPGRADED);
	json_decref(v);
	AUTO_RUN struct run no = RUN(*state, "restart", "web");
	assert_int_equal(no.code, CTL_FAILED);
	assert_string_equal(
	    no.out, "[1/1] default/web: FAILED: it is being replaced already\n");
	AUTO_RUN struct run dead = RUN(*state, "restart", "db");
	assert_int_equal(dead.code, CTL_FAILED);
	AUTO_RUN struct run dump = RUN(*state, "dump", "web");
	assert_string_equal(dump.out, "/run/x/dump-1.txt\n");
	keeper_stop(pid);

	/* what is no executable is not even offered */
	assert_int_equal(file_write(AT_FDCWD, plain, "x", 1, 0600, NULL), 0);
	AUTO_RUN struct run p = RUN(*state, "upgrade", "--worker", plain, "web");
	assert_int_equal(p.code, CTL_FAILED);
	assert_non_null(strstr(p.err, "not an executable"));
	AUTO_RUN struct run d = RUN(*state, "upgrade", "--worker", "/tmp", "web");
	assert_int_equal(d.code, CTL_FAILED);
}

static void
test_client_crashes(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	AUTO_FREE char *ten = mem_printf("%s/crash-10.txt", dir);
	AUTO_FREE char *nine = mem_printf("%s/crash-9.txt", dir);
	AUTO_FREE char *other = mem_printf("%s/crash-x.txt", dir);
	static const char full[] =
	    "time_ns: 1700000000000000001\nworker: 4711\ngeneration: 10\nbuild: 0.0.9\n"
	    "status: 0xb\nended: signal 11\nverdict: it crashed\nmore: \n"
	    "exe: /nonexistent/worker\nexe_id: 1:2\nin_hand: 17\nwhat: Create\n"
	    "loops: 3\nfatal_signal: 11\nfatal_addr: 0x8\nload_base: 0x1000\n"
	    "frame: 0x1234 (base + 0x234)\nnonsense\nframe: \x1b[31m\n"
	    "trace: 1 n=17 begin\ntrace: 2 n=17 end\n";
	const char *key;
	json_t *v, *c;

	pods_make(*state);
	AUTO_RUN struct run none = RUN(*state, "crashes", "web");
	assert_int_equal(none.code, CTL_OK);
	assert_string_equal(none.out, "no worker of this pod has crashed\n");
	assert_int_equal(file_write(AT_FDCWD, ten, full, sizeof full - 1, 0600, NULL), 0);
	assert_int_equal(
	    file_write(AT_FDCWD, nine, "ended: exit 3\n", 14, 0600, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, other, "ended: x\n", 9, 0600, NULL), 0);
	AUTO_RUN struct run r = RUN(*state, "crashes", "web");
	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out, "worker generation 9, -: exit 3, \n"));
	assert_true(strstr(r.out, "generation 9") < strstr(r.out, "generation 10"));
	assert_non_null(strstr(r.out,
	    "generation 10, 2023-11-14T22:13:20.000000001Z: "
	    "signal 11, it crashed\n"));
	assert_non_null(strstr(r.out, "  in hand     Create, request 17\n"));
	assert_non_null(strstr(r.out, "     0  0x234"));
	assert_non_null(strstr(r.out, "\\x1b[31m"));
	assert_non_null(strstr(r.out, "    2 n=17 end\n"));
	AUTO_RUN struct run j = RUN(*state, "crashes", "-o", "json", "web");
	v = json_loads(j.out, 0, NULL);
	assert_int_equal(json_array_size(v), 2);
	c = json_array_get(v, 1);
	assert_int_equal(json_unpack(c, "{s:s}", "verdict", &key), 0);
	assert_string_equal(key, "it crashed");
	assert_int_equal(json_array_size(json_object_get(c, "frames")), 2);
	assert_int_equal(json_array_size(json_object_get(c, "trace")), 2);
	json_decref(v);
}

/* A record that names this very program: its own symbols. */
static void
test_client_crashes_has_names(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	AUTO_FREE char *path = mem_printf("%s/crash-1.txt", dir);
	AUTO_FREE char *text = NULL;
	extern const char __executable_start;
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	struct stat sb;

	if (system_has("addr2line") != 0)
		skip();
	assert_true(n > 0);
	exe[n] = '\0';
	assert_int_equal(stat(exe, &sb), 0);
	pods_make(*state);
	text = mem_printf("exe: %s\nexe_id: %ju:%ju\nframe: 0x1 (base + %#jx)\n", exe,
	    (uintmax_t)sb.st_dev, (uintmax_t)sb.st_ino,
	    (uintmax_t)(uintptr_t)&keeper_stop + 1 -
		(uintmax_t)(uintptr_t)&__executable_start);
	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
	AUTO_RUN struct run r = RUN(*state, "crashes", "web");
	assert_int_equal(r.code, CTL_OK);
	assert_non_null(strstr(r.out, "keeper_stop"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_client_upgrade_and_restart),
	    TEST_IN_DIR(test_client_crashes),
	    TEST_IN_DIR(test_client_crashes_has_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

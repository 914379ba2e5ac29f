/*
 * podshimctl's verbs that act on a pod or container: upgrade, restart, dump, kill,
 * delete, wait; what exec and run do with a shim's answers; what is shown of crashes.
 */
#include "client_helper.h"

#include <poll.h>

#include "base/err.h"
#include "client/exec_io.h"
#include "client/foreground.h"
#include "client/pods.h"
#include "client/relay.h"
#include "client/rpc.h"
#include "proto/status.h"

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

/* --- names -------------------------------------------------------------------- */

/* Where nobody is asked, the beginning of a name may be that of another container. */
static void
test_client_whole_names(void **state)
{
	pods_make(*state);
	AUTO_RUN struct run k = RUN(*state, "kill", "-y", "-s", "KILL", "fron");
	assert_string_equal(
	    k.err, "podshimctl: no container 'fron', did you mean 'front'?\n");
	assert_int_equal(k.code, CTL_NOT_FOUND);
	AUTO_RUN struct run t = RUN(*state, "kill", "fron");
	assert_int_equal(t.code, CTL_NOT_FOUND);
	AUTO_RUN struct run p = RUN(*state, "kill", "we/front");
	assert_int_equal(p.code, CTL_NOT_FOUND);
	AUTO_RUN struct run d = RUN(*state, "delete", "-f", "fron");
	assert_int_equal(d.code, CTL_NOT_FOUND);
	AUTO_RUN struct run whole = RUN(*state, "kill", "-y", "web/front");
	assert_non_null(strstr(whole.err, "has no keeper"));
	AUTO_RUN struct run delete = RUN(*state, "delete", "web.0123abcd/front");
	assert_non_null(strstr(delete.err, "belongs to containerd"));
}

/* What exec says of itself is told from a process's exit status, as far as that goes. */
static void
test_client_exec_not_run(void **state)
{
	AUTO_FREE char *dir = pod_make(*state, "default", "more.0123abcd");
	struct store *st = pod_store(dir, "more");

	pods_make(*state);
	store_begin(st);
	container(st, "frame", TASK_RUNNING);
	commit_ok(st);
	store_close(st);
	AUTO_RUN struct run dead = RUN(*state, "exec", "front", "true");
	assert_non_null(strstr(dead.err, "has no keeper"));
	assert_int_equal(dead.code, CTL_NOT_RUN);
	AUTO_RUN struct run two = RUN(*state, "exec", "fr", "true");
	assert_non_null(strstr(two.err, "'fr' is ambiguous"));
	assert_int_equal(two.code, CTL_NOT_RUN);
	AUTO_RUN struct run none = RUN(*state, "exec", "nobody", "true");
	assert_int_equal(none.code, CTL_NOT_FOUND);
}

/* --- exec, run and wait, with a shim of our own --------------------------------- */

/* A pod whose socket this is. */
static struct pod
pod_at(const char *path)
{
	static char group[] = "p", name[] = "p.01234567";

	return (struct pod){.group = group,
	    .name = name,
	    .keeper = KEEPER_ANSWERED,
	    .status = mem_printf("worker_state=ready\nsocket=%s\n", path)};
}

/* exec_io_run() of a process without stdio, on a shim that is played by serve(). */
static int
exec_with(const char *dir, void (*serve)(int conn), uint32_t *status, struct err *err)
{
	AUTO_FREE char *path = path_in(dir, "s");
	pid_t shim = shim_start(path, serve);
	struct pod pod = pod_at(path);
	struct exec_io io = EXEC_IO_NONE;
	struct rpc *rpc = NULL;
	int rc;

	assert_int_equal(rpc_open(&pod, &rpc, err), 0);
	rc = exec_io_run(&io, rpc, "c", "e", status, err);
	rpc_close(rpc);
	free(pod.status);
	shim_end(shim);
	return rc;
}

static void
serve_wait_and_close(int conn)
{
	shim_answer_wait(conn, shim_asked(conn, "Wait"), 7);
}

static void
serve_delete_and_close(int conn)
{
	shim_answer_wait(conn, shim_asked(conn, "Wait"), 7);
	(void)shim_asked(conn, "Delete");
}

/* A shim that goes when it has said how the process ended: that is what counts. */
static void
test_client_exec_last_words(void **state)
{
	void (*const serve[])(int) = {serve_wait_and_close, serve_delete_and_close};
	struct err err = ERR_INIT;
	uint32_t status = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(serve); i++) {
		AUTO_FREE char *dir = mem_printf("%s/%zu", (char *)*state, i);

		assert_int_equal(mkdir(dir, 0700), 0);
		if (exec_with(dir, serve[i], &status, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(status, 7);
	}
}

static void
serve_nothing(int conn)
{
	(void)shim_asked(conn, "Wait");
}

static void
test_client_exec_lost(void **state)
{
	struct err err = ERR_INIT;
	uint32_t status;

	assert_int_equal(exec_with(*state, serve_nothing, &status, &err), -EPIPE);
}

static void
serve_two_kills(int conn)
{
	uint32_t wait = shim_asked(conn, "Wait");

	shim_answer_empty(conn, shim_asked(conn, "Kill"));
	shim_answer_empty(conn, shim_asked(conn, "Kill"));
	shim_answer_wait(conn, wait, 5);
	shim_answer_empty(conn, shim_asked(conn, "Delete"));
}

/* Two signals at once are both for the process. */
static void
test_client_exec_two_signals(void **state)
{
	struct err err = ERR_INIT;
	uint32_t status = 0;

	foreground_hold_signals();
	(void)kill(getpid(), SIGTERM);
	(void)kill(getpid(), SIGHUP);
	if (exec_with(*state, serve_two_kills, &status, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(status, 5);
}

static void
serve_no_kill(int conn)
{
	(void)shim_asked(conn, "Wait");
	(void)shim_asked(conn, "Kill");
	/* longer than podshimctl's patience */
	(void)poll(NULL, 0, 1500);
	(void)kill(getppid(), SIGTERM);
	if (recv(conn, &(char){0}, 1, 0) != 0)
		_exit(1);
}

/* A shim that takes no signals can be got away from. */
static void
test_client_exec_gives_up(void **state)
{
	struct err err = ERR_INIT;
	uint32_t status;

	foreground_hold_signals();
	(void)kill(getpid(), SIGTERM);
	assert_int_equal(exec_with(*state, serve_no_kill, &status, &err), -EINTR);
}

/* A Kill that is answered too late has been answered; the next signal is not for us. */
static void
serve_late_kill(int conn)
{
	uint32_t wait = shim_asked(conn, "Wait");

	shim_refuse(conn, shim_asked(conn, "Kill"), STATUS_DEADLINE_EXCEEDED);
	(void)poll(NULL, 0, 1500);
	(void)kill(getppid(), SIGTERM);
	shim_answer_empty(conn, shim_asked(conn, "Kill"));
	shim_answer_wait(conn, wait, 5);
	(void)recv(conn, &(char){0}, 1, 0);
}

static void
test_client_exec_late_kill(void **state)
{
	struct err err = ERR_INIT;
	uint32_t status = 0;

	foreground_hold_signals();
	(void)kill(getpid(), SIGTERM);
	if (exec_with(*state, serve_late_kill, &status, &err) < 0)
		fail_msg("%s", err.text);
}

#define RELAY_SIGNALS 40

/* Each of these cost half a second, and the last ten, if somebody waited for answers. */
static void
serve_signals(int conn)
{
	uint32_t wait = shim_asked(conn, "Wait");
	boot_us_t end = clock_boot_us() + 15 * US_PER_S;
	struct pollfd p = {.fd = conn, .events = POLLIN};
	int i;

	for (i = 0; i < RELAY_SIGNALS; i++) {
		(void)kill(getppid(), SIGUSR1);
		shim_answer_empty(conn, shim_asked(conn, "Kill"));
	}
	if (clock_boot_us() > end)
		_exit(1);
	(void)kill(getppid(), SIGUSR1);
	(void)shim_asked(conn, "Kill");
	shim_answer_wait(conn, wait, 9);
	if (poll(&p, 1, 8000) != 1)
		_exit(2);
}

/* relay_run() without stdio, on a shim that is played by serve(). */
static int
relay_with(
    const char *dir, void (*serve)(int conn), struct relay_end *end, struct err *err)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *path = path_in(dir, "s");
	pid_t shim = shim_start(path, serve);
	struct pod pod = pod_at(path);
	struct relay_spec spec = {.id = "c", .attach_fd = -1, .stdin_fifo = -1};
	uint32_t wait;
	int rc;

	assert_int_equal(rpc_open(&pod, &spec.rpc, err), 0);
	assert_int_equal(rpc_begin(spec.rpc, "Wait", &msg.base, 0, &wait, err), 0);
	rc = relay_run(&spec, wait, end, err);
	rpc_close(spec.rpc);
	free(pod.status);
	shim_end(shim);
	return rc;
}

/* What stands between a terminal and a container waits for no answer. */
static void
test_client_relay_does_not_block(void **state)
{
	struct err err = ERR_INIT;
	struct relay_end end;

	relay_hold_signals();
	if (relay_with(*state, serve_signals, &end, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(end.status, 9);
	assert_false(end.detached);
}

static void
test_client_relay_gives_up(void **state)
{
	struct err err = ERR_INIT;
	struct relay_end end;

	relay_hold_signals();
	(void)kill(getpid(), SIGTERM);
	assert_int_equal(relay_with(*state, serve_no_kill, &end, &err), -EINTR);
	assert_string_equal(err.text,
	    "the shim does not take signals: gave up; container 'c' may run on");
}

static void
test_client_relay_late_kill(void **state)
{
	struct err err = ERR_INIT;
	struct relay_end end;

	relay_hold_signals();
	(void)kill(getpid(), SIGTERM);
	if (relay_with(*state, serve_late_kill, &end, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(end.status, 5);
}

static void
serve_slow_delete(int conn)
{
	struct pollfd p = {.fd = conn, .events = POLLIN};
	uint32_t stream;

	shim_answer_wait(conn, shim_asked(conn, "Wait"), 3);
	stream = shim_asked(conn, "Delete");
	/* it is behind something else; nobody asks any more, nor hangs up */
	if (poll(&p, 1, 2000) != 0)
		_exit(1);
	shim_answer_empty(conn, stream);
}

/* A request whose connection closes is not begun: so `wait` stays until it is done. */
static void
test_client_wait_deletes(void **state)
{
	AUTO_FREE char *path = path_in(*state, "s");
	AUTO_FREE char *dir = mem_printf("%s/default/web.0123abcd", (char *)*state);
	AUTO_FREE char *text = mem_printf("worker_state=ready\nsocket=%s\n", path);
	pid_t keeper, shim;

	pods_make(*state);
	keeper = keeper_start(dir, text);
	shim = shim_start(path, serve_slow_delete);
	AUTO_RUN struct run r = RUN(*state, "wait", "front", "podshimctl-1");
	assert_string_equal(r.err, "");
	assert_string_equal(r.out, "3\n");
	assert_int_equal(r.code, 3);
	shim_end(shim);
	keeper_stop(keeper);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_client_upgrade_and_restart),
	    TEST_IN_DIR(test_client_crashes),
	    TEST_IN_DIR(test_client_crashes_has_names),
	    TEST_IN_DIR(test_client_whole_names),
	    TEST_IN_DIR(test_client_exec_not_run),
	    TEST_IN_DIR(test_client_exec_last_words),
	    TEST_IN_DIR(test_client_exec_lost),
	    TEST_IN_DIR(test_client_exec_two_signals),
	    TEST_IN_DIR(test_client_exec_gives_up),
	    TEST_IN_DIR(test_client_exec_late_kill),
	    TEST_IN_DIR(test_client_relay_does_not_block),
	    TEST_IN_DIR(test_client_relay_gives_up),
	    TEST_IN_DIR(test_client_relay_late_kill),
	    TEST_IN_DIR(test_client_wait_deletes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * worker/runtime: the vectors word for word, and failures made by hand and by
 * the real runc and crun.
 */
#include "oci/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "oci/options.h"

static char dir[] = "/tmp/test_runtime.XXXXXX";
static char log_path[64];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(log_path, sizeof log_path, "%s/log", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(log_path);
	return rmdir(dir);
}

static char runc[] = "runc", crun[] = "/opt/crun", root[] = "/r";
static const struct options plain = {.binary_name = runc};
static const struct options rich = {.binary_name = crun,
    .root = root,
    .systemd_cgroup = true,
    .no_pivot_root = true,
    .no_new_keyring = true};
static const struct runtime_target target = {
    .opts = &plain, .ns = "k8s.io", .id = "c1", .bundle = "/b", .log_path = "/l"};
static const struct runtime_target rich_target = {
    .opts = &rich, .ns = "moby", .id = "c1", .bundle = "/b", .log_path = "/l"};

static void
check(struct strv *argv, const char *want)
{
	char got[1024];
	size_t i, n = 0;

	for (i = 0; i < argv->n; i++)
		n += (size_t)snprintf(
		    got + n, sizeof got - n, "%s%s", i ? " " : "", argv->v[i]);
	assert_string_equal(got, want);
	assert_null(argv->v[argv->n]);
	strv_fini(argv);
}

#define GLOBAL "runc --root /run/containerd/runc/k8s.io --log /l --log-format json "
#define RICH   "/opt/crun --root /r/moby --log /l --log-format json --systemd-cgroup "

static void
test_runtime_vectors(void **state)
{
	static const char *const ns[] = {"network"};
	const struct runtime_checkpoint_opts ckpt = {.image_path = "/i",
	    .work_path = "/w",
	    .exit = true,
	    .open_tcp = true,
	    .empty_namespaces = ns,
	    .n_empty_namespaces = 1};
	const struct runtime_checkpoint_opts from = {
	    .image_path = "/i", .parent_path = "/p"};
	struct strv argv = {0};

	(void)state;
	runtime_create(&argv, &target, "/p/init.pid", false);
	check(&argv, GLOBAL "create --bundle /b --pid-file /p/init.pid c1");
	runtime_create(&argv, &rich_target, "/p/init.pid", true);
	check(&argv,
	    RICH "create --bundle /b --pid-file /p/init.pid --console-socket @console@ "
		 "--no-pivot --no-new-keyring c1");
	runtime_start(&argv, &target);
	check(&argv, GLOBAL "start c1");
	runtime_exec(&argv, &target, "/p/e.json", "/p/e.pid", true);
	check(&argv,
	    GLOBAL "exec --process /p/e.json --console-socket @console@ --detach "
		   "--pid-file /p/e.pid c1");
	runtime_kill(&argv, &target, SIGTERM, false);
	check(&argv, GLOBAL "kill c1 15");
	runtime_kill(&argv, &rich_target, 34, true);
	check(&argv, RICH "kill --all c1 34");
	runtime_delete(&argv, &target, false);
	check(&argv, GLOBAL "delete c1");
	runtime_delete(&argv, &target, true);
	check(&argv, GLOBAL "delete --force c1");
	runtime_pause(&argv, &target);
	check(&argv, GLOBAL "pause c1");
	runtime_resume(&argv, &target);
	check(&argv, GLOBAL "resume c1");
	runtime_update(&argv, &target);
	check(&argv, GLOBAL "update --resources=- c1");
	runtime_checkpoint(&argv, &target, &ckpt);
	check(&argv,
	    GLOBAL "checkpoint --image-path /i --work-path /w --tcp-established "
		   "--empty-ns network c1");
	runtime_checkpoint(&argv, &target, &from);
	check(&argv,
	    GLOBAL "checkpoint --image-path /i --parent-path /p --leave-running c1");
	runtime_restore(&argv, &target, "/p/init.pid", false, &from);
	check(&argv,
	    GLOBAL "restore --image-path /i --parent-path /p --detach --no-subreaper "
		   "--bundle /b --pid-file /p/init.pid c1");
}

static void
check_error(const char *log, const char *printed, int status, const char *want)
{
	AUTO_FREE char *text = NULL;

	(void)unlink(log_path);
	if (log != NULL)
		assert_int_equal(
		    file_write(AT_FDCWD, log_path, log, strlen(log), 0600, NULL), 0);
	text = runtime_error("OCI runtime create failed", log_path, printed,
	    printed == NULL ? 0 : strlen(printed), status);
	assert_string_equal(text, want);
}

static void
test_runtime_error_prefers_the_logs_last_error(void **state)
{
	(void)state;
	check_error("{\"level\":\"error\",\"msg\":\"first\"}\n"
		    "{\"level\":\"error\",\"msg\":\"second\"}\n"
		    "{\"level\":\"info\",\"msg\":\"bye\"}\n\n",
	    "printed\n", 256, "OCI runtime create failed: second");
	check_error("{\"level\":\"fatal\",\"msg\":\"so\"}", NULL, 256,
	    "OCI runtime create failed: so");
	/* plain text in the log, also between good lines */
	check_error("cannot do it\n{\"level\":\"info\",\"msg\":\"x\"}\n", "printed", 256,
	    "OCI runtime create failed: cannot do it");
	check_error("text\n{\"level\":\"error\",\"msg\":\"json\"}\nmore\n", NULL, 256,
	    "OCI runtime create failed: json");
	/* objects over several lines: crun since 1.28 */
	check_error(
	    "{\n  \"msg\": \"first\",\n  \"level\": \"error\"\n}\n"
	    "{\n  \"msg\": \"no {\",\n  \"level\": \"error\",\n  \"time\": \"x\"\n}\n",
	    "p", 256, "OCI runtime create failed: no {");
	check_error("{\n  \"msg\": \"so\",\n  \"level\": \"error\"\n}\n"
		    "{\n  \"msg\": \"by the way\",\n  \"level\": \"debug\"\n}\n",
	    "p", 256, "OCI runtime create failed: so");
	check_error("}\n}\n", "p", 256, "OCI runtime create failed: }");
	check_error("{\"level\":\"error\",\"msg\":\"\"}\n", "p", 256,
	    "OCI runtime create failed: p");
	check_error(
	    "{\"level\":7,\"msg\":[]}\n[]\n", "p", 256, "OCI runtime create failed: []");
}

static void
test_runtime_error_without_log(void **state)
{
	AUTO_FREE char *text = NULL;

	(void)state;
	check_error(NULL, "one\n  two  \n\n", 256, "OCI runtime create failed: two");
	check_error("", " \n", 256, "OCI runtime create failed: exit status 1");
	check_error("\n\n", NULL, 127 << 8, "OCI runtime create failed: exit status 127");
	check_error(NULL, NULL, SIGKILL,
	    "OCI runtime create failed: killed by signal 9 (Killed)");
	text = runtime_error("x", NULL, NULL, 0, 0);
	assert_string_equal(text, "x: exit status 0");
}

static void
test_runtime_error_is_short_utf8(void **state)
{
	AUTO_FREE char *big = mem_zalloc(200001), *text = NULL;
	static const char tail[] = "\n{\"level\":\"error\",\"msg\":\"a\xff\x62\"}\n";
	size_t i;

	(void)state;
	check_error("{\"level\":\"error\",\"msg\":\"a\xff\x62\"}\n", NULL, 256,
	    "OCI runtime create failed: a?b");
	check_error(NULL, "\xc3", 256, "OCI runtime create failed: ?");
	/* an error behind more log than is read */
	memset(big, 'x', 200000);
	memcpy(big + 200000 - sizeof tail, tail, sizeof tail);
	assert_int_equal(file_write(AT_FDCWD, log_path, big, 200000, 0600, NULL), 0);
	text = runtime_error("w", log_path, NULL, 0, 256);
	assert_string_equal(text, "w: a?b");
	free(text);
	/* two-byte characters: the cut falls between them */
	for (i = 0; i + 1 < 8000; i += 2)
		memcpy(big + i, "\xc3\xa9", 2);
	text = runtime_error("w", NULL, big, 8000, 256);
	assert_true(strlen(text) == 4095);
	assert_memory_equal(text + 4093, "\xc3\xa9", 3);
}

static void
test_runtime_error_ignores_what_is_not_a_file(void **state)
{
	AUTO_FREE char *text = NULL;

	(void)state;
	text = runtime_error("w", "/dev/zero", "p", 1, 256);
	assert_string_equal(text, "w: p");
}

/* Run a vector in a private mount namespace (crun dislikes hybrid hosts). */
static int
run(struct strv *argv)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		AUTO_STRV struct strv sh = {0};
		size_t i;

		strv_add(&sh, "unshare");
		strv_add(&sh, "-m");
		strv_add(&sh, "sh");
		strv_add(&sh, "-c");
		strv_add(&sh, "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"");
		strv_add(&sh, "sh");
		for (i = 0; i < argv->n; i++)
			strv_add(&sh, argv->v[i]);
		(void)!freopen("/dev/null", "w", stderr);
		(void)execvp(sh.v[0], sh.v);
		_exit(126);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
check_gone(const char *binary)
{
	struct options opts = {0};
	struct runtime_target t = {.opts = &opts,
	    .ns = "n",
	    .id = "podshim-test-nothing",
	    .bundle = dir,
	    .log_path = log_path};
	unsigned verb;

	opts.binary_name = mem_strdup(binary);
	opts.root = mem_printf("%s/root", dir);
	for (verb = 0; verb < 4; verb++) {
		AUTO_STRV struct strv argv = {0};
		AUTO_FREE char *text = NULL;
		int status;

		(void)unlink(log_path);
		switch (verb) {
		case 0: runtime_kill(&argv, &t, 9, false); break;
		case 1: runtime_delete(&argv, &t, false); break;
		case 2: runtime_start(&argv, &t); break;
		case 3: runtime_pause(&argv, &t); break;
		}
		status = run(&argv);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) >= 126) {
			print_message("%s cannot be run here, ignoring\n", binary);
			break;
		}
		assert_int_not_equal(status, 0);
		text = runtime_error("failed", log_path, NULL, 0, status);
		if (!runtime_error_is_gone(text))
			fail_msg("%s: %s", binary, text);
	}
	{
		AUTO_FREE char *sub = mem_printf("%s/n", opts.root);

		(void)rmdir(sub);
		(void)rmdir(opts.root);
	}
	options_fini(&opts);
}

static void
test_runtime_error_gone_as_real_runtimes_say_it(void **state)
{
	AUTO_STRV struct strv nothing = {0};

	(void)state;
	strv_add(&nothing, "true");
	if (run(&nothing) != 0) /* unshare may not */
		skip();
	check_gone("runc");
	check_gone("crun");
}

static void
test_runtime_error_gone_words(void **state)
{
	static const char *const gone[] = {"container not running",
	    "kill container: No such process", "the container `t1` is not running",
	    "os: process already finished", "unable to signal init: No such process"};
	static const char *const other[] = {"", "exit status 1",
	    "exec: \"x\": stat /x: no such file or directory", "permission denied",
	    "rootfs does not exist", "cannot open directory 'x': Permission denied"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(gone); i++)
		assert_true(runtime_error_is_gone(gone[i]));
	for (i = 0; i < ARRAY_LEN(other); i++)
		assert_false(runtime_error_is_gone(other[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_runtime_vectors),
	    cmocka_unit_test(test_runtime_error_prefers_the_logs_last_error),
	    cmocka_unit_test(test_runtime_error_without_log),
	    cmocka_unit_test(test_runtime_error_is_short_utf8),
	    cmocka_unit_test(test_runtime_error_ignores_what_is_not_a_file),
	    cmocka_unit_test(test_runtime_error_gone_words),
	    cmocka_unit_test(test_runtime_error_gone_as_real_runtimes_say_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

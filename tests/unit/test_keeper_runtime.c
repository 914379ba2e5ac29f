/*
 * A container with a terminal, made by real runtimes: the keeper takes the pty
 * master itself, adopts the process, and a worker's death between any two
 * steps costs nothing. Skipped where there is no runtime or no right to use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "keeper_rig.h"

/* crun cannot work with this hybrid cgroup tree: hide the empty cgroup2 from it */
#define CRUN_WRAP                                                                        \
	"unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"' sh "  \
	"crun"

static const char config[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,"
    "\"gid\":0},"
    "\"args\":[\"/bin/sh\",\"-c\",\"tty; read x; echo got $x; exit 9\"],"
    "\"env\":[\"PATH=/bin\"],\"cwd\":\"/\"},\"root\":{\"path\":\"rootfs\"},"
    "\"hostname\":\"keeper-test\",\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
    "\"options\":[\"newinstance\",\"ptmxmode=0666\"]}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
    "{\"type\":\"mount\"}]}}";

static int
run(const char *script, const char *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, 1);
		(void)dup2(null, 2);
		(void)execlp("sh", "sh", "-c", script, "sh", arg, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
make_bundle(struct rig *rig)
{
	int fd = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(
	    run("mkdir -p $1/bundle/rootfs/bin $1/bundle/rootfs/proc "
		"$1/bundle/rootfs/dev && cp /bin/busybox $1/bundle/rootfs/bin/sh && "
		"cp /bin/busybox $1/bundle/rootfs/bin/tty",
		rig->dir),
	    0);
	assert_int_equal(
	    file_write(fd, "bundle/config.json", config, strlen(config), 0600, NULL), 0);
	(void)close(fd);
}

/* Read from the terminal until this shows up. */
static void
expect_output(int tty, const char *text)
{
	char buf[1024];
	size_t len = 0;

	while (len < sizeof buf - 1) {
		struct pollfd pfd = {.fd = tty, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, RIG_WAIT_MS), 1);
		n = read(tty, buf + len, sizeof buf - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		buf[len] = '\0';
		if (strstr(buf, text) != NULL)
			return;
	}
	fail_msg("'%s' does not say '%s'", buf, text);
}

static void
spawn_create(struct rig *rig, uint64_t key, char *script)
{
	_Alignas(8) char buf[4096];
	char sh[] = "sh", c[] = "-c", console[] = SPAWN_CONSOLE_ARG;
	char *argv[] = {sh, c, script, sh, console, NULL};
	struct msg_spawn m = {.key = key,
	    .flags = SPAWN_ADOPT | SPAWN_CONSOLE,
	    .argv = argv,
	    .cwd = rig->pod_dir,
	    .pid_file = "init.pid"};
	struct msg_head head;

	assert_true(msg_encode_spawn(&head, buf, sizeof buf, &m) > 0);
	rig_send(rig, &head, buf, NULL, 0);
}

/* A worker that is told of the one step, before its GO or behind it, until that is over. */
static void
boot_with_step(struct rig *rig, struct msg_step *step)
{
	struct msg_head ready = {.type = MSG_READY};
	struct rig_packet p = {0};

	rig_take_worker(rig);
	rig_hello(rig);
	step->state = STEP_RUNNING;
	while (p.head.type != MSG_GO) {
		rig_recv(rig, &p);
		if (p.head.type == MSG_SYNC)
			rig_send(rig, &ready, NULL, NULL, 0);
		if (p.head.type == MSG_STEP)
			assert_int_equal(
			    msg_decode_step(&p.head, p.payload, step, NULL), 0);
	}
	if (step->state == STEP_RUNNING)
		rig_recv_step(rig, step);
}

static void
try_runtime(const char *runtime)
{
	struct rig *rig = rig_new(NULL);
	const uint64_t create = KEY_INTERNAL | 0xabc, start = KEY_INTERNAL | 0xabd;
	char script[1024], id[64], name[64];
	struct msg_step step;
	struct msg_exit ex;
	struct rig_packet p;
	int tty;

	make_bundle(rig);
	(void)snprintf(id, sizeof id, "keeper-test-%ld", (long)getpid());
	rig_boot(rig);
	(void)snprintf(script, sizeof script,
	    "%s --root %s/state create --bundle %s/bundle --pid-file %s/init.pid "
	    "--console-socket \"$1\" %s > err 2>&1",
	    runtime, rig->dir, rig->dir, rig->pod_dir, id);
	spawn_create(rig, create, script);
	rig_kill_worker(rig); /* before anything of it has happened */
	boot_with_step(rig, &step);
	if (step.state == STEP_FAILED)
		fail_msg("create: %s (%s)", step.text, strerror(step.error));
	assert_int_equal(step.wait_status, 0);
	assert_int_equal(step.state, STEP_DONE);
	assert_true(step.child_pid > 0);
	/* the socket is gone again */
	assert_int_equal(faccessat(rig->pod_dir_fd, "tty.8000000000000abc", F_OK, 0), -1);
	(void)snprintf(
	    script, sizeof script, "%s --root %s/state start %s", runtime, rig->dir, id);
	rig_spawn_sh(rig, start, 0, NULL, script);
	rig_recv_step(rig, &step);
	assert_int_equal(step.wait_status, 0);
	rig_kill_worker(rig);
	rig_boot(rig);
	(void)snprintf(name, sizeof name, "tty/%llx", (unsigned long long)create);
	rig_send_name(rig, MSG_FD_GET, name, 0, -1);
	rig_recv_type(rig, MSG_FD, &p);
	assert_int_equal(p.head.b, 0);
	tty = p.fds[0];
	assert_true((fcntl(tty, F_GETFL) & O_NONBLOCK) != 0);
	expect_output(tty, "/dev/pts/0");
	assert_int_equal(write(tty, "hello\n", 6), 6);
	expect_output(tty, "got hello");
	(void)close(tty);
	rig_recv_exit(rig, &ex);
	assert_true(ex.key == create);
	assert_true(WIFEXITED(ex.wait_status) && WEXITSTATUS(ex.wait_status) == 9);
	(void)snprintf(script, sizeof script, "%s --root %s/state delete --force %s",
	    runtime, rig->dir, id);
	assert_int_equal(run(script, ""), 0);
	rig_free(rig);
}

static void
test_keeper_with_runc(void **state)
{
	(void)state;
	if (geteuid() != 0 || run("runc --version", "") != 0 ||
	    run("unshare -m true", "") != 0)
		skip();
	try_runtime("runc");
}

static void
test_keeper_with_crun(void **state)
{
	(void)state;
	if (geteuid() != 0 || run("crun --version", "") != 0 ||
	    run("unshare -m true", "") != 0)
		skip();
	try_runtime(CRUN_WRAP);
}

/* The runtime leaves well, but without a terminal; or brings something else. */
static void
test_keeper_console_that_never_comes(void **state)
{
	struct rig *rig = rig_new(NULL);
	struct msg_step step;

	(void)state;
	rig_boot(rig);
	rig_spawn_sh(rig, KEY_INTERNAL | 1, SPAWN_CONSOLE, NULL, "true");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_FAILED);
	assert_int_equal(step.error, ENOTCONN);
	rig_spawn_sh(rig, KEY_INTERNAL | 2, SPAWN_CONSOLE, NULL, "exit 3");
	rig_recv_step(rig, &step);
	assert_int_equal(step.state, STEP_DONE);
	assert_int_equal(WEXITSTATUS(step.wait_status), 3);
	assert_int_equal(rig_status(rig, "fds"), 0);
	rig_free(rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keeper_with_runc),
	    cmocka_unit_test(test_keeper_with_crun),
	    cmocka_unit_test(test_keeper_console_that_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

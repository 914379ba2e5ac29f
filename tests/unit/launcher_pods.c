/*
 * Pods and containers of tests; see launcher_pods.h.
 */
#include "launcher_pods.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"

/* --- containers of ours -------------------------------------------------------- */

char *runtime, *runtime_root, *runtime_log;

/* A process to kill, a bundle, and a state directory as the runtime would have. */
struct container
container_new(const char *id)
{
	struct container c = {
	    .id = id, .bundle = mem_printf("%s/%s", top, id), .made = clock_real_ns()};
	AUTO_FREE char *state = mem_printf("%s/%s", runtime_root, id);

	assert_int_equal(mkdir(c.bundle, 0700), 0);
	assert_int_equal(dir_make(state, 0700, NULL), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	c.start_time = start_time_of(c.pid);
	return c;
}

bool
container_is_alive(const struct container *c)
{
	return waitpid(c->pid, NULL, WNOHANG) == 0;
}

void
container_end(struct container *c)
{
	if (c->pid > 0 && container_is_alive(c)) {
		(void)kill(c->pid, SIGKILL);
		(void)waitpid(c->pid, NULL, 0);
	}
	free(c->bundle);
}

/* Rows as the worker of pod `pod` would have written them. */
struct store *
store_of(const char *pod)
{
	struct store_identity id = {.ns = "test", .group = pod, .build = "test"};
	AUTO_FREE char *dir = pod_file(pod, "");
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc = store_open(dir, &id, false, &st, NULL, &err);

	if (rc < 0)
		(void)fprintf(stderr, "%s\n", err.text);
	assert_true(rc >= 0);
	assert_int_equal(store_commit_migration(st, NULL), 0);
	return st;
}

void
store_put(
    struct store *st, const struct container *c, enum task_state state, uint32_t status)
{
	struct row_container row = {.id = c->id,
	    .bundle = c->bundle,
	    .runtime = runtime,
	    .runtime_root = runtime_root,
	    .state = state};
	struct row_process proc = {.container = c->id,
	    .pid = c->pid,
	    .start_time = c->start_time,
	    .state = state,
	    .exit_status = status,
	    .exited_at = state == TASK_STOPPED ? 9 * NS_PER_S : 0};

	store_begin(st);
	store_put_container(st, &row);
	store_put_process(st, &proc);
	assert_int_equal(store_commit(st, STORE_MUST, NULL), 0);
}

void
record(const char *pod, const struct container *c, enum task_state state, uint32_t status)
{
	struct store *st = store_of(pod);

	store_put(st, c, state, status);
	store_close(st);
}

/* --- asking and reading ------------------------------------------------------------ */

pid_t
delete_launch(const char *id, const char *cwd, int out[2])
{
	return launch(WORDS("-namespace", "test", "-address", grpc, "-publish-binary",
			  "/bin/true", "-id", id, "-bundle", cwd, "delete"),
	    "", 0, cwd, out);
}

/* Until it is the launcher, no longer our copy with all that we hold; or is gone. */
static void
wait_exec(pid_t pid)
{
	AUTO_FREE char *exe = mem_printf("/proc/%d/exe", pid);
	boot_us_t end = clock_boot_us() + PATIENCE_US;
	char to[256] = "";

	while (strstr(to, "containerd-shim-podshim-v1") == NULL) {
		ssize_t n = readlink(exe, to, sizeof to - 1);

		if (n <= 0)
			return;
		to[n] = '\0';
		assert_true(clock_boot_us() < end);
	}
}

void
delete_wait_open(pid_t pid, const char *path)
{
	AUTO_FREE char *fds = mem_printf("/proc/%d/fd", pid);
	boot_us_t end = clock_boot_us() + PATIENCE_US;
	bool found = false;

	wait_exec(pid);
	while (!found) {
		DIR *dir = opendir(fds);
		struct dirent *d;
		/* until it is reaped there is a directory, an empty one */
		bool gone = true;
		char to[256];

		while (dir != NULL && (d = readdir(dir)) != NULL) {
			ssize_t n = readlinkat(dirfd(dir), d->d_name, to, sizeof to - 1);

			to[n > 0 ? n : 0] = '\0';
			found |= strcmp(to, path) == 0;
			gone &= n <= 0;
		}
		if (dir != NULL)
			(void)closedir(dir);
		found |= gone;
		assert_true(clock_boot_us() < end);
	}
}

struct told
delete_collect(pid_t pid, int out[2])
{
	struct result r = collect(pid, out);
	Containerd__Task__V2__DeleteResponse *d;
	struct told told;

	assert_int_equal(r.status, 0);
	assert_true(r.took_us < PATIENCE_US);
	assert_true(r.out_len > 0);
	d = containerd__task__v2__delete_response__unpack(
	    NULL, r.out_len, (uint8_t *)r.out);
	assert_non_null(d);
	told = (struct told){.pid = d->pid,
	    .status = d->exit_status,
	    .exited_at = wire_timestamp_ns(d->exited_at),
	    .err = steal_ptr(&r.err)};
	containerd__task__v2__delete_response__free_unpacked(d, NULL);
	result_fini(&r);
	return told;
}

void
expect_delete(const struct container *c, uint32_t status)
{
	int out[2];
	pid_t pid = delete_launch(c->id, c->bundle, out);
	struct told told = delete_collect(pid, out);

	if (told.err[0] != '\0')
		(void)fprintf(stderr, "# stderr: %s", told.err);
	assert_int_equal(told.pid, c->pid);
	assert_int_equal(told.status, status);
	assert_string_equal(told.err, "");
	if (status == 137 || status == 255)
		assert_in_range(told.exited_at, c->made, clock_real_ns());
	else
		assert_true(told.exited_at == 9 * NS_PER_S);
	free(told.err);
}

void
expect_runtime_ran(const struct container *c, bool ran)
{
	AUTO_FREE char *want =
	    mem_printf("--root %s/test --log %s/log.json --log-format json "
		       "delete --force %s\n",
		top, c->bundle, c->id);
	AUTO_FREE char *state = mem_printf("%s/%s", runtime_root, c->id);
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)file_read(AT_FDCWD, runtime_log, 65536, &text, &len, NULL);
	assert_int_equal(text != NULL && strstr(text, want) != NULL, ran);
	assert_int_equal(is_there(state), !ran);
}

/* A pod whose keeper is killed. */
void
dead_pod(struct container *c)
{
	AUTO_FREE char *dir = pod_file(c->id, "");
	struct result r = start(c->id, c->bundle);
	pid_t pid = keeper_pid(c->id);

	assert_int_equal(r.status, 0);
	result_fini(&r);
	write_in(dir, "worker.lock", ""); /* as a worker leaves it */
	keeper_kill(pid);
}

void
forget_keeper(const char *id)
{
	AUTO_FREE char *confession = pod_file(id, ".confession");
	AUTO_FREE char *pid = pod_file(id, ".pid");

	(void)unlink(confession);
	(void)unlink(pid);
}

void
runtime_is(const char *script)
{
	AUTO_FREE char *text =
	    mem_printf("#!/bin/sh\necho \"$@\" >>%s\n%s\n", runtime_log, script);

	assert_int_equal(
	    file_write(AT_FDCWD, runtime, text, strlen(text), 0700, NULL), 0);
}

int
pods_each_setup(void **state)
{
	(void)state;
	(void)unsetenv("FAKE_PURGE");
	(void)unlink(runtime_log);
	runtime_is(RUNTIME_WORKS);
	return 0;
}

int
pods_setup(void **state)
{
	/* mounts of ours are nobody else's business */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		(void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (launcher_setup(state) != 0)
		return -1;
	runtime = mem_printf("%s/runtime.sh", top);
	runtime_root = mem_printf("%s/test", top);
	runtime_log = mem_printf("%s/runtime.log", top);
	return 0;
}

int
pods_teardown(void **state)
{
	free(runtime);
	free(runtime_root);
	free(runtime_log);
	return launcher_teardown(state);
}

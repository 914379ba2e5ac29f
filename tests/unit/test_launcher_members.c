/*
 * `delete` of a pod's owner whose keeper is dead, with many members: each is
 * killed before anything that takes its time is done to any, and the rows are
 * not read over and over. The launcher's code runs in a child of this test, in
 * which what it calls notes a letter.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "launcher/args.h"
#include "launcher/child.h"
#include "launcher/delete.h"
#include "oci/cgroup.h"
#include "oci/record.h"
#include "state/store.h"
#include "tmpdir.h"

#define MEMBERS 40

static pid_t member[MEMBERS];

/* --- what is done, and in which order ------------------------------------------------- */

static int notes = -1;

static void
note(char what)
{
	(void)!write(notes, &what, 1);
}

/* The socket at which a new keeper appears while the members are being listed. */
static char *newcomer;

static void
newcomer_listens(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, newcomer, strlen(newcomer) + 1);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sa, sizeof sa) == -1 ||
	    listen(fd, 1) == -1)
		_exit(99);
}

int __real_pidfd_of(pid_t pid);
int __wrap_pidfd_of(pid_t pid);
int __wrap_cgroup_kill(const char *path, struct err *err);
void __wrap_cgroup_thaw_next(const char *path, char **mounts);
bool __wrap_cgroup_remove(const char *path);
int __real_store_each_container(
    struct store *st, store_container_cb cb, void *arg, struct err *err);
int __wrap_store_each_container(
    struct store *st, store_container_cb cb, void *arg, struct err *err);

/* A signal follows. */
int
__wrap_pidfd_of(pid_t pid)
{
	note('s');
	return __real_pidfd_of(pid);
}

int
__wrap_cgroup_kill(const char *path, struct err *err)
{
	(void)path;
	(void)err;
	note('k');
	return 0;
}

void
__wrap_cgroup_thaw_next(const char *path, char **mounts)
{
	(void)path;
	(void)mounts;
	note('t');
}

bool
__wrap_cgroup_remove(const char *path)
{
	(void)path;
	return true;
}

int
__wrap_store_each_container(
    struct store *st, store_container_cb cb, void *arg, struct err *err)
{
	note('r');
	if (newcomer != NULL)
		newcomer_listens();
	return __real_store_each_container(st, cb, arg, err);
}

/* --- the pod --------------------------------------------------------------------------- */

static pid_t
sleeper(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	return pid;
}

static void
put(struct store *st, const char *id, pid_t pid)
{
	const struct row_container row = {.id = id,
	    .bundle = dir,
	    .runtime = "/bin/true",
	    .runtime_root = dir,
	    .cgroup = "/nowhere",
	    .state = TASK_RUNNING};
	const struct row_process proc = {.container = id,
	    .pid = pid,
	    .start_time = record_start_ticks(pid),
	    .state = TASK_RUNNING};

	store_put_container(st, &row);
	store_put_process(st, &proc);
}

static void
make_pod(const struct args *args)
{
	const struct store_identity ident = {.ns = "n", .group = "owner", .build = "b"};
	char hash[POD_HASH_LEN + 1];
	AUTO_FREE char *name = NULL, *pod_dir = NULL;
	struct store *st;
	unsigned i;

	pod_hash(args->address, args->ns, args->id, hash);
	name = pod_name(args->id, hash);
	pod_dir = mem_printf("%s/n/%s", dir, name);
	assert_int_equal(dir_make(pod_dir, 0700, NULL), 0);
	assert_true(store_open(pod_dir, &ident, false, &st, NULL, NULL) >= 0);
	assert_int_equal(store_commit_migration(st, NULL), 0);
	store_begin(st);
	put(st, "owner", 0);
	for (i = 0; i < MEMBERS; i++) {
		AUTO_FREE char *id = mem_printf("m%02u", i);

		member[i] = sleeper();
		put(st, id, member[i]);
	}
	assert_int_equal(store_commit(st, STORE_MUST, NULL), 0);
	store_close(st);
}

static int
delete_in_child(const struct args *args)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
		_exit(delete_run(args, NULL) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
test_launcher_members_are_all_killed_first(void **state)
{
	const struct args args = {
	    .ns = "n", .id = "owner", .address = "/nowhere.sock", .bundle = dir};
	char text[4096];
	size_t i, n;
	ssize_t len;

	(void)state;
	assert_int_equal(setenv("PODSHIM_STATE_ROOT", dir, 1), 0);
	make_pod(&args);
	notes = memfd_create("notes", MFD_CLOEXEC);
	assert_int_equal(delete_in_child(&args), 0);
	len = pread(notes, text, sizeof text - 1, 0);
	fd_close(&notes);
	assert_true(len > 0);
	text[len] = '\0';
	for (i = 0; i < MEMBERS; i++) {
		int status;

		assert_int_equal(waitpid(member[i], &status, 0), member[i]);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	/* after the list of members, until the first of their cgroups */
	n = strspn(strchr(text, 'r') + 1, "s");
	if (n != MEMBERS)
		fail_msg("%zu: %s", n, text);
	/* once for that list */
	assert_null(strchr(strchr(text, 'r') + 1, 'r'));
}

/* A pod of the same name, started anew meanwhile: its containers are nobody's to kill. */
static void
test_launcher_members_of_a_new_keeper_live(void **state)
{
	const struct args args = {
	    .ns = "n", .id = "owner", .address = "/nowhere.sock", .bundle = dir};
	AUTO_FREE char *address = NULL, *path = NULL;
	char hash[POD_HASH_LEN + 1];
	size_t i;

	(void)state;
	assert_int_equal(setenv("PODSHIM_STATE_ROOT", dir, 1), 0);
	make_pod(&args);
	pod_hash(args.address, args.ns, args.id, hash);
	newcomer = mem_printf("%s/%s", dir, hash);
	address = mem_printf("unix://%s", newcomer);
	path = mem_printf("%s/address", dir);
	assert_int_equal(
	    file_write(AT_FDCWD, path, address, strlen(address), 0600, NULL), 0);
	assert_int_equal(delete_in_child(&args), 0);
	free(steal_ptr(&newcomer));
	for (i = 0; i < MEMBERS; i++) {
		assert_int_equal(waitpid(member[i], NULL, WNOHANG), 0);
		assert_int_equal(kill(member[i], SIGKILL), 0);
		assert_int_equal(waitpid(member[i], NULL, 0), member[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_launcher_members_are_all_killed_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_launcher_members_of_a_new_keeper_live, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

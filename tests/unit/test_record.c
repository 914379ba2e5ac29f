/*
 * oci/record and launcher/account: what is a container's, and what only bears its name.
 */
#include "oci/record.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "launcher/account.h"
#include "tmpdir.h"

static enum record_owner
owner_of(const char *file, const char *text, const char *bundle)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
	enum record_owner owner;

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
	owner = record_owner(dir, bundle);
	(void)unlink(path);
	return owner;
}

static void
test_record_tells_whose_it_is(void **state)
{
	static const char *const runc =
	    "{\"id\":\"x\",\"config\":{\"labels\":[\"my=1\",\"bundle=/b/x\"]}}";
	static const char *const crun =
	    "{\"pid\":1,\"bundle\":\"/b/x\",\"rootfs\":\"/\"}";

	(void)state;
	assert_int_equal(record_owner(dir, "/b/x"), RECORD_NONE);
	assert_int_equal(owner_of("state.json", runc, "/b/x"), RECORD_OURS);
	assert_int_equal(owner_of("state.json", runc, "/b"), RECORD_ANOTHERS);
	assert_int_equal(owner_of("state.json", runc, "/b/x2"), RECORD_ANOTHERS);
	assert_int_equal(owner_of("state.json", runc, NULL), RECORD_ANOTHERS);
	assert_int_equal(owner_of("status", crun, "/b/x"), RECORD_OURS);
	assert_int_equal(owner_of("status", crun, "/c/x"), RECORD_ANOTHERS);
	assert_int_equal(owner_of("status", "{\"pid\":1}", "/b/x"), RECORD_NONE);
	/* what a label only ends with */
	assert_int_equal(
	    owner_of("state.json", "[\"notbundle=/b/x\"]", "/b/x"), RECORD_NONE);
	assert_int_equal(owner_of("state.json", "[\"bundle=", "/b/x"), RECORD_NONE);
}

/* /var/run is a link to /run; and the bundle is the first to go. */
static void
test_record_knows_links(void **state)
{
	AUTO_FREE char *real = mem_printf("%s/real", dir),
		       *link = mem_printf("%s/l", dir),
		       *gone = mem_printf("%s/gone", link),
		       *text = mem_printf("{\"bundle\": \"%s/gone\"}", real);

	(void)state;
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(owner_of("status", text, gone), RECORD_OURS);
	assert_int_equal(owner_of("status", text, link), RECORD_ANOTHERS);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(real), 0);
}

static void
test_record_start_of_a_process(void **state)
{
	siginfo_t info; /* POSIX wants one */
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_true(record_start_ticks(pid) >= record_start_ticks(getpid()));
	assert_true(record_start_ticks(getpid()) > 0);
	(void)kill(pid, SIGKILL);
	/* dead, but not reaped */
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(record_start_ticks(pid), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(record_start_ticks(pid), 0);
}

static const char *
cut(const char *path, const char *id)
{
	static char buf[128];

	(void)snprintf(buf, sizeof buf, "%s", path);
	return account_cut_cgroup(buf, id) ? buf : NULL;
}

static void
test_account_cuts_behind_the_name_alone(void **state)
{
	(void)state;
	assert_string_equal(
	    cut("/sys/fs/cgroup/pids/ns/web", "web"), "/sys/fs/cgroup/pids/ns/web");
	assert_string_equal(
	    cut("/sys/fs/cgroup/ns/web/init/x", "web"), "/sys/fs/cgroup/ns/web");
	assert_string_equal(
	    cut("/sys/fs/cgroup/k.slice/cri-containerd-web.scope/c", "web"),
	    "/sys/fs/cgroup/k.slice/cri-containerd-web.scope");
	assert_string_equal(
	    cut("/sys/fs/cgroup/a/web.scope", "web"), "/sys/fs/cgroup/a/web.scope");
	/* ids that other names contain */
	assert_null(cut("/sys/fs/cgroup/system.slice/postgres.service", "c"));
	assert_null(cut("/sys/fs/cgroup/default/db", "a"));
	assert_null(cut("/sys/fs/cgroup/ns/web2", "web"));
	assert_null(cut("/sys/fs/cgroup/webapps/db", "web"));
	assert_null(cut("/sys/fs/cgroup/x/crun-myweb.scope", "web"));
	assert_null(cut("/sys/fs/cgroup/x/web.slice", "web"));
	assert_null(cut("", "web"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    T(test_record_tells_whose_it_is),
	    T(test_record_knows_links),
	    cmocka_unit_test(test_record_start_of_a_process),
	    cmocka_unit_test(test_account_cuts_behind_the_name_alone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * worker/cgroup: the right directory out of /proc's texts for v1, v2 and
 * hybrid hosts; and with real cgroups and processes of this test's own:
 * members, killing (forking, frozen, v2), removal. What this host or user
 * cannot do is skipped with a word.
 */
#include "oci/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

/* --- texts -------------------------------------------------------------------- */

#define V1_MOUNTS                                                                        \
	"24 1 0:22 / /proc rw - proc proc rw\n"                                          \
	"30 25 0:26 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup "               \
	"rw,name=systemd\n"                                                              \
	"31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"    \
	"32 25 0:28 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"            \
	"33 25 0:29 / /sys/fs/cgroup/pids rw shared:1 master:2 - cgroup cgroup "         \
	"rw,pids\n"                                                                      \
	"34 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"              \
	"broken line - cgroup\n - cgroup x\n"
#define V2_MOUNT     "40 25 0:40 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID_MOUNT "41 25 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static void
check_resolve(const char *theirs, const char *ours, const char *mounts,
    const char *controller, const char *want)
{
	AUTO_FREE char *path = NULL;
	int rc = cgroup_resolve(theirs, ours, mounts, controller, &path, NULL);

	if (want == NULL) {
		assert_int_equal(rc, -ENOENT);
		assert_null(path);
	} else {
		assert_int_equal(rc, 0);
		assert_string_equal(path, want);
	}
}

static void
test_cgroup_resolve_v1(void **state)
{
	static const char all[] = "9:name=systemd:/k/c\n8:pids:/k/c\n5:devices:/k/c\n"
				  "4:memory:/k/c\n1:cpu,cpuacct:/k/c\n";
	static const char self[] =
	    "9:name=systemd:/s\n8:pids:/s\n5:devices:/s\n4:memory:/\n";

	(void)state;
	check_resolve(all, self, V1_MOUNTS, NULL, "/sys/fs/cgroup/pids/k/c");
	check_resolve(all, self, V1_MOUNTS, "memory", "/sys/fs/cgroup/memory/k/c");
	check_resolve(all, self, V1_MOUNTS, "cpuacct", "/sys/fs/cgroup/cpu,cpuacct/k/c");
	check_resolve(all, self, V1_MOUNTS, "rdma", NULL);
	check_resolve("8:pids:/\n5:devices:/k/c\n", self, V1_MOUNTS, NULL,
	    "/sys/fs/cgroup/devices/k/c");
	check_resolve("4:memory:/k/c\n1:name=systemd:/k/c", self, V1_MOUNTS, NULL,
	    "/sys/fs/cgroup/memory/k/c");
	check_resolve(
	    "1:name=systemd:/k/c", self, V1_MOUNTS, NULL, "/sys/fs/cgroup/systemd/k/c");
	check_resolve("8:pids:/\n5:devices:/\n", self, V1_MOUNTS, NULL, NULL);
	check_resolve("", self, V1_MOUNTS, NULL, NULL);
	check_resolve("junk\n8:pids\n:::\n", self, V1_MOUNTS, NULL, NULL);
	check_resolve("7:freezer:/k/c\n", self, V1_MOUNTS, NULL, NULL); /* not mounted */
}

static void
test_cgroup_resolve_v2_and_hybrid(void **state)
{
	(void)state;
	check_resolve("0::/k/c\n", "0::/s\n", V2_MOUNT, NULL, "/sys/fs/cgroup/k/c");
	check_resolve("0::/k/c\n", "0::/s\n", V2_MOUNT, "memory", "/sys/fs/cgroup/k/c");
	check_resolve("0::/\n", "0::/s\n", V2_MOUNT, NULL, NULL);
	check_resolve("8:pids:/k/c\n0::/k/c\n", "0::/s\n", V1_MOUNTS HYBRID_MOUNT, NULL,
	    "/sys/fs/cgroup/pids/k/c");
	check_resolve("8:pids:/\n0::/k/c\n", "0::/s\n", HYBRID_MOUNT V1_MOUNTS, NULL,
	    "/sys/fs/cgroup/unified/k/c");
}

static void
test_cgroup_resolve_never_takes_our_own(void **state)
{
	(void)state;
	check_resolve("0::/s\n", "0::/s\n", V2_MOUNT, NULL, NULL);
	check_resolve("0::/s\n", "0::/s/shim\n", V2_MOUNT, NULL, NULL);
	check_resolve("0::/s/ctr\n", "0::/s\n", V2_MOUNT, NULL, "/sys/fs/cgroup/s/ctr");
	check_resolve("0::/sx\n", "0::/s\n", V2_MOUNT, NULL, "/sys/fs/cgroup/sx");
	check_resolve("8:pids:/s\n5:devices:/k\n", "5:devices:/s\n8:pids:/s/x\n",
	    V1_MOUNTS, NULL, "/sys/fs/cgroup/devices/k");
}

static void
test_cgroup_resolve_part_of_a_hierarchy(void **state)
{
	static const char mounts[] =
	    "1 2 0:1 /docker/x /sys/fs/cgroup/my\\040pids rw - cgroup cgroup rw,pids\n";

	(void)state;
	check_resolve(
	    "8:pids:/docker/x/c\n", "", mounts, NULL, "/sys/fs/cgroup/my pids/c");
	check_resolve("8:pids:/docker/xy/c\n", "", mounts, NULL, NULL);
	check_resolve("8:pids:/../other\n", "", V1_MOUNTS, NULL, NULL);
}

static void
check_spec(const char *cgroups_path, bool systemd, const char *want)
{
	AUTO_FREE char *path = cgroup_spec_path(cgroups_path, systemd);

	if (want == NULL)
		assert_null(path);
	else
		assert_string_equal(path, want);
}

/* As runc's ExpandSlice() and getUnitName(). */
static void
test_cgroup_of_spec_path(void **state)
{
	(void)state;
	check_spec("/k/c", false, "/k/c");
	check_spec("k/c", false, NULL);
	check_spec("a.slice:cri:x", false, NULL);
	check_spec("kubepods-burstable-pod1_2.slice:cri-containerd:x", true,
	    "/kubepods.slice/kubepods-burstable.slice/"
	    "kubepods-burstable-pod1_2.slice/cri-containerd-x.scope");
	check_spec("a.slice:cri:x", true, "/a.slice/cri-x.scope");
	check_spec("-.slice:cri:x", true, "/cri-x.scope");
	check_spec(":runc:x", true, "/system.slice/runc-x.scope");
	check_spec("a.slice::x", true, "/a.slice/-x.scope");
	check_spec("a.slice:cri:b.slice", true, "/a.slice/b.slice");
	check_spec("/k/c", true, NULL);
	check_spec("a.slice:x", true, NULL);
	check_spec("a.slice:b:c:d", true, NULL);
	check_spec("a.slice:cri:", true, NULL);
	check_spec("a:cri:x", true, NULL);
	check_spec(".slice:cri:x", true, NULL);
	check_spec("a--b.slice:cri:x", true, NULL);
	check_spec("-a.slice:cri:x", true, NULL);
	check_spec("a-.slice:cri:x", true, NULL);
	check_spec("a.slice:cri:../x", true, NULL);
	check_spec("", true, NULL);
}

static void
check_resolve_spec(const char *cgroups_path, bool systemd, const char *init,
    const char *self, const char *mounts, const char *want)
{
	AUTO_FREE char *path = NULL;
	int rc =
	    cgroup_resolve_spec(cgroups_path, systemd, init, self, mounts, &path, NULL);

	assert_int_equal(rc, want == NULL ? -ENOENT : 0);
	if (want != NULL)
		assert_string_equal(path, want);
}

static void
test_cgroup_of_spec_directory(void **state)
{
	static const char v1_init[] = "8:pids:/\n1:name=systemd:/init.scope\n",
			  v1_self[] = "8:pids:/s\n1:name=systemd:/s\n";

	(void)state;
	check_resolve_spec(
	    "/k/c", false, v1_init, v1_self, V1_MOUNTS, "/sys/fs/cgroup/pids/k/c");
	check_resolve_spec("a.slice:cri:x", true, v1_init, v1_self, V1_MOUNTS,
	    "/sys/fs/cgroup/pids/a.slice/cri-x.scope");
	check_resolve_spec("a.slice:cri:x", true, "1:name=systemd:/init.scope\n", v1_self,
	    V1_MOUNTS, "/sys/fs/cgroup/systemd/a.slice/cri-x.scope");
	check_resolve_spec("a.slice:cri:x", true, "0::/init.scope\n", "0::/s\n", V2_MOUNT,
	    "/sys/fs/cgroup/a.slice/cri-x.scope");
	/* systemd in a container that sees its host's cgroups */
	check_resolve_spec("a.slice:cri:x", true, "0::/docker/d/init.scope\n", "0::/s\n",
	    V2_MOUNT, "/sys/fs/cgroup/docker/d/a.slice/cri-x.scope");
	check_resolve_spec("a.slice:cri:x", true, "0::/\n",
	    "0::/a.slice/cri-x.scope/shim\n", V2_MOUNT, NULL);
	check_resolve_spec("k/c", false, "0::/\n", "0::/s\n", V2_MOUNT, NULL);
}

/* --- the real thing ------------------------------------------------------------ */

static char dirs[4][128]; /* pids, devices, freezer, cgroup2; "" where impossible */
static const char *mounts[4] = {"/pids", "/devices", "/freezer", "/unified"};
static char home_v2[512]; /* where the test itself runs */

static void
find_home_v2(void)
{
	AUTO_FREE char *text = NULL;
	const char *own;
	size_t len;

	assert_int_equal(
	    file_read(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &len, NULL), 0);
	own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (own == NULL)
		return;
	own = strchr(own, '/');
	(void)snprintf(home_v2, sizeof home_v2, "/sys/fs/cgroup%s%.*s", mounts[3],
	    (int)strcspn(own, "\n"), own);
}

static int
setup(void **state)
{
	size_t i;

	(void)state;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		mounts[3] = ""; /* cgroup2 alone */
	find_home_v2();
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		(void)snprintf(dirs[i], sizeof dirs[i],
		    "/sys/fs/cgroup%s/podshim-test-%ld", mounts[i], (long)getpid());
		if (mkdir(dirs[i], 0755) == -1)
			dirs[i][0] = '\0';
	}
	return 0;
}

static void
reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int
teardown(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i][0] != '\0' && cgroup_kill(dirs[i], NULL) == 0)
			cgroup_thaw(dirs[i]);
	}
	reap_all();
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i][0] != '\0')
			(void)cgroup_remove(dirs[i]);
	}
	return 0;
}

static void
need(size_t i)
{
	if (dirs[i][0] != '\0')
		return;
	print_message(
	    "no cgroup%s hierarchy that we may use here, skipping\n", mounts[i]);
	skip();
}

static void
put(const char *dir, const char *file, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("write '%s' to %s: %s", text, path, strerror(errno));
}

static void
make(const char *dir, const char *file, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, file);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

/* The text of a file that goes; *text is freed first. */
static void
take(const char *dir, const char *file, char **text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
	size_t len;

	free(*text);
	*text = NULL;
	assert_int_equal(file_read(AT_FDCWD, path, 4096, text, &len, NULL), 0);
	assert_int_equal(unlink(path), 0);
}

/* A child in the cgroup; bomb: it forks for as long as it can. */
static pid_t
spawn_in(const char *dir, bool bomb)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		AUTO_FREE char *path = mem_printf("%s/cgroup.procs", dir);
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd == -1 || write(fd, "0", 1) != 1)
			_exit(1);
		(void)!write(ready[1], "r", 1);
		for (;;) {
			if (bomb && fork() == 0)
				continue;
			(void)poll(NULL, 0, bomb ? 1 : 1000);
		}
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	return pid;
}

/* Wait until the cgroup has n members, at most 60 s. */
static void
wait_members(const char *dir, size_t least, size_t most)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;
	size_t n;

	do {
		AUTO_FREE pid_t *pids = NULL;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		assert_int_equal(cgroup_pids(dir, &pids, &n, NULL), 0);
		if (n >= least && n <= most)
			return;
		(void)poll(NULL, 0, 5);
	} while (clock_boot_us() < end);
	fail_msg("%s has %zu members, not %zu to %zu", dir, n, least, most);
}

static void
test_cgroup_of_pid_finds_pids_hierarchy(void **state)
{
	AUTO_FREE char *path = NULL;
	struct err err;
	pid_t pid;

	(void)state;
	need(0);
	pid = spawn_in(dirs[0], false);
	assert_int_equal(cgroup_of_pid(pid, &path, &err), 0);
	assert_string_equal(path, dirs[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	free(path);
	path = NULL;
	assert_int_equal(cgroup_of_pid(pid, &path, &err), -ESRCH);
	/* we ourselves have none of our own */
	assert_int_equal(cgroup_of_pid(getpid(), &path, &err), -ENOENT);
}

static void
test_cgroup_pids_counts_those_below(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/a", dirs[0]),
		       *deep = mem_printf("%s/a/b", dirs[0]);
	AUTO_FREE pid_t *pids = NULL;
	pid_t one, two;
	size_t n;

	(void)state;
	need(0);
	assert_int_equal(mkdir(sub, 0755), 0);
	assert_int_equal(mkdir(deep, 0755), 0);
	one = spawn_in(dirs[0], false);
	two = spawn_in(deep, false);
	assert_int_equal(cgroup_pids(dirs[0], &pids, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_true(
	    (pids[0] == one && pids[1] == two) || (pids[0] == two && pids[1] == one));
	assert_int_equal(cgroup_kill(dirs[0], NULL), 0);
	assert_int_equal(waitpid(one, NULL, 0), one);
	assert_int_equal(waitpid(two, NULL, 0), two);
	wait_members(dirs[0], 0, 0);
	(void)cgroup_remove(sub);
	assert_int_equal(access(sub, F_OK), -1);
}

static void
test_cgroup_gone_or_none(void **state)
{
	AUTO_FREE pid_t *pids = NULL;
	struct err err;
	size_t n = 7;

	(void)state;
	assert_int_equal(
	    cgroup_pids("/sys/fs/cgroup/pids/podshim-no-such", &pids, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(cgroup_kill("/sys/fs/cgroup/pids/podshim-no-such", &err), 0);
	(void)cgroup_remove("/sys/fs/cgroup/pids/podshim-no-such");
	assert_int_equal(cgroup_kill("/tmp", &err), -EINVAL);
	assert_int_equal(cgroup_pids("/tmp", &pids, &n, &err), -EINVAL);
	(void)cgroup_remove("/tmp");
}

static void
test_cgroup_kill_never_kills_us(void **state)
{
	struct err err;

	(void)state;
	if (access("/sys/fs/cgroup/pids/cgroup.procs", F_OK) == -1 || dirs[0][0] == '\0')
		skip();
	put(dirs[0], "cgroup.procs", "0");
	assert_int_equal(cgroup_kill(dirs[0], &err), -EPERM);
	put("/sys/fs/cgroup/pids", "cgroup.procs", "0");
	/* not tried on a hierarchy's root: too much would depend on this test passing */
}

/* Processes that fork as fast as they can: all end. */
static void
test_cgroup_kill_ends_a_fork_bomb(void **state)
{
	(void)state;
	need(0);
	put(dirs[0], "pids.max", "300");
	(void)spawn_in(dirs[0], true);
	wait_members(dirs[0], 100, 300);
	assert_int_equal(cgroup_kill(dirs[0], NULL), 0);
	wait_members(dirs[0], 0, 0);
	assert_int_equal(cgroup_kill(dirs[0], NULL), 0);
	put(dirs[0], "pids.max", "max");
	reap_all();
}

static void
test_cgroup_kill_v2(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/a", dirs[3]);
	pid_t one, two;

	(void)state;
	need(3);
	assert_int_equal(mkdir(sub, 0755), 0);
	one = spawn_in(sub, false);
	two = spawn_in(sub, false);
	wait_members(dirs[3], 2, 2);
	assert_int_equal(cgroup_kill(dirs[3], NULL), 0);
	assert_int_equal(waitpid(one, NULL, 0), one);
	assert_int_equal(waitpid(two, NULL, 0), two);
	wait_members(dirs[3], 0, 0);
	(void)cgroup_remove(sub);
	assert_int_equal(access(sub, F_OK), -1);
}

/* Where the kernel kills all at once, those below are not looked at. */
static void
test_cgroup_kill_v2_needs_no_list(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/a", dirs[3]);
	AUTO_FREE char *file = mem_printf("%s/cgroup.kill", dirs[3]);
	struct err err;
	pid_t one;

	(void)state;
	need(3);
	if (access(file, F_OK) == -1)
		skip();
	assert_int_equal(mkdir(sub, 0755), 0);
	one = spawn_in(sub, false);
	cgroup_set_short_walks_for_test(true);
	assert_int_equal(cgroup_kill(dirs[3], NULL), 0);
	cgroup_set_short_walks_for_test(false);
	assert_int_equal(waitpid(one, NULL, 0), one);
	/* but never with us in it, however deep */
	put(sub, "cgroup.procs", "0");
	cgroup_set_short_walks_for_test(true);
	assert_int_equal(cgroup_kill(dirs[3], &err), -EPERM);
	assert_int_equal(cgroup_kill(sub, &err), -EPERM);
	cgroup_set_short_walks_for_test(false);
	put(home_v2, "cgroup.procs", "0");
	assert_int_equal(cgroup_kill(dirs[3], NULL), 0);
	(void)cgroup_remove(sub);
	assert_int_equal(access(sub, F_OK), -1);
}

/* Too many cgroups: what is seen of them dies, and it is said that that is not all. */
static void
test_cgroup_with_too_many_below(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/a", dirs[0]);
	AUTO_FREE pid_t *pids = NULL;
	struct err err = ERR_INIT;
	pid_t one, two;
	size_t n;

	(void)state;
	need(0);
	assert_int_equal(mkdir(sub, 0755), 0);
	one = spawn_in(dirs[0], false);
	two = spawn_in(sub, false);
	cgroup_set_short_walks_for_test(true);
	assert_int_equal(cgroup_pids(dirs[0], &pids, &n, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, dirs[0]));
	assert_non_null(strstr(err.text, "too many"));
	assert_int_equal(cgroup_kill(dirs[0], &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "too many"));
	cgroup_set_short_walks_for_test(false);
	assert_int_equal(waitpid(one, NULL, 0), one);
	assert_int_equal(waitpid(two, NULL, WNOHANG), 0);
	assert_int_equal(cgroup_kill(dirs[0], NULL), 0);
	assert_int_equal(waitpid(two, NULL, 0), two);
	wait_members(dirs[0], 0, 0);
	(void)cgroup_remove(sub);
}

/* What the container froze below stays so, and dies all the same; the top is thawed. */
static void
test_cgroup_thaw_v2_writes_the_top_only(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/a", dirs[3]);
	AUTO_FREE char *file = mem_printf("%s/cgroup.kill", dirs[3]);
	pid_t one;

	(void)state;
	need(3);
	if (access(file, F_OK) == -1)
		skip();
	assert_int_equal(mkdir(sub, 0755), 0);
	one = spawn_in(sub, false);
	put(sub, "cgroup.freeze", "1");
	put(dirs[3], "cgroup.freeze", "1");
	assert_true(cgroup_is_frozen(dirs[3]));
	cgroup_thaw(dirs[3]);
	assert_false(cgroup_is_frozen(dirs[3]));
	assert_true(cgroup_is_frozen(sub));
	assert_int_equal(cgroup_kill(dirs[3], NULL), 0);
	assert_int_equal(waitpid(one, NULL, 0), one);
	wait_members(dirs[3], 0, 0);
	(void)cgroup_remove(sub);
	assert_int_equal(access(sub, F_OK), -1);
}

/* A frozen v1 cgroup keeps even the killed until it is thawed. */
static void
test_cgroup_thaw_lets_the_killed_die(void **state)
{
	char text[24];
	pid_t pid;

	(void)state;
	need(0);
	need(2);
	pid = spawn_in(dirs[0], false);
	(void)snprintf(text, sizeof text, "%ld", (long)pid);
	put(dirs[2], "cgroup.procs", text);
	assert_false(cgroup_is_frozen(dirs[0]));
	put(dirs[2], "freezer.state", "FROZEN");
	assert_true(cgroup_is_frozen(dirs[0]));
	assert_int_equal(cgroup_kill(dirs[0], NULL), 0);
	/* the path is the one of the pids hierarchy, as cgroup_of_pid() gives it */
	cgroup_thaw(dirs[0]);
	assert_false(cgroup_is_frozen(dirs[0]));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	wait_members(dirs[0], 0, 0);
}

/* Files in place of a cgroup: what would be written is left in them. */
static void
test_cgroup_delegate_passes_on_what_is_missing(void **state)
{
	AUTO_FREE char *top = mem_printf("/tmp/podshim-cgroup.XXXXXX"), *mid = NULL,
		       *leaf = NULL, *text = NULL;

	(void)state;
	assert_non_null(mkdtemp(top));
	mid = mem_printf("%s/mid", top);
	leaf = mem_printf("%s/mid/leaf", top);
	assert_int_equal(mkdir(mid, 0755), 0);
	assert_int_equal(mkdir(leaf, 0755), 0);
	make(top, "cgroup.controllers", "cpu cpuset memory\n");
	make(top, "cgroup.subtree_control", "cpuset memory\n");
	make(mid, "cgroup.controllers", "memory pids\n");
	make(mid, "cgroup.subtree_control", "memory pids\n");
	make(leaf, "cgroup.controllers", "memory\n");
	make(leaf, "cgroup.subtree_control", "\n");
	cgroup_delegate(leaf);
	/* "cpu" is missing, although "cpuset" is there */
	take(top, "cgroup.subtree_control", &text);
	assert_string_equal(text, "+cpuet memory\n");
	take(mid, "cgroup.subtree_control", &text);
	assert_string_equal(text, "memory pids\n");
	/* never the container's own: its processes sit in it */
	take(leaf, "cgroup.subtree_control", &text);
	assert_string_equal(text, "\n");
	take(top, "cgroup.controllers", &text);
	take(mid, "cgroup.controllers", &text);
	take(leaf, "cgroup.controllers", &text);
	/* no cgroups at all, and a path that is none */
	cgroup_delegate(leaf);
	cgroup_delegate("");
	assert_int_equal(rmdir(leaf), 0);
	assert_int_equal(rmdir(mid), 0);
	assert_int_equal(rmdir(top), 0);
}

static void
test_cgroup_remove_in_every_hierarchy(void **state)
{
	AUTO_FREE char *sub = mem_printf("%s/x/y", dirs[1]),
		       *mid = mem_printf("%s/x", dirs[1]);
	size_t i;
	pid_t pid;

	(void)state;
	need(0);
	need(1);
	assert_int_equal(mkdir(mid, 0755), 0);
	assert_int_equal(mkdir(sub, 0755), 0);
	/* what is busy stays */
	pid = spawn_in(dirs[0], false);
	assert_false(cgroup_remove(dirs[0]));
	assert_int_equal(access(dirs[0], F_OK), 0);
	assert_int_equal(access(dirs[1], F_OK), -1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	wait_members(dirs[0], 0, 0);
	assert_true(cgroup_remove(dirs[0]));
	assert_true(cgroup_remove(dirs[0]));
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		assert_int_equal(access(dirs[i], F_OK), -1);
		dirs[i][0] = '\0';
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cgroup_resolve_v1),
	    cmocka_unit_test(test_cgroup_resolve_v2_and_hybrid),
	    cmocka_unit_test(test_cgroup_resolve_never_takes_our_own),
	    cmocka_unit_test(test_cgroup_resolve_part_of_a_hierarchy),
	    cmocka_unit_test(test_cgroup_of_spec_path),
	    cmocka_unit_test(test_cgroup_of_spec_directory),
	    cmocka_unit_test(test_cgroup_gone_or_none),
	    cmocka_unit_test(test_cgroup_of_pid_finds_pids_hierarchy),
	    cmocka_unit_test(test_cgroup_pids_counts_those_below),
	    cmocka_unit_test(test_cgroup_kill_never_kills_us),
	    cmocka_unit_test(test_cgroup_kill_ends_a_fork_bomb),
	    cmocka_unit_test(test_cgroup_kill_v2),
	    cmocka_unit_test(test_cgroup_kill_v2_needs_no_list),
	    cmocka_unit_test(test_cgroup_with_too_many_below),
	    cmocka_unit_test(test_cgroup_thaw_v2_writes_the_top_only),
	    cmocka_unit_test(test_cgroup_thaw_lets_the_killed_die),
	    cmocka_unit_test(test_cgroup_delegate_passes_on_what_is_missing),
	    cmocka_unit_test(test_cgroup_remove_in_every_hierarchy),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

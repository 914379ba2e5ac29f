/*
 * Killing and cleaning without a keeper. What can hang (a runtime, an umount of
 * a dead file server) runs in a child that is waited for only so long.
 */
#include "launcher/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launcher/account.h"
#include "launcher/child.h"
#include "oci/cgroup.h"
#include "oci/mount.h"
#include "oci/mountinfo.h"
#include "oci/record.h"
#include "oci/runtime.h"

#define DEATH_LIMIT_US	   US_PER_S
#define RUNTIME_LIMIT_US   (3 * US_PER_S)
#define RUNTIME_OUTPUT_MAX 16384u

/* --- killing -------------------------------------------------------------------- */

/* True if it was alive and is hit. */
static bool
victim_kill(const struct victim *v, int *pidfd)
{
	struct pollfd pfd = {.events = POLLIN};

	*pidfd = pidfd_of(v->pid);
	if (*pidfd < 0)
		return false;
	/* the number may have changed hands before the pidfd was open, not after */
	pfd.fd = *pidfd;
	if (!victim_is_alive(v) || poll(&pfd, 1, 0) == 1) {
		fd_close(pidfd);
		return false;
	}
	return syscall(SYS_pidfd_send_signal, *pidfd, SIGKILL, NULL, 0) == 0;
}

static bool
sweep_is_alive(const struct account *acc)
{
	size_t i;

	for (i = 0; i < acc->n_victims; i++)
		if (victim_is_alive(&acc->victims[i]))
			return true;
	return false;
}

bool
sweep_init_is_alive(const struct account *acc)
{
	return acc->n_victims > 0 && acc->victims[0].pid == acc->pid &&
	    victim_is_alive(&acc->victims[0]);
}

/* A pidfd of its init, if that was alive. */
static int
sweep_signal_all(const struct account *acc)
{
	AUTO_CLOSE int init_fd = -1;
	size_t i;

	for (i = 0; i < acc->n_victims; i++) {
		AUTO_CLOSE int pidfd = -1;

		if (victim_kill(&acc->victims[i], &pidfd) &&
		    acc->victims[i].pid == acc->pid)
			init_fd = steal_fd(&pidfd);
	}
	return steal_fd(&init_fd);
}

void
sweep_signal(const struct account *acc)
{
	AUTO_CLOSE int init_fd = sweep_signal_all(acc);

	(void)init_fd;
}

void
sweep_kill_cgroup(const struct account *acc, char **mounts)
{
	if (acc->cgroup == NULL)
		return;
	/* what has outlived its init; with pids of its own others may share the cgroup */
	if (!acc->own_pidns)
		(void)cgroup_kill(acc->cgroup, NULL);
	cgroup_thaw_next(acc->cgroup, mounts);
}

void
sweep_kill(const struct account *acc, boot_us_t end)
{
	boot_us_t limit = clock_boot_us() + DEATH_LIMIT_US;
	AUTO_CLOSE int init_fd = sweep_signal_all(acc);
	AUTO_FREE char *mounts = NULL;

	sweep_kill_cgroup(acc, &mounts);
	if (init_fd >= 0)
		(void)pidfd_wait(init_fd, limit < end ? limit : end);
}

/* --- the runtime's state and the mounts ------------------------------------------ */

static char *
state_dir_of(const struct account *acc)
{
	return mem_printf("%s/%s", acc->runtime_root, acc->id);
}

static char *
rootfs_of(const struct account *acc)
{
	return acc->bundle == NULL ? NULL : mem_printf("%s/rootfs", acc->bundle);
}

struct mount_scan {
	const char *path;
	size_t len;
	bool found;
};

static void
scan_on_mount(const struct mountinfo *m, void *arg)
{
	struct mount_scan *scan = arg;

	if (strncmp(m->target, scan->path, scan->len) == 0 &&
	    (m->target[scan->len] == '\0' || m->target[scan->len] == '/'))
		scan->found = true;
}

static bool
rootfs_is_mounted(const struct account *acc)
{
	AUTO_FREE char *rootfs = rootfs_of(acc);
	struct mount_scan scan = {.path = rootfs};

	if (rootfs == NULL)
		return false;
	scan.len = strlen(rootfs);
	(void)mountinfo_each(scan_on_mount, &scan, NULL);
	return scan.found;
}

/*
 * Has the runtime something of this container? Another one may bear its name there, of
 * another containerd with the same root or of `podshimctl run`, and our Create have
 * failed for that: the runtime's own record tells.
 */
static bool
state_dir_is_ours(const struct account *acc)
{
	AUTO_FREE char *dir = state_dir_of(acc);
	struct stat st;

	return lstat(dir, &st) == 0 && record_owner(dir, acc->bundle) != RECORD_ANOTHERS;
}

bool
sweep_is_needed(const struct account *acc)
{
	return state_dir_is_ours(acc) || sweep_is_alive(acc) || rootfs_is_mounted(acc);
}

static void
runtime_delete_run(const struct account *acc, boot_us_t end, struct err *err)
{
	AUTO_CLOSE int out_fd = memfd_bounded("runtime", RUNTIME_OUTPUT_MAX);
	AUTO_FREE char *log = acc->bundle == NULL
	    ? mem_strdup("/dev/null")
	    : mem_printf("%s/log.json", acc->bundle);
	AUTO_FREE char *printed = mem_zalloc(RUNTIME_OUTPUT_MAX + 1);
	AUTO_STRV struct strv argv = {0};
	struct runtime_target target = {.opts = &acc->options,
	    .ns = acc->ns,
	    .id = acc->id,
	    .bundle = acc->bundle,
	    .log_path = log};
	boot_us_t limit = clock_boot_us() + RUNTIME_LIMIT_US;
	int status = 0, rc;
	ssize_t n;
	pid_t pid;

	runtime_delete(&argv, &target, true);
	pid = child_run(argv.v, out_fd, out_fd);
	if (pid == -1) {
		(void)err_set(err, errno, "fork");
		return;
	}
	rc = child_wait(pid, limit < end ? limit : end, true, &status);
	if (rc < 0) {
		(void)err_set(
		    err, -rc, "'%s delete' of container '%s'", argv.v[0], acc->id);
		return;
	}
	if (status != 0) {
		n = out_fd < 0 ? 0 : pread(out_fd, printed, RUNTIME_OUTPUT_MAX, 0);
		AUTO_FREE char *why = runtime_error("OCI runtime delete failed", log,
		    printed, n > 0 ? strnlen(printed, (size_t)n) : 0, status);

		(void)err_setx(err, EPROTO, "container '%s': %s", acc->id, why);
	}
}

/*
 * A dead file server may hold the umount for ever, a busy one for some seconds.
 * The child that does it is not killed: it finishes by itself, or never.
 */
static void
rootfs_unmount(const struct account *acc, boot_us_t end, struct err *err)
{
	AUTO_FREE char *rootfs = rootfs_of(acc);
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		child_prepare(-1, -1);
		_exit(mount_undo(rootfs, NULL) < 0);
	}
	if (pid == -1)
		(void)err_set(err, errno, "fork");
	else if (child_wait(pid, end, false, &status) < 0)
		(void)err_setx(err, ETIMEDOUT, "'%s' is still being unmounted", rootfs);
	else if (status != 0)
		(void)err_setx(err, EBUSY, "'%s' could not be unmounted", rootfs);
}

void
sweep_clean(const struct account *acc, boot_us_t end, struct err *err)
{
	/* execs that were being made in it while we killed */
	if (acc->cgroup != NULL && !acc->own_pidns)
		(void)cgroup_kill(acc->cgroup, NULL);
	if (state_dir_is_ours(acc))
		runtime_delete_run(acc, end, err);
	if (rootfs_is_mounted(acc))
		rootfs_unmount(acc, end, err);
	/* a runtime killed in mid-create left it, and no runtime will remove it */
	if (acc->cgroup != NULL)
		(void)cgroup_remove(acc->cgroup);
}

/*
 * The root of a tool inside a container: an overlay of the tools' directory and a
 * tmpfs that takes all writes and vanishes, with the kernel's file systems, and
 * the container's own root below INSIDE_CONTAINER. Where the file system of the
 * tools cannot be under an overlay (it may be one twice over already), the
 * entries of their directory are bound into the tmpfs one by one, read-only.
 *
 * A link of the tools' that is meant for their root must not lead to the host's while
 * that is still ours: so what is below the new root is resolved with that as the root.
 */
#include "client/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mount.h"
#include "oci/mountinfo.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

#define ROOT_DIR    "root"
#define ETC_MAX	    (64u << 10)
#define FD_PATH	    "/proc/self/fd/%d"
#define TMPFS_LIMIT "size=50%,mode=755"

/* --- the container's root ------------------------------------------------------- */

/* Its mounts can be copied from within its mount namespace alone. */
int
inside_tree_of(int pidfd, struct err *err)
{
	AUTO_CLOSE int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int tree, saved;

	if (home == -1)
		return err_set(err, errno, "our mount namespace");
	if (setns(pidfd, CLONE_NEWNS) == -1)
		return err_set(err, errno, "enter the container's mount namespace");
	tree = (int)syscall(
	    SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
	saved = errno;
	if (setns(home, CLONE_NEWNS) == -1) {
		saved = errno;
		fd_close(&tree);
		return err_set(err, saved, "return to our mount namespace");
	}
	if (tree == -1)
		return err_set(err, saved, "copy the container's mounts");
	return tree;
}

/* Names and addresses as the container has them. */
static void
root_copy_etc(int tree)
{
	static const char *const names[] = {
	    "etc/resolv.conf", "etc/hosts", "etc/hostname"};
	/* its links lead to what it sees, not to what we see */
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	AUTO_CLOSE int etc = mount_open_target(ROOT_DIR, "etc", NULL);
	size_t i;

	for (i = 0; etc >= 0 && i < ARRAY_LEN(names); i++) {
		AUTO_CLOSE int fd =
		    (int)syscall(SYS_openat2, tree, names[i], &how, sizeof how);
		AUTO_FREE char *text = NULL;
		struct stat st;
		size_t len;

		if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
		    fd_read_all(fd, ETC_MAX, &text, &len, NULL) < 0)
			continue;
		(void)file_write(etc, &names[i][strlen("etc/")], text, len, 0644, NULL);
	}
}

/* --- the layers --------------------------------------------------------------------- */

static int
root_mount(const char *source, const char *below, const char *type, unsigned long flags,
    const char *data)
{
	AUTO_CLOSE int fd = mount_open_target(ROOT_DIR, below, NULL);
	AUTO_FREE char *target = mem_printf(FD_PATH, fd);

	if (fd < 0)
		return fd;
	return mount(source, target, type, flags, data) == -1 ? -errno : 0;
}

/* A directory of the host's; what may not be done in its mount may not be done here. */
static int
root_bind(const char *from, const char *below)
{
	struct open_how how = {
	    .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, from, &how, sizeof how);
	AUTO_FREE char *source = mem_printf(FD_PATH, fd);
	int rc;

	if (fd == -1)
		return -errno;
	rc = root_mount(source, below, NULL, MS_BIND, NULL);
	if (rc < 0)
		return rc;
	return root_mount(NULL, below, NULL,
	    mount_flags_of_fd(fd) | MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}

/* Its server may be dead, or wait for us. */
static bool
is_fuse(const struct mountinfo *m)
{
	return strncmp(m->type, "fuse", 4) == 0;
}

/* What a file system below the tools' root adds to them: /usr on its own, and the like. */
static void
root_on_mount(const struct mountinfo *m, void *arg)
{
	static const char *const where[] = {"/usr", "/opt", "/etc", "/lib", "/bin",
	    "/sbin", "/nix", "/gnu", "/root", "/home"};
	const char *tools = arg, *below = m->target;
	size_t i, len = strcmp(tools, "/") == 0 ? 0 : strlen(tools);

	if (is_fuse(m) || strncmp(m->target, tools, len) != 0)
		return;
	below += len;
	for (i = 0; i < ARRAY_LEN(where); i++) {
		size_t n = strlen(where[i]);

		if (strncmp(below, where[i], n) == 0 &&
		    (below[n] == '\0' || below[n] == '/')) {
			(void)root_bind(m->target, below);
			return;
		}
	}
}

static int
root_overlay(const char *tools)
{
	AUTO_CLOSE int lower = open(tools, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *options = NULL;

	if (lower == -1)
		return -errno;
	if (mkdir("upper", 0755) == -1 || mkdir("work", 0755) == -1)
		return -errno;
	/* by number: a path may hold what is special in options */
	options = mem_printf("lowerdir=" FD_PATH ",upperdir=upper,workdir=work", lower);
	if (mount("overlay", ROOT_DIR, "overlay",
		mount_flags_of_fd(lower) & (MS_NOSUID | MS_NODEV), options) == -1)
		return -errno;
	(void)mountinfo_each(root_on_mount, (void *)(uintptr_t)tools, NULL);
	return 0;
}

struct fuse_search {
	const char *path;
	bool found;
};

static void
root_on_fuse(const struct mountinfo *m, void *arg)
{
	struct fuse_search *s = arg;

	s->found = s->found || (is_fuse(m) && strcmp(m->target, s->path) == 0);
}

/* One entry of the tools' directory, if there is no overlay. */
static void
root_entry(int lower, const char *tools, const char *name)
{
	AUTO_FREE char *from =
	    mem_printf("%s/%s", strcmp(tools, "/") == 0 ? "" : tools, name);
	AUTO_FREE char *to = mem_printf(ROOT_DIR "/%s", name);
	struct fuse_search search = {.path = from};
	char target[4096];
	struct stat st;
	ssize_t n;

	if (mountinfo_each(root_on_fuse, &search, NULL) < 0 || search.found ||
	    fstatat(lower, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(lower, name, target, sizeof target - 1);
		if (n > 0) {
			target[n] = '\0';
			(void)symlink(target, to);
		}
	} else if (S_ISDIR(st.st_mode) && mkdir(to, 0755) == 0 &&
	    strcmp(name, "proc") != 0 && strcmp(name, "sys") != 0 &&
	    strcmp(name, "dev") != 0 && strcmp(name, "tmp") != 0 &&
	    strcmp(name, "run") != 0) {
		(void)root_bind(from, name);
	}
}

static int
root_binds(const char *tools)
{
	DIR *dir = opendir(tools);
	struct dirent *de;

	if (dir == NULL)
		return -errno;
	while ((de = readdir(dir)) != NULL) {
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			root_entry(dirfd(dir), tools, de->d_name);
	}
	(void)closedir(dir);
	return 0;
}

/* --- all of it ------------------------------------------------------------------------ */

static int
root_fill(int tree, struct err *err)
{
	static const char *const dirs[] = {
	    "proc", "sys", "dev", "run", "tmp", "etc", &INSIDE_CONTAINER[1]};
	AUTO_CLOSE int root = open(ROOT_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t i;
	int rc;

	if (root == -1)
		return err_set(err, errno, "open the new root");
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdirat(root, dirs[i], 0755) == -1 && errno != EEXIST)
			return err_set(err, errno, "make '/%s' of the new root", dirs[i]);
	}
	root_copy_etc(tree);
	if (syscall(SYS_move_mount, tree, "", root, &INSIDE_CONTAINER[1],
		MOVE_MOUNT_F_EMPTY_PATH) == -1)
		return err_set(err, errno, "mount the container's root");
	/* the terminal is one of the host's; /sys shows the network that we have joined */
	rc = root_mount("/dev", "dev", NULL, MS_BIND | MS_REC, NULL);
	if (rc < 0)
		return err_set(err, -rc, "bind '/dev'");
	rc = root_mount(
	    "sysfs", "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (rc < 0)
		return err_set(err, -rc, "mount '/sys'");
	rc = root_mount("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
	if (rc == 0)
		rc = root_mount(
		    "tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	if (rc < 0)
		return err_set(err, -rc, "mount a tmpfs");
	return 0;
}

int
inside_make_root(const char *base, const char *tools, int tree, struct err *err)
{
	AUTO_CLOSE int owned = tree;
	int rc;

	/* what the host unmounts goes here, too; what we mount does not go there */
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == -1)
		return err_set(err, errno, "make mounts our own");
	if (mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, TMPFS_LIMIT) == -1 ||
	    chdir(base) == -1 || mkdir(ROOT_DIR, 0755) == -1)
		return err_set(err, errno, "mount a tmpfs at '%s'", base);
	rc = root_overlay(tools);
	if (rc < 0)
		rc = root_binds(tools);
	if (rc < 0)
		return err_set(err, -rc, "use the tools in '%s'", tools);
	rc = root_fill(owned, err);
	if (rc < 0)
		return rc;
	if (chdir(ROOT_DIR) == -1 || syscall(SYS_pivot_root, ".", ".") == -1 ||
	    umount2(".", MNT_DETACH) == -1 || chdir("/") == -1)
		return err_set(err, errno, "enter the new root");
	return 0;
}

/*
 * The mount helper: a process of its own, because mount(2) on a dead file
 * server never returns, and the worker must.
 *
 * Orders come as strings, each with its NUL: bundle, number of mounts, and per
 * mount its type, source, target, number of options and the options. They come
 * from our own worker, but are checked as if they did not.
 *
 * What surprises: a target below rootfs comes from a request and the file
 * system below rootfs from an image, so it is resolved with rootfs as its root
 * and no way out. And a descriptor opened before a mount leads below it, so
 * each call that is to act on a new mount opens its target again.
 */
#include "oci/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mount_int.h"
#include "oci/mountinfo.h"

#define MOUNT_ORDERS_FD	   3
#define MOUNT_EXE_FD	   4 /* the worker's executable: we were started from it */
#define MOUNT_ORDERS_MAX   (16u * 1024u * 1024u)
#define MOUNT_BUSY_US	   (2500 * US_PER_MS)
#define MOUNT_BUSY_STEP_MS 50

/* --- orders -------------------------------------------------------------------- */

struct bytes {
	char *p;
	size_t len;
};

static void
orders_put(struct bytes *b, const char *s)
{
	size_t n = strlen(s) + 1;

	b->p = mem_realloc(b->p, b->len + n);
	memcpy(b->p + b->len, s, n);
	b->len += n;
}

static void
orders_put_count(struct bytes *b, size_t n)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%zu", n);
	orders_put(b, text);
}

int
mount_orders(const char *bundle, const struct mount_spec *mounts, size_t n)
{
	struct bytes b = {0};
	size_t i, j;
	int fd;

	orders_put(&b, bundle);
	orders_put_count(&b, n);
	for (i = 0; i < n; i++) {
		orders_put(&b, mounts[i].type);
		orders_put(&b, mounts[i].source);
		orders_put(&b, mounts[i].target == NULL ? "" : mounts[i].target);
		orders_put_count(&b, mounts[i].n_options);
		for (j = 0; j < mounts[i].n_options; j++)
			orders_put(&b, mounts[i].options[j]);
	}
	fd = b.len > MOUNT_ORDERS_MAX ? -E2BIG : memfd_sealed("mount-orders", b.p, b.len);
	free(b.p);
	return fd;
}

struct orders {
	char *text;
	const char *p, *end;
};

/* The next string; NULL behind the last. text ends with a NUL whatever it holds. */
static const char *
orders_get(struct orders *o)
{
	const char *s = o->p;

	if (s >= o->end)
		return NULL;
	o->p += strlen(s) + 1;
	return s;
}

static int
orders_get_count(struct orders *o, size_t *n)
{
	const char *s = orders_get(o);
	unsigned long value;
	char *stop;

	if (s == NULL)
		return -EBADMSG;
	value = strtoul(s, &stop, 10);
	if (stop == s || *stop != '\0' || value > MOUNT_COUNT_MAX)
		return -EBADMSG;
	*n = value;
	return 0;
}

/* options: room for MOUNT_COUNT_MAX. */
static int
orders_get_mount(struct orders *o, struct mount_spec *m, const char **options)
{
	size_t i;

	m->type = orders_get(o);
	m->source = orders_get(o);
	m->target = orders_get(o);
	if (m->target == NULL || orders_get_count(o, &m->n_options) < 0)
		return -EBADMSG;
	for (i = 0; i < m->n_options; i++) {
		options[i] = orders_get(o);
		if (options[i] == NULL)
			return -EBADMSG;
	}
	m->options = options;
	return 0;
}

/* --- targets --------------------------------------------------------------------- */

/*
 * openat2() for kernels or filters without it: each component by itself, no
 * symlink, no "..".
 */
static int
mount_open_beneath_by_hand(int root, const char *target, struct err *err)
{
	AUTO_FREE char *copy = mem_strdup(target);
	AUTO_CLOSE int fd = fd_dup(root);
	char *save = NULL, *part;

	if (fd < 0)
		return err_set(err, -fd, "open target");
	for (part = strtok_r(copy, "/", &save); part != NULL;
	     part = strtok_r(NULL, "/", &save)) {
		struct stat st;
		int next;

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0)
			return err_setx(
			    err, EINVAL, "mount target '%s' has '..'", target);
		next = openat(fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next == -1)
			return err_set(err, errno, "mount target '%s'", target);
		(void)close(fd);
		fd = next;
		if (fstat(fd, &st) == -1 || S_ISLNK(st.st_mode))
			return err_setx(
			    err, ELOOP, "mount target '%s' has a symbolic link", target);
	}
	return steal_fd(&fd);
}

int
mount_open_target(const char *rootfs, const char *target, struct err *err)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	AUTO_CLOSE int root = open(rootfs, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd;

	if (root == -1)
		return err_set(err, errno, "open '%s'", rootfs);
	if (target[0] == '\0')
		return steal_fd(&root);
	fd = (int)syscall(SYS_openat2, root, target, &how, sizeof how);
	if (fd == -1 && (errno == ENOSYS || errno == EPERM))
		return mount_open_beneath_by_hand(root, target, err);
	if (fd == -1)
		return err_set(err, errno, "mount target '%s'", target);
	return fd;
}

/* --- mounting --------------------------------------------------------------------- */

/* What mount(8) calls a helper for: type "fuse.x" is "mount.fuse … -t x". */
static int
mount_by_program(const struct mount_spec *m, const char *program, const char *type,
    int target, struct err *err)
{
	AUTO_STRV struct strv argv = {0};
	char link[32], path[4096];
	ssize_t n;
	size_t i;
	int status;
	pid_t pid;

	/* the program outlives us, so it gets a path and not our descriptor */
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", target);
	n = readlink(link, path, sizeof path - 1);
	if (n == -1)
		return err_set(err, errno, "mount target");
	path[n] = '\0';
	strv_add(&argv, program);
	strv_add(&argv, m->source);
	strv_add(&argv, path);
	for (i = 0; i < m->n_options; i++) {
		strv_add(&argv, "-o");
		strv_add(&argv, m->options[i]);
	}
	strv_add(&argv, "-t");
	strv_add(&argv, type);
	pid = fork();
	if (pid == -1)
		return err_set(err, errno, "fork");
	if (pid == 0) {
		(void)execvp(argv.v[0], argv.v);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			return err_set(err, errno, "wait for %s", program);
	}
	if (status != 0)
		return err_setx(err, EIO, "%s failed with status %d", program,
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

static int
mount_call(const char *source, int target, const char *type, unsigned long flags,
    const char *data)
{
	char path[32];

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", target);
	return mount(source, path, type, flags, data) == -1 ? -errno : 0;
}

unsigned long
mount_flags_of_fd(int fd)
{
	static const struct {
		unsigned long st, ms;
	} known[] = {{ST_RDONLY, MS_RDONLY}, {ST_NOSUID, MS_NOSUID}, {ST_NODEV, MS_NODEV},
	    {ST_NOEXEC, MS_NOEXEC}, {ST_NOATIME, MS_NOATIME},
	    {ST_NODIRATIME, MS_NODIRATIME}, {ST_RELATIME, MS_RELATIME}};
	unsigned long flags = 0;
	struct statvfs vfs;
	size_t i;

	if (fstatvfs(fd, &vfs) == -1)
		return 0;
	for (i = 0; i < ARRAY_LEN(known); i++) {
		if ((vfs.f_flag & known[i].st) != 0)
			flags |= known[i].ms;
	}
	return flags;
}

/*
 * The first call of a bind mount takes no other flags: they need a second one.
 * In a user namespace, flags that the source has are locked; keep them then.
 */
static int
mount_flags_of_bind(
    const char *rootfs, const struct mount_spec *m, unsigned long flags, struct err *err)
{
	AUTO_CLOSE int fd = mount_open_target(rootfs, m->target, err);
	int rc;

	if (fd < 0)
		return fd;
	flags = (flags & ~(unsigned long)MS_REC) | MS_BIND | MS_REMOUNT;
	rc = mount_call("", fd, "", flags, NULL);
	if (rc == -EPERM)
		rc = mount_call("", fd, "", flags | mount_flags_of_fd(fd), NULL);
	return rc < 0 ? err_set(err, -rc, "set the flags of bind mount '%s'", m->source)
		      : 0;
}

static int
mount_propagate(const char *rootfs, const struct mount_spec *m, unsigned long propagation,
    struct err *err)
{
	AUTO_CLOSE int fd = mount_open_target(rootfs, m->target, err);
	int rc;

	if (fd < 0)
		return fd;
	rc = mount_call("", fd, "", propagation, NULL);
	return rc < 0 ? err_set(err, -rc, "set the propagation of '%s'", m->source) : 0;
}

static int
mount_source(const char *source, int target, const struct mount_spec *m,
    const struct mount_flags *f)
{
	int rc;

	if ((f->flags & MS_BIND) != 0 && (f->flags & MS_REMOUNT) == 0)
		return mount_call(
		    source, target, "", f->flags & (MS_BIND | MS_REC), NULL);
	if (f->cwd != NULL && chdir(f->cwd) == -1)
		return -errno;
	rc = mount_call(source, target, m->type, f->flags, f->data[0] ? f->data : NULL);
	if (f->cwd != NULL)
		(void)!chdir("/");
	return rc;
}

int
mount_plain(const char *rootfs, const struct mount_spec *m, const struct mount_flags *f,
    struct err *err)
{
	const unsigned long of_bind = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
	bool is_bind = (f->flags & MS_BIND) != 0 && (f->flags & MS_REMOUNT) == 0;
	AUTO_CLOSE int fd = mount_open_target(rootfs, m->target, err), loop = -1;
	char loop_path[LOOP_PATH_MAX];
	int rc = 0;

	if (fd < 0)
		return fd;
	if (strncmp(m->type, "fuse.", 5) == 0)
		return mount_by_program(m, "mount.fuse", m->type + 5, fd, err);
	if (strncmp(m->type, "fuse3.", 6) == 0)
		return mount_by_program(m, "mount.fuse3", m->type + 6, fd, err);
	if (f->loop)
		rc = loop_attach(m->source, (f->flags & MS_RDONLY) != 0, f->direct_io,
		    loop_path, &loop, err);
	if (rc < 0)
		return rc;
	rc = mount_source(f->loop ? loop_path : m->source, fd, m, f);
	if (rc < 0)
		return err_set(err, -rc, "mount '%s' (%s) on '%s/%s'", m->source, m->type,
		    rootfs, m->target);
	if (is_bind && (f->flags & of_bind) != 0)
		rc = mount_flags_of_bind(rootfs, m, f->flags, err);
	return rc;
}

static int
mount_one(const char *rootfs, const struct mount_spec *m, struct err *err)
{
	struct mount_flags f;
	int rc = mount_parse_options(m, &f, err);

	if (rc < 0)
		return rc;
	rc = mount_needs_stage(&f) ? mount_staged(rootfs, m, &f, err)
				   : mount_plain(rootfs, m, &f, err);
	if (rc == 0 && f.propagation != 0)
		rc = mount_propagate(rootfs, m, f.propagation, err);
	mount_flags_fini(&f);
	return rc;
}

/* --- unmounting --------------------------------------------------------------------- */

struct undo {
	const char *path;
	size_t path_len;
	char **found;
	size_t n;
};

static void
undo_found(const struct mountinfo *m, void *arg)
{
	struct undo *u = arg;

	if (strncmp(m->target, u->path, u->path_len) != 0 ||
	    (m->target[u->path_len] != '\0' && m->target[u->path_len] != '/'))
		return;
	u->found = mem_realloc(u->found, (u->n + 1) * sizeof *u->found);
	u->found[u->n++] = mem_strdup(m->target);
}

/*
 * One pass over what is mounted, last first. How many mounts went; *left says
 * how many there were that did not.
 */
static int
undo_pass(const char *path, int flags, size_t *left, int *why, struct err *err)
{
	struct undo u = {.path = path, .path_len = strlen(path)};
	int rc = mountinfo_each(undo_found, &u, err), gone = 0;

	*left = 0;
	while (u.n > 0) {
		char *target = u.found[--u.n];

		if (rc == 0 && umount2(target, UMOUNT_NOFOLLOW | flags) == 0) {
			gone++;
		} else if (rc == 0) {
			(*left)++;
			*why = errno;
		}
		free(target);
	}
	free(u.found);
	return rc < 0 ? rc : gone;
}

/*
 * The path as mountinfo spells it. Its last component is not looked into: the
 * file system there may be dead.
 */
static int
undo_canonical(const char *path, char **out, struct err *err)
{
	AUTO_FREE char *copy = mem_strdup(path), *dir = NULL;
	size_t len = strlen(copy);
	char *slash;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	slash = strrchr(copy, '/');
	if (copy[0] != '/' || slash[1] == '\0')
		return err_setx(err, EINVAL, "'%s' is not a path below the root", path);
	*slash = '\0';
	dir = realpath(slash == copy ? "/" : copy, NULL);
	if (dir == NULL)
		return err_set(err, errno, "'%s'", path);
	*out = mem_printf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, slash + 1);
	return 0;
}

int
mount_undo(const char *path, struct err *err)
{
	boot_us_t end = clock_boot_us() + MOUNT_BUSY_US;
	AUTO_FREE char *real = NULL;
	int rc = undo_canonical(path, &real, err), flags = 0, why = 0;
	size_t left;

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	for (;;) {
		rc = undo_pass(real, flags, &left, &why, err);
		if (rc < 0)
			return rc;
		if (left == 0 && rc == 0)
			return 0;
		if (rc > 0)
			continue; /* what lay below may have come to light */
		if (flags == MNT_DETACH)
			return err_set(err, why, "unmount '%s'", path);
		if (why != EBUSY || clock_boot_us() >= end)
			flags = MNT_DETACH;
		else
			(void)poll(NULL, 0, MOUNT_BUSY_STEP_MS);
	}
}

/* --- the helper ------------------------------------------------------------------- */

static int
mount_make_rootfs(const char *rootfs, struct err *err)
{
	struct stat st;

	if (mkdir(rootfs, 0711) == -1 && errno != EEXIST)
		return err_set(err, errno, "make directory '%s'", rootfs);
	if (lstat(rootfs, &st) == -1)
		return err_set(err, errno, "'%s'", rootfs);
	if (!S_ISDIR(st.st_mode))
		return err_setx(err, ENOTDIR, "'%s' is not a directory", rootfs);
	return 0;
}

static int
mount_obey(struct orders *o, struct err *err)
{
	AUTO_FREE const char **options = mem_zalloc(MOUNT_COUNT_MAX * sizeof *options);
	AUTO_FREE char *rootfs = NULL;
	const char *bundle = orders_get(o);
	struct err ignored;
	size_t n, i;
	int rc;

	if (bundle == NULL || bundle[0] != '/' || orders_get_count(o, &n) < 0)
		return err_setx(err, EBADMSG, "mount orders make no sense");
	rootfs = mem_printf("%s/rootfs", bundle);
	rc = mount_undo(rootfs, err);
	if (rc < 0 || n == 0)
		return rc;
	rc = mount_make_rootfs(rootfs, err);
	for (i = 0; i < n && rc == 0; i++) {
		struct mount_spec m;

		rc = orders_get_mount(o, &m, options);
		rc = rc < 0 ? err_setx(err, EBADMSG, "mount orders make no sense")
			    : mount_one(rootfs, &m, err);
	}
	if (rc < 0)
		(void)mount_undo(rootfs, &ignored);
	return rc;
}

int
mount_main(void)
{
	AUTO_CLOSE int fd = MOUNT_ORDERS_FD;
	struct orders o = {0};
	struct err err = ERR_INIT;
	size_t len;
	int rc;

	/* not for mount programs to inherit */
	(void)fd_set_cloexec(fd, true);
	(void)fd_set_cloexec(MOUNT_EXE_FD, true);
	(void)!chdir("/");
	rc = fd_read_all(fd, MOUNT_ORDERS_MAX, &o.text, &len, &err);
	if (rc == 0) {
		o.p = o.text;
		o.end = o.text + len;
		rc = mount_obey(&o, &err);
	}
	free(o.text);
	if (rc == 0)
		return 0;
	(void)dprintf(STDERR_FILENO, "%s\n", err.text);
	return 1;
}

/*
 * Mounts that take a detour through a mount namespace of the helper's own,
 * which goes with the helper whenever that dies, and all that was mounted there.
 *
 * An overlay does not take mapped ids itself: its lower directories are mounted
 * again, mapped, and those mounts have no other use than to be named once. The
 * same gives an overlay with too many layers short names for them: more than a page of
 * options, even with what they have in common cut off. Any other mount is made there
 * plainly, and mapped on its way to its place.
 *
 * What surprises: the stage is a file system on rootfs itself, the one directory
 * that is sure to exist and that no source lies in.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mount.h"
#include "oci/mount_int.h"

#define STAGE_MERGED "m"

bool
mount_needs_stage(const struct mount_flags *f)
{
	return f->uidmap != NULL || f->lower != NULL;
}

static int
stage_map(int tree, int userns, unsigned flags, struct err *err)
{
	struct mount_attr attr = {
	    .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)userns};

	if (userns == -1 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | flags, &attr, sizeof attr) == 0)
		return 0;
	return err_set(
	    err, errno, "map the ids of a mount (kernel or file system too old?)");
}

/* A mount of its own for one directory, at <rootfs>/<n>. */
static int
stage_lower(const char *rootfs, const char *dir, unsigned n, int userns, struct err *err)
{
	AUTO_FREE char *place = mem_printf("%s/%u", rootfs, n);
	AUTO_CLOSE int tree =
	    open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int rc;

	if (tree == -1)
		return err_set(err, errno, "lower directory '%s'", dir);
	rc = stage_map(tree, userns, 0, err);
	if (rc < 0)
		return err_wrap(err, rc, "lower directory '%s'", dir);
	if (mkdir(place, 0700) == -1 ||
	    move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) == -1)
		return err_set(err, errno, "mount lower directory '%s'", dir);
	return 0;
}

/* A directory's name out of its list: without what escapes its colons. */
static char *
stage_unescape(const char *p, size_t len)
{
	char *out = mem_zalloc(len + 1), *w = out;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] == '\\' && i + 1 < len)
			i++;
		*w++ = p[i];
	}
	return out;
}

/* All of them, and *data with their short names. */
static int
stage_lowers(const char *rootfs, const struct mount_flags *f, int userns, char **data,
    struct err *err)
{
	AUTO_FREE char *list = mem_strdup("lowerdir=");
	const char *p, *end;
	unsigned n = 0;
	char *more;
	int rc;

	for (p = f->lower;; p = end + 1) {
		end = mount_lower_end(p);
		/* an empty one says that data-only layers follow */
		if (p != end) {
			AUTO_FREE char *dir = stage_unescape(p, (size_t)(end - p));

			rc = stage_lower(rootfs, dir, n, userns, err);
			if (rc < 0)
				return rc;
			more = mem_printf("%s%u%s", list, n++, *end == '\0' ? "" : ":");
		} else {
			more = mem_printf("%s%s", list, *end == '\0' ? "" : ":");
		}
		free(list);
		list = more;
		if (*end == '\0')
			break;
	}
	*data = mem_printf("%s%s%s", list, f->data[0] == '\0' ? "" : ",", f->data);
	if (strlen(*data) >= (size_t)sysconf(_SC_PAGESIZE))
		return err_setx(
		    err, E2BIG, "%u lower directories are more than the kernel takes", n);
	return 0;
}

/* Where the mount is made: a directory, or a file for the bind mount of one. */
static int
stage_place(const char *rootfs, const struct mount_spec *m, const struct mount_flags *f,
    struct err *err)
{
	AUTO_FREE char *place = mem_printf("%s/" STAGE_MERGED, rootfs);
	struct stat st;
	int rc;

	if ((f->flags & MS_BIND) != 0 && stat(m->source, &st) == 0 &&
	    !S_ISDIR(st.st_mode))
		rc = mknod(place, S_IFREG | 0600, 0);
	else
		rc = mkdir(place, 0700);
	return rc == -1 ? err_set(err, errno, "make '%s'", place) : 0;
}

/* In our own namespace: the whole mount, as a tree that is nowhere yet. */
static int
stage_make(const char *rootfs, const struct mount_spec *m, const struct mount_flags *f,
    int userns, int *tree, struct err *err)
{
	AUTO_FREE char *data = NULL, *place = mem_printf("%s/" STAGE_MERGED, rootfs);
	AUTO_FREE char *cwd = mem_strdup(rootfs);
	unsigned below = (f->flags & MS_REC) != 0 ? AT_RECURSIVE : 0;
	struct mount_flags there = *f;
	struct mount_spec spec = *m;
	int rc;

	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", rootfs, "tmpfs", 0, "mode=700") == -1)
		return err_set(err, errno, "prepare '%s'", rootfs);
	rc = stage_place(rootfs, m, f, err);
	if (rc == 0 && f->lower != NULL) {
		rc = stage_lowers(rootfs, f, userns, &data, err);
		there.data = data;
		there.cwd = cwd;
	}
	spec.target = STAGE_MERGED;
	if (rc == 0)
		rc = mount_plain(rootfs, &spec, &there, err);
	if (rc < 0)
		return rc;
	*tree = open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below);
	if (*tree == -1)
		return err_set(err, errno, "take '%s'", place);
	return f->lower != NULL ? 0 : stage_map(*tree, userns, below, err);
}

int
mount_staged(const char *rootfs, const struct mount_spec *m, const struct mount_flags *f,
    struct err *err)
{
	AUTO_CLOSE int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int userns = -1, tree = -1, target = -1;
	int rc = 0;

	if (host == -1)
		return err_set(err, errno, "open '/proc/self/ns/mnt'");
	if (f->uidmap != NULL)
		rc = mount_userns(f->uidmap, f->gidmap, &userns, err);
	if (rc < 0)
		return rc;
	if (unshare(CLONE_NEWNS) == -1)
		return err_set(err, errno, "make a mount namespace");
	rc = stage_make(rootfs, m, f, userns, &tree, err);
	if (setns(host, CLONE_NEWNS) == -1)
		return err_set(err, errno, "return to the host's mounts");
	if (rc < 0)
		return rc;
	target = mount_open_target(rootfs, m->target, err);
	if (target < 0)
		return target;
	if (move_mount(tree, "", target, "",
		MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == -1)
		return err_set(err, errno, "mount '%s' (%s) on '%s/%s'", m->source,
		    m->type, rootfs, m->target);
	return 0;
}

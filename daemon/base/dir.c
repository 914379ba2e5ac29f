/*
 * Directories; see dir.h.
 */
#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define TREE_DEPTH_MAX 16

DIR *
dir_open(int dirfd, const char *name)
{
	AUTO_CLOSE int fd =
	    openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);

	if (d != NULL)
		(void)steal_fd(&fd);
	return d;
}

struct dirent *
dir_next(DIR *d)
{
	struct dirent *de = NULL;

	while (d != NULL && (de = readdir(d)) != NULL) {
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			break;
	}
	return de;
}

int
dir_make(const char *path, mode_t mode, struct err *err)
{
	AUTO_FREE char *copy = strdup(path);
	char *p;

	if (copy == NULL)
		return err_set(err, ENOMEM, "make directory '%s'", path);
	for (p = copy + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) == -1 && errno != EEXIST)
			return err_set(err, errno, "make directory '%s'", copy);
		*p = '/';
	}
	if (mkdir(copy, mode) == -1 && errno != EEXIST)
		return err_set(err, errno, "make directory '%s'", copy);
	return 0;
}

static void
tree_empty_to(int parent, const char *name, dev_t dev, unsigned depth)
{
	AUTO_CLOSEDIR DIR *d = dir_open(parent, name);
	struct dirent *de;
	struct stat st;

	if (d == NULL || fstat(dirfd(d), &st) == -1 || st.st_dev != dev)
		return;
	while ((de = dir_next(d)) != NULL) {
		if (unlinkat(dirfd(d), de->d_name, 0) == 0 || errno != EISDIR)
			continue;
		if (depth > 1)
			tree_empty_to(dirfd(d), de->d_name, dev, depth - 1);
		(void)unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
	}
}

void
tree_empty(int dirfd)
{
	struct stat st;

	if (fstat(dirfd, &st) == 0)
		tree_empty_to(dirfd, ".", st.st_dev, TREE_DEPTH_MAX);
}

int
tree_remove(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		tree_empty_to(dirfd, name, st.st_dev, TREE_DEPTH_MAX);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == -1 && errno != ENOENT)
		return -errno;
	return 0;
}

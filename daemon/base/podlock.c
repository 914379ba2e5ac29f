/*
 * The pod's lock. It is waited for by trying again every few milliseconds:
 * flock() knows no time-out, and contention is rare and short.
 */
#include "base/podlock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define RETRY_MS 2

bool
pause_until(unsigned ms, boot_us_t end)
{
	if (clock_boot_us() >= end)
		return false;
	(void)poll(NULL, 0, (int)ms);
	return true;
}

int
flock_until(int fd, int how, boot_us_t end)
{
	while (flock(fd, how | LOCK_NB) == -1) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		if (!pause_until(RETRY_MS, end))
			return -ETIMEDOUT;
	}
	return 0;
}

/* Is what fd has open still what path leads to? */
static bool
lock_is_current(int fd, const char *path)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 &&
	    mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

static char *
parent_of(const char *path)
{
	char *parent = mem_strdup(path), *slash = strrchr(parent, '/');

	if (slash != NULL)
		*slash = '\0';
	return parent;
}

int
podlock_take(const char *path, boot_us_t end, struct err *err)
{
	AUTO_FREE char *parent = parent_of(path);
	int rc;

	for (;;) {
		AUTO_CLOSE int fd = open(
		    path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

		if (fd == -1 && errno == ENOENT) {
			rc = dir_make(parent, 0700, err);
			/* ENOENT: somebody's podlock_remove() was faster */
			if (rc < 0 && rc != -ENOENT)
				return rc;
			if (!pause_until(0, end))
				return err_set(err, ETIMEDOUT, "make '%s'", path);
			continue;
		}
		if (fd == -1)
			return err_set(err, errno, "open '%s'", path);
		rc = flock_until(fd, LOCK_EX, end);
		if (rc == -ETIMEDOUT)
			return err_setx(
			    err, ETIMEDOUT, "'%s' is held by another process", path);
		if (rc < 0)
			return err_set(err, -rc, "lock '%s'", path);
		if (lock_is_current(fd, path))
			return steal_fd(&fd);
	}
}

void
podlock_remove(const char *path)
{
	AUTO_FREE char *ns_dir = parent_of(path);
	AUTO_FREE char *root = parent_of(ns_dir);

	(void)unlink(path);
	if (rmdir(ns_dir) == 0)
		(void)rmdir(root);
}

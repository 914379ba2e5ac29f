/*
 * Appending, rotating, and doing without.
 *
 * <path>.1 is the last file before this one, <path>.2 the one before that. The
 * new file is made first, under another name, and takes the old one's place once that
 * is at <path>.1, too: if any of it fails, the old one grows on. Who rotates holds a lock
 * on the file, without waiting for it; another log program of the same file finds at
 * its next write that the path leads elsewhere, and follows. The path is free at no
 * moment, or that one would make a file there, which ours would replace.
 *
 * Whoever can write to a directory above the file may be the container. So the
 * directory is held open, and everything goes by names in it; a path would lead where a
 * symbolic link says that was put there since.
 *
 * A write that the disk takes in part is cut back to the last whole line,
 * unless somebody else has written behind it meanwhile.
 */
#include "logger/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

/* The name in the directory of a path that lies beside f's. */
static const char *
logfile_name(const struct logfile *f, const char *path)
{
	return path + f->at;
}

/* At path, which is f's or a temporary one beside it. */
static int
logfile_make(const struct logfile *f, const char *path, int extra, struct err *err)
{
	AUTO_CLOSE int fd = openat(f->dir_fd, logfile_name(f, path),
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW |
		O_NONBLOCK | extra,
	    f->mode);
	struct stat st;

	if (fd == -1)
		return err_set(err, errno, "open log file '%s'", path);
	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "stat log file '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_setx(err, EINVAL, "log file '%s' is not a regular file", path);
	return steal_fd(&fd);
}

/* --- the directory ------------------------------------------------------------------ */

static int
logfile_open_dir(struct logfile *f, struct err *err)
{
	AUTO_FREE char *parent = mem_strdup(f->path);
	char *slash = strrchr(parent, '/'), self[64], real[PATH_MAX];
	ssize_t n;
	int rc;

	f->at = slash != NULL ? (size_t)(slash - parent) + 1 : 0;
	parent[f->at] = '\0';
	if (slash != NULL && slash != parent) {
		*slash = '\0';
		rc = dir_make(parent, 0755, err);
		if (rc < 0)
			return rc;
	}
	f->dir_fd = open(slash != NULL ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd == -1)
		return err_set(err, errno, "open directory '%s'", parent);
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", f->dir_fd);
	n = readlink(self, real, sizeof real - 1);
	real[n > 0 ? n : 0] = '\0';
	f->dir = mem_strdup(real);
	return 0;
}

/* The one that is at the same place now, if no symbolic link leads to it. */
static int
logfile_find_dir(const struct logfile *f)
{
	AUTO_FREE char *path = mem_strdup(f->dir);
	AUTO_CLOSE int fd = -1;
	char *word, *save = NULL;

	if (path[0] == '/')
		fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (word = strtok_r(path, "/", &save); word != NULL && fd >= 0;
	     word = strtok_r(NULL, "/", &save)) {
		int next =
		    openat(fd, word, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		fd_close(&fd);
		fd = next;
	}
	return steal_fd(&fd);
}

/* --- opening ------------------------------------------------------------------------ */

int
logfile_open(struct logfile *f, struct err *err)
{
	struct stat st;
	int rc;

	f->fd = f->dir_fd = -1;
	f->dir = NULL;
	rc = logfile_open_dir(f, err);
	if (rc == 0)
		rc = logfile_make(f, f->path, 0, err);
	if (rc < 0) {
		logfile_close(f);
		return rc;
	}
	f->fd = rc;
	f->size = fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

void
logfile_reopen(struct logfile *f)
{
	int fd = logfile_make(f, f->path, 0, NULL), dir_fd;

	/* not even a new one can be made: the directory itself was removed */
	if (fd == -ENOENT || fd == -ESTALE) {
		dir_fd = logfile_find_dir(f);
		if (dir_fd < 0)
			return;
		fd_close(&f->dir_fd);
		f->dir_fd = dir_fd;
		fd = logfile_make(f, f->path, 0, NULL);
	}
	if (fd < 0)
		return;
	fd_close(&f->fd);
	f->fd = fd;
}

void
logfile_close(struct logfile *f)
{
	fd_close(&f->fd);
	fd_close(&f->dir_fd);
	free(f->dir);
	f->dir = NULL;
}

/* Is what we have open still what the name stands for? Also learns the size. */
static bool
logfile_is_there(struct logfile *f)
{
	struct stat mine, there;

	if (fstat(f->fd, &mine) == -1)
		return true;
	f->size = (uint64_t)mine.st_size;
	return fstatat(f->dir_fd, logfile_name(f, f->path), &there,
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	    there.st_dev == mine.st_dev && there.st_ino == mine.st_ino;
}

static void
logfile_follow(struct logfile *f)
{
	if (logfile_is_there(f))
		return;
	logfile_reopen(f);
	(void)logfile_is_there(f);
}

/* --- rotation --------------------------------------------------------------------- */

static bool
logfile_exists(const struct logfile *f, const char *path)
{
	struct stat st;

	return fstatat(f->dir_fd, logfile_name(f, path), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
logfile_unlink(const struct logfile *f, const char *path)
{
	return unlinkat(f->dir_fd, logfile_name(f, path), 0);
}

static int
logfile_rename(const struct logfile *f, const char *from, const char *to)
{
	return renameat(f->dir_fd, logfile_name(f, from), f->dir_fd, logfile_name(f, to));
}

/* Up to the first free name all move on by one; if none is free, the oldest goes. */
static int
logfile_shift(const struct logfile *f, struct err *err)
{
	AUTO_FREE char *to = mem_printf("%s.1", f->path);
	unsigned i;

	for (i = 1; i < f->max_files - 1 && logfile_exists(f, to); i++) {
		free(to);
		to = mem_printf("%s.%u", f->path, i + 1);
	}
	if (logfile_unlink(f, to) == -1 && errno != ENOENT)
		return err_set(err, errno, "remove '%s'", to);
	for (; i > 1; i--) {
		AUTO_FREE char *from = mem_printf("%s.%u", f->path, i - 1);

		if (logfile_rename(f, from, to) == -1 && errno != ENOENT)
			return err_set(err, errno, "rename '%s' to '%s'", from, to);
		free(to);
		to = steal_ptr(&from);
	}
	return 0;
}

/* next takes the place of the file, which goes to <path>.1 if it is kept. */
static int
logfile_replace(const struct logfile *f, const char *next, struct err *err)
{
	AUTO_FREE char *to = mem_printf("%s.1", f->path);
	bool keep = f->max_files > 1;
	int rc = keep ? logfile_shift(f, err) : 0;

	if (rc < 0)
		return rc;
	if (keep &&
	    linkat(f->dir_fd, logfile_name(f, f->path), f->dir_fd, logfile_name(f, to),
		0) == -1) {
		/* vfat and others have no links: go by way of the free path, which
		 * nobody's file is replaced at then */
		if (errno == EEXIST || logfile_rename(f, f->path, to) == -1)
			return err_set(err, errno, "rename '%s' to '%s'", f->path, to);
		(void)logfile_unlink(f, next);
		return 0;
	}
	if (logfile_rename(f, next, f->path) == -1) {
		rc = err_set(err, errno, "rename '%s' to '%s'", next, f->path);
		if (keep)
			(void)logfile_unlink(f, to);
	}
	return rc;
}

static int
logfile_renew(const struct logfile *f, struct err *err)
{
	AUTO_FREE char *next = mem_printf("%s.next", f->path);
	AUTO_CLOSE int fd = -1;
	int rc;

	(void)logfile_unlink(f, next);
	fd = logfile_make(f, next, O_EXCL, err);
	if (fd < 0)
		return fd;
	rc = logfile_replace(f, next, err);
	if (rc < 0)
		(void)logfile_unlink(f, next);
	return rc;
}

/* Returns whether there is another file to write to. */
static bool
logfile_rotate(struct logfile *f)
{
	struct err err = ERR_INIT;

	if (flock(f->fd, LOCK_EX | LOCK_NB) == -1)
		return false; /* another one is at it, or whoever holds our file */
	if (logfile_is_there(f) && logfile_renew(f, &err) == 0)
		f->stuck = f->stuck_told = false;
	(void)flock(f->fd, LOCK_UN);
	if (err.code != 0) {
		f->stuck = true;
		f->stuck_why = err;
		return false;
	}
	logfile_reopen(f);
	return logfile_is_there(f);
}

/* --- writing ----------------------------------------------------------------------- */

/* How much of this is whole lines; all of it if there is no end in it. */
static size_t
whole_lines(const char *buf, size_t len, size_t none)
{
	const char *nl = len > 0 ? memrchr(buf, '\n', len) : NULL;

	return nl != NULL ? (size_t)(nl - buf) + 1 : none;
}

/* How much may be written before the next rotation; 0: nothing. */
static size_t
logfile_fits(const struct logfile *f, const char *buf, size_t len)
{
	uint64_t room;
	const char *nl;

	if (f->max_size == 0 || f->size + len <= f->max_size)
		return len;
	room = f->size < f->max_size ? f->max_size - f->size : 0;
	if (f->size > 0)
		return whole_lines(buf, (size_t)room, 0);
	/* an empty file takes a line whatever its length */
	nl = memchr(buf, '\n', len);
	return whole_lines(buf, (size_t)room, nl != NULL ? (size_t)(nl - buf) + 1 : len);
}

void
logfile_lose(struct logfile *f, const char *buf, size_t len)
{
	const char *p = buf, *end = buf + len, *nl;

	f->lost_bytes += len;
	while (p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		f->lost_lines++;
		p = nl + 1;
	}
}

static int
logfile_put(struct logfile *f, const char *buf, size_t len)
{
	uint64_t at = f->size;
	size_t done = 0, kept;
	struct stat st;
	int code = 0;

	while (done < len && code == 0) {
		ssize_t n = write(f->fd, buf + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			code = ENOSPC;
		else if (errno != EINTR)
			code = errno;
	}
	f->size += done;
	if (code == 0)
		return 0;
	kept = whole_lines(buf, done, 0);
	if (kept < done && fstat(f->fd, &st) == 0 && (uint64_t)st.st_size == at + done &&
	    ftruncate(f->fd, (off_t)(at + kept)) == 0)
		f->size = at + kept;
	f->lost_errno = code;
	logfile_lose(f, buf + kept, len - kept);
	return -code;
}

int
logfile_write(struct logfile *f, const char *buf, size_t len)
{
	size_t n;
	int rc = 0, one;

	logfile_follow(f);
	while (len > 0) {
		n = logfile_fits(f, buf, len);
		if (n == 0 && logfile_rotate(f))
			continue;
		if (n == 0)
			n = len;
		one = logfile_put(f, buf, n);
		rc = one < 0 ? one : rc;
		buf += n;
		len -= n;
	}
	return rc;
}

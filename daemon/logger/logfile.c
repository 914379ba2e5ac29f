/*
 * Appending, rotating, and doing without.
 *
 * <path>.1 is the last file before this one, <path>.2 the one before that. The
 * new file is made first, under another name: if that fails, nothing has been
 * moved, and the old one grows on. Who rotates holds a lock on the file, without
 * waiting for it; another log program of the same file finds at its next write that the
 * path leads elsewhere, and follows.
 *
 * A write that the disk takes in part is cut back to the last whole line,
 * unless somebody else has written behind it meanwhile.
 */
#include "logger/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

/* At path, which is f's or a temporary one beside it. */
static int
logfile_make(const struct logfile *f, const char *path, int extra, struct err *err)
{
	AUTO_CLOSE int fd = open(path,
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

int
logfile_open(struct logfile *f, struct err *err)
{
	AUTO_FREE char *parent = mem_strdup(f->path);
	char *slash = strrchr(parent, '/');
	struct stat st;
	int rc;

	f->fd = -1;
	if (slash != NULL && slash != parent) {
		*slash = '\0';
		rc = dir_make(parent, 0755, err);
		if (rc < 0)
			return rc;
	}
	rc = logfile_make(f, f->path, 0, err);
	if (rc < 0)
		return rc;
	f->fd = rc;
	f->size = fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

void
logfile_reopen(struct logfile *f)
{
	int fd = logfile_make(f, f->path, 0, NULL);

	if (fd < 0)
		return;
	fd_close(&f->fd);
	f->fd = fd;
}

void
logfile_close(struct logfile *f)
{
	fd_close(&f->fd);
}

/* Does the path still lead to what we have open? Also learns the size. */
static bool
logfile_is_there(struct logfile *f)
{
	struct stat mine, there;

	if (fstat(f->fd, &mine) == -1)
		return true;
	f->size = (uint64_t)mine.st_size;
	return lstat(f->path, &there) == 0 && there.st_dev == mine.st_dev &&
	    there.st_ino == mine.st_ino;
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

/* <path>.1 becomes <path>.2 and so on; the oldest goes. */
static void
logfile_shift(const struct logfile *f)
{
	AUTO_FREE char *to = NULL;
	unsigned i;

	to = mem_printf("%s.%u", f->path, f->max_files - 1);
	(void)unlink(to);
	for (i = f->max_files - 1; i > 1; i--) {
		AUTO_FREE char *from = mem_printf("%s.%u", f->path, i - 1);

		(void)rename(from, to);
		free(to);
		to = steal_ptr(&from);
	}
	(void)rename(f->path, to);
}

/* Returns whether there is a new file to write to. */
static bool
logfile_rotate(struct logfile *f)
{
	AUTO_FREE char *next = NULL;
	AUTO_CLOSE int fd = -1;
	bool done = false;

	if (flock(f->fd, LOCK_EX | LOCK_NB) == -1)
		return false; /* another one is at it, or whoever holds our file */
	if (logfile_is_there(f)) {
		next = mem_printf("%s.next", f->path);
		(void)unlink(next);
		fd = logfile_make(f, next, O_EXCL, NULL);
		if (fd >= 0) {
			if (f->max_files > 1)
				logfile_shift(f);
			done = rename(next, f->path) == 0;
		}
	}
	(void)flock(f->fd, LOCK_UN);
	if (!done) {
		if (fd >= 0)
			(void)unlink(next);
		return false;
	}
	fd_close(&f->fd);
	f->fd = steal_fd(&fd);
	f->size = 0;
	return true;
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

/*
 * File descriptors; see fd.h.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy == -1 ? -errno : copy;
}

int
fd_set_nonblock(int fd, bool nonblock)
{
	int flags = fcntl(fd, F_GETFL);
	int want;

	if (flags == -1)
		return -errno;
	want = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (want != flags && fcntl(fd, F_SETFL, want) == -1)
		return -errno;
	return 0;
}

int
fd_set_cloexec(int fd, bool cloexec)
{
	return fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) == -1 ? -errno : 0;
}

int
fifo_open_end(int path_fd, bool writes)
{
	char path[64];
	struct stat st;
	int fd;

	if (fstat(path_fd, &st) == -1)
		return -errno;
	if (!S_ISFIFO(st.st_mode))
		return -EINVAL;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", path_fd);
	fd = open(path, (writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

int
fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			(void)poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int
fd_read_all(int fd, size_t max, char **out, size_t *out_len, struct err *err)
{
	AUTO_FREE char *buf = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	for (;;) {
		if (len + 1 >= cap) {
			char *bigger;

			cap = cap == 0 ? 4096 : cap * 2;
			bigger = realloc(buf, cap);
			if (bigger == NULL)
				return err_set(err, ENOMEM, "read");
			buf = bigger;
		}
		n = read(fd, buf + len, cap - len - 1);
		if (n == 0)
			break;
		if (n > 0) {
			len += (size_t)n;
			if (len > max)
				return err_setx(err, EFBIG, "more than %zu bytes", max);
		} else if (errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLIN};

			(void)poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return err_set(err, errno, "read");
		}
	}
	buf[len] = '\0';
	*out = steal_ptr(&buf);
	*out_len = len;
	return 0;
}

int
file_read(
    int dirfd, const char *path, size_t max, char **out, size_t *out_len, struct err *err)
{
	AUTO_CLOSE int fd =
	    openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int rc;

	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	rc = fd_read_all(fd, max, out, out_len, err);
	return rc < 0 ? err_wrap(err, rc, "'%s'", path) : 0;
}

int
file_write(int dirfd, const char *path, const void *buf, size_t len, mode_t mode,
    struct err *err)
{
	AUTO_FREE char *tmp = NULL;
	AUTO_CLOSE int fd = -1;
	int rc;

	if (asprintf(&tmp, "%s.tmp%ld", path, (long)getpid()) < 0) {
		tmp = NULL;
		return err_set(err, ENOMEM, "write '%s'", path);
	}
	/* of one killed here that had our pid; or a stranger's, who knows the name */
	(void)unlinkat(dirfd, tmp, 0);
	fd = openat(
	    dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd == -1)
		return err_set(err, errno, "create '%s'", tmp);
	rc = fd_write_all(fd, buf, len);
	if (rc == 0 && renameat(dirfd, tmp, dirfd, path) == -1)
		rc = -errno;
	if (rc < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return err_set(err, -rc, "write '%s'", path);
	}
	return 0;
}

int
memfd_sealed(const char *name, const void *buf, size_t len)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd == -1)
		return -errno;
	rc = fd_write_all(fd, buf, len);
	if (rc < 0)
		return rc;
	/*
	 * Not F_SEAL_WRITE: that waits, up to some 100 ms, until nobody uses the
	 * pages any more. There is no writable mapping that it would be needed for.
	 */
	if (fcntl(fd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) == -1 ||
	    lseek(fd, 0, SEEK_SET) == -1)
		return -errno;
	return steal_fd(&fd);
}

int
memfd_bounded(const char *name, size_t size)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -errno;
	if (ftruncate(fd, (off_t)size) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) == -1)
		return -errno;
	return steal_fd(&fd);
}

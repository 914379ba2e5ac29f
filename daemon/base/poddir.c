/*
 * Removing what a dead keeper left; see poddir.h.
 */
#include "base/poddir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/podlock.h"

int
poddir_remove(const char *dir, boot_us_t end)
{
	AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int lock = -1;
	int rc;

	if (fd == -1)
		return errno == ENOENT ? 0 : -errno;
	lock = openat(fd, "worker.lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (lock >= 0) {
		rc = flock_until(lock, LOCK_EX, end);
		if (rc < 0)
			return rc;
	}
	/* ENOTEMPTY: a worker without the lock yet was still writing */
	while ((rc = tree_remove(AT_FDCWD, dir)) == -ENOTEMPTY)
		if (!pause_until(5, end))
			break;
	return rc;
}

int
socket_probe(const char *path)
{
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (strlen(path) >= sizeof sa.sun_path)
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	/* of another type: not ours, but somebody's */
	return errno == ECONNREFUSED || errno == ENOENT ? 0 : -EADDRINUSE;
}

int
stale_socket_remove(const char *path)
{
	int rc = socket_probe(path);

	return rc == 0 && unlink(path) == -1 && errno != ENOENT ? -errno : rc;
}

/*
 * See spare.h. It is an open directory: that needs no file of any kind.
 */
#include "keeper/spare.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"

static int spare_fd = -1;

void
spare_fill(void)
{
	if (spare_fd == -1)
		spare_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int
spare_openat(int dir_fd, const char *path, int flags)
{
	int fd = openat(dir_fd, path, flags);

	if (fd != -1 || (errno != EMFILE && errno != ENFILE) || spare_fd == -1)
		return fd;
	fd_close(&spare_fd);
	fd = openat(dir_fd, path, flags);
	if (fd == -1) {
		int saved = errno;

		spare_fill(); /* nobody has anything to close, who could call it */
		errno = saved;
	}
	return fd;
}

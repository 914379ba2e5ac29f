/*
 * Images in files: the `loop` option.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "oci/mount_int.h"

/* Between asking for a free device and taking it, somebody else may. */
#define LOOP_TRIES 100

static int
loop_open_image(const char *image, bool read_only, int *out_fd, struct err *err)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	AUTO_CLOSE int fd = open(image, flags);
	struct stat st;

	if (fd == -1)
		return err_set(err, errno, "open image '%s'", image);
	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "image '%s'", image);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_setx(err, EINVAL, "image '%s' is not a file", image);
	*out_fd = steal_fd(&fd);
	return 0;
}

int
loop_attach(const char *image, bool read_only, bool direct_io, char *path, int *out_fd,
    struct err *err)
{
	AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int fd = -1;
	struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int rc, n, i;

	if (control == -1)
		return err_set(err, errno, "loop devices: open '/dev/loop-control'");
	rc = loop_open_image(image, read_only, &fd, err);
	if (rc < 0)
		return rc;
	config.fd = (__u32)fd;
	if (read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (direct_io)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	/* for losetup(8) to show */
	(void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", image);
	for (i = 0; i < LOOP_TRIES; i++) {
		AUTO_CLOSE int dev = -1;

		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n == -1)
			return err_set(err, errno, "find a free loop device");
		(void)snprintf(path, LOOP_PATH_MAX, "/dev/loop%d", n);
		dev = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (dev == -1)
			return err_set(err, errno, "open '%s'", path);
		if (ioctl(dev, LOOP_CONFIGURE, &config) == 0) {
			*out_fd = steal_fd(&dev);
			return 0;
		}
		if (errno != EBUSY)
			return err_set(err, errno, "put '%s' on '%s'", image, path);
	}
	return err_setx(err, EBUSY, "no loop device stays free long enough");
}

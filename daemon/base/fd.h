/*
 * File descriptors: scope-bound closing, whole reads and writes, passing
 * over sockets. Everything is born close-on-exec.
 */
#ifndef PODSHIM_BASE_FD_H
#define PODSHIM_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* Close and set to -1; -1 is left alone; errno survives. */
void fd_close(int *fd);

static inline void
auto_close_(int *fd)
{
	fd_close(fd);
}

#define AUTO_CLOSE __attribute__((cleanup(auto_close_)))

static inline int
steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Duplicate, close-on-exec. -errno on failure. */
int fd_dup(int fd);
/* O_NONBLOCK lives in the open file description: every holder sees it. */
int fd_set_nonblock(int fd, bool nonblock);
int fd_set_cloexec(int fd, bool cloexec);

/*
 * Open one end of the FIFO that an O_PATH descriptor names, non-blocking. -ENXIO:
 * the write end of one that nobody reads; -EINVAL: it is no FIFO.
 */
int fifo_open_end(int path_fd, bool writes);

/* Write all of it, waiting where fd would block. Returns 0 or -errno. */
int fd_write_all(int fd, const void *buf, size_t len);
/*
 * Read to end of file, at most max bytes: more is -EFBIG.
 * *out is malloc'ed, has a NUL behind its *out_len bytes, and is the caller's.
 */
int fd_read_all(int fd, size_t max, char **out, size_t *out_len, struct err *err);
/* The same for a file below dirfd (AT_FDCWD: by path). */
int file_read(int dirfd, const char *path, size_t max, char **out, size_t *out_len,
    struct err *err);
/*
 * Replace a file as a whole: temporary name beside it, then rename. Whatever has
 * that name goes; it is never written to.
 */
int file_write(int dirfd, const char *path, const void *buf, size_t len, mode_t mode,
    struct err *err);

/* A memfd with these bytes, offset 0, sealed against every change. -errno. */
int memfd_sealed(const char *name, const void *buf, size_t len);
/*
 * A memfd of size bytes that cannot grow: what a program may print at most.
 * Further writes fail with EPERM, so it neither blocks nor fills memory. How
 * much was written is the file offset (lseek SEEK_CUR on any duplicate).
 */
int memfd_bounded(const char *name, size_t size);

#endif

/*
 * The keeper's calls, each of which can be told to fail. Linked by --wrap into
 * podshim-keeper as it is (local.mk), and so into libevent and libc, where
 * these are static. After a fork the child counts on: it is the same page.
 */
#include "tests/fault/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern const char __executable_start;

static struct inject *page;

/* Each wrapper and what it wraps; the linker's names. */
#define WRAP(type, name, ...)                                                            \
	type __real_##name(__VA_ARGS__);                                                 \
	type __wrap_##name(__VA_ARGS__);                                                 \
	__attribute__((noinline)) type __wrap_##name(__VA_ARGS__)

#define FAILS(kind) inject_fails(kind, (uintptr_t)__builtin_return_address(0))

static bool
inject_fails(enum inject_kind kind, uintptr_t caller)
{
	uint32_t n, at;

	if (page == NULL || page->kind != (uint32_t)kind)
		return false;
	n = atomic_fetch_add(&page->calls, 1) + 1;
	at = page->at;
	if (n < at || n - at >= page->burst)
		return false;
	page->where = caller - (uintptr_t)&__executable_start;
	atomic_fetch_add(&page->hits, 1);
	return true;
}

WRAP(int, open, const char *path, int flags, ...);
__attribute__((constructor)) static void
inject_map(void)
{
	const char *path = getenv(INJECT_ENV);
	int fd = path == NULL ? -1 : __real_open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd == -1)
		return;
	p = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		page = p;
}

/* --- memory ------------------------------------------------------------------ */

WRAP(void *, malloc, size_t size)
{
	if (!FAILS(INJECT_MEM))
		return __real_malloc(size);
	errno = ENOMEM;
	return NULL;
}

WRAP(void *, calloc, size_t n, size_t size)
{
	if (!FAILS(INJECT_MEM))
		return __real_calloc(n, size);
	errno = ENOMEM;
	return NULL;
}

WRAP(void *, realloc, void *p, size_t size)
{
	if (!FAILS(INJECT_MEM))
		return __real_realloc(p, size);
	errno = ENOMEM;
	return NULL;
}

/* --- descriptors --------------------------------------------------------------- */

static int
no_fd(void)
{
	errno = EMFILE;
	return -1;
}

static mode_t
mode_of(int flags, va_list ap)
{
	return (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
}

int
__wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return FAILS(INJECT_FD) ? no_fd() : __real_open(path, flags, mode);
}

WRAP(int, openat, int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return FAILS(INJECT_FD) ? no_fd() : __real_openat(dir, path, flags, mode);
}

WRAP(int, socket, int domain, int type, int protocol)
{
	return FAILS(INJECT_FD) ? no_fd() : __real_socket(domain, type, protocol);
}

WRAP(int, socketpair, int domain, int type, int protocol, int fds[2])
{
	return FAILS(INJECT_FD) ? no_fd()
				: __real_socketpair(domain, type, protocol, fds);
}

WRAP(int, accept4, int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	return FAILS(INJECT_FD) ? no_fd() : __real_accept4(fd, sa, len, flags);
}

WRAP(int, pipe2, int fds[2], int flags)
{
	return FAILS(INJECT_FD) ? no_fd() : __real_pipe2(fds, flags);
}

WRAP(int, memfd_create, const char *name, unsigned flags)
{
	return FAILS(INJECT_FD) ? no_fd() : __real_memfd_create(name, flags);
}

WRAP(int, fcntl, int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if ((cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) && FAILS(INJECT_FD))
		return no_fd();
	return __real_fcntl(fd, cmd, arg);
}

/* As the kernel does it: the message arrives, its descriptors do not. */
WRAP(ssize_t, recvmsg, int fd, struct msghdr *mh, int flags)
{
	ssize_t n = __real_recvmsg(fd, mh, flags);
	struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(mh) : NULL;
	size_t i, n_fds;
	int got;

	if (cm == NULL || cm->cmsg_type != SCM_RIGHTS || !FAILS(INJECT_RECV))
		return n;
	n_fds = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < n_fds; i++) {
		memcpy(&got, CMSG_DATA(cm) + i * sizeof got, sizeof got);
		(void)close(got);
	}
	mh->msg_controllen = 0;
	mh->msg_flags |= MSG_CTRUNC;
	return n;
}

/* --- processes ------------------------------------------------------------------ */

WRAP(pid_t, fork, void)
{
	if (!FAILS(INJECT_FORK))
		return __real_fork();
	errno = EAGAIN;
	return -1;
}

WRAP(int, execve, const char *path, char *const *argv, char *const *envp)
{
	if (!FAILS(INJECT_EXEC))
		return __real_execve(path, argv, envp);
	errno = ENOENT;
	return -1;
}

WRAP(long, syscall, long number, ...)
{
	long a[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_execveat && FAILS(INJECT_EXEC)) {
		errno = ENOENT;
		return -1;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- the rest ------------------------------------------------------------------- */

WRAP(int, epoll_ctl, int ep, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_DEL || !FAILS(INJECT_EPOLL))
		return __real_epoll_ctl(ep, op, fd, ev);
	errno = ENOMEM;
	return -1;
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *mh, int flags)
{
	if (!FAILS(INJECT_SEND))
		return __real_sendmsg(fd, mh, flags);
	errno = EAGAIN;
	return -1;
}

static int
no_space(void)
{
	errno = ENOSPC;
	return -1;
}

WRAP(void *, mmap, void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	if (!FAILS(INJECT_SPACE))
		return __real_mmap(at, len, prot, flags, fd, off);
	errno = ENOMEM;
	return MAP_FAILED;
}

WRAP(int, fallocate, int fd, int mode, off_t off, off_t len)
{
	return FAILS(INJECT_SPACE) ? no_space() : __real_fallocate(fd, mode, off, len);
}

WRAP(int, ftruncate, int fd, off_t len)
{
	return FAILS(INJECT_SPACE) ? no_space() : __real_ftruncate(fd, len);
}

WRAP(ssize_t, write, int fd, const void *buf, size_t len)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && FAILS(INJECT_SPACE))
		return no_space();
	return __real_write(fd, buf, len);
}

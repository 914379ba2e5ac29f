/*
 * User namespaces for id-mapped mounts: the kernel takes a map only in the
 * shape of a namespace, and a namespace only from a process that lives in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mount_int.h"

/* One number and what must stand behind it; NULL if that is not so. */
static const char *
idmap_number(const char *p, char stop, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(p, &end, 10);
	if (*p < '0' || *p > '9' || errno != 0 || *out > UINT32_MAX)
		return NULL;
	if (stop == ',' ? *end != ',' && *end != '\0' : *end != stop)
		return NULL;
	return *end == '\0' ? end : end + 1;
}

/* "0:1000:1,1:2000:5" in the kernel's spelling. NULL if it is something else. */
static char *
idmap_lines(const char *map)
{
	AUTO_FREE char *out = mem_strdup("");
	unsigned long inside, outside, size;
	const char *p = map;

	do {
		char *more;

		p = idmap_number(p, ':', &inside);
		p = p == NULL ? NULL : idmap_number(p, ':', &outside);
		p = p == NULL ? NULL : idmap_number(p, ',', &size);
		if (p == NULL)
			return NULL;
		more = mem_printf("%s%lu %lu %lu\n", out, inside, outside, size);
		free(out);
		out = more;
	} while (*p != '\0');
	return steal_ptr(&out);
}

static int
idmap_write(pid_t pid, const char *file, const char *map, struct err *err)
{
	AUTO_FREE char *lines = idmap_lines(map);
	char path[64];
	AUTO_CLOSE int fd = -1;

	if (lines == NULL)
		return err_setx(err, EINVAL,
		    "id map '%.200s' is not a list of inside:outside:size", map);
	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	/* one write, or the kernel has half of it and wants no more */
	if (write(fd, lines, strlen(lines)) == -1)
		return err_set(err, errno, "id map '%.200s'", map);
	return 0;
}

/* The namespace's inhabitant: says that it has moved in, and waits to be killed. */
static _Noreturn void
idmap_live(int heard, int say)
{
	char rc = 0;

	(void)close(heard); /* so that nobody listens once our parent is dead */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWUSER) == -1)
		rc = (char)errno;
	if (write(say, &rc, 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static int
idmap_of(pid_t pid, int say, const char *uidmap, const char *gidmap, int *out_fd,
    struct err *err)
{
	char path[64], answer = 0;
	int rc;

	if (read(say, &answer, 1) != 1)
		return err_setx(err, EIO, "no user namespace for id maps");
	if (answer != 0)
		return err_set(err, answer, "make a user namespace for id maps");
	rc = idmap_write(pid, "uid_map", uidmap, err);
	if (rc == 0)
		rc = idmap_write(pid, "gid_map", gidmap, err);
	if (rc < 0)
		return rc;
	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
	*out_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *out_fd == -1 ? err_set(err, errno, "open '%s'", path) : 0;
}

int
mount_userns(const char *uidmap, const char *gidmap, int *out_fd, struct err *err)
{
	AUTO_CLOSE int ours = -1, theirs = -1;
	int fds[2], rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_set(err, errno, "make a pipe");
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid == -1)
		return err_set(err, errno, "fork");
	if (pid == 0)
		idmap_live(ours, theirs);
	fd_close(&theirs);
	rc = idmap_of(pid, ours, uidmap, gidmap, out_fd, err);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
	return rc;
}

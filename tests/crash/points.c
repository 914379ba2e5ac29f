/*
 * Arming crash points; see points.h. The walk itself is walk.c.
 */
#include "points.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"

#define CRASHPOINT_FILE "crashpoint"
#define CRASHPOINT_NEW	"crashpoint.new"
#define CRASHPOINT_HIT	"hit" /* as daemon/worker/crashpoint.c writes it */

static struct strv names;

void
points_load(void)
{
	struct err err = ERR_INIT;
	char *text = NULL, *save = NULL, *word;
	size_t len;

	if (opt.points == NULL)
		return;
	if (file_read(AT_FDCWD, opt.points, 1 << 20, &text, &len, &err) < 0) {
		say("%s", err.text);
		exit(2);
	}
	for (word = strtok_r(text, "\n", &save); word != NULL;
	     word = strtok_r(NULL, "\n", &save))
		strv_add(&names, word);
	free(text);
}

size_t
points_count(void)
{
	return names.n;
}

const char *
points_name(size_t i)
{
	return names.v[i];
}

const char *
points_random(void)
{
	return names.n > 0 ? names.v[rnd((uint32_t)names.n)] : NULL;
}

int
points_arm(int dirfd, const char *name, unsigned count, bool abrt)
{
	AUTO_FREE char *text = mem_printf("%s:%u%s", name, count, abrt ? ":abrt" : "");
	int fd =
	    openat(dirfd, CRASHPOINT_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 || fd_write_all(fd, text, strlen(text)) < 0 ||
	    renameat(dirfd, CRASHPOINT_NEW, dirfd, CRASHPOINT_FILE) == -1)
		fault(FAULT_OTHER, "arm '%s': %s", name, strerror(errno));
	return fd;
}

bool
points_hit(int fd)
{
	char text[sizeof CRASHPOINT_HIT];
	ssize_t n = pread(fd, text, sizeof text, 0);

	return n == (ssize_t)sizeof CRASHPOINT_HIT - 1 &&
	    memcmp(text, CRASHPOINT_HIT, (size_t)n) == 0;
}

bool
points_disarm(int dirfd)
{
	return unlinkat(dirfd, CRASHPOINT_FILE, 0) == 0;
}

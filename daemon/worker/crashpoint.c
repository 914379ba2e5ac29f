/*
 * See crashpoint.h. Reads a file at each point: for tests, not for speed.
 */
#include "worker/crashpoint.h"

#ifdef ENABLE_CRASH_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define CRASHPOINT_FILE "crashpoint"
#define CRASHPOINT_HIT	"hit"

static int crashpoint_dirfd = -1;

void
crashpoint_init(int dirfd)
{
	crashpoint_dirfd = dirfd;
}

/* Who armed the point holds the file, and reads it there. */
static void
crashpoint_say(int fd, const char *text, size_t len)
{
	if (pwrite(fd, text, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len) == -1)
		log_warn("crash point: write '%s'", CRASHPOINT_FILE);
}

void
crashpoint_hit(const char *name)
{
	char text[128], *save = NULL, *word;
	unsigned long count = 1;
	bool always = false;
	ssize_t n;
	AUTO_CLOSE int fd = openat(crashpoint_dirfd, CRASHPOINT_FILE, O_RDWR | O_CLOEXEC);

	if (fd == -1)
		return;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	word = strtok_r(text, ":\n", &save);
	if (word == NULL || strcmp(word, name) != 0)
		return;
	word = strtok_r(NULL, ":\n", &save);
	always = word != NULL && strcmp(word, "always") == 0;
	if (word != NULL && !always)
		count = strtoul(word, NULL, 10);
	word = strtok_r(NULL, ":\n", &save);
	if (count > 1) {
		char next[128];
		int len = snprintf(next, sizeof next, "%s:%lu%s%s", name, count - 1,
		    word != NULL ? ":" : "", word != NULL ? word : "");

		/* shorter, or as long; and not by name: it may be disarmed by now */
		crashpoint_say(fd, next, (size_t)len);
		return;
	}
	if (!always) {
		crashpoint_say(fd, CRASHPOINT_HIT, sizeof CRASHPOINT_HIT - 1);
		(void)unlinkat(crashpoint_dirfd, CRASHPOINT_FILE, 0);
	}
	log_info("crash point %s", name);
	if (word != NULL && strcmp(word, "abrt") == 0)
		abort();
	if (word != NULL && strcmp(word, "hang") == 0)
		for (;;)
			continue;
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

#endif

/*
 * Marks are text, "killed <ns>" and "deleted", a line each. Two `delete`s may
 * write the same one, so lines are only ever added, at most some twice. A full
 * file system may cut one short, and the next begins right behind it.
 */
#include "launcher/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/poddir.h"

#define MARK_MAX 4096u

static int
marks_open(int pod_fd)
{
	return openat(
	    pod_fd, POD_PURGED_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Of the first line that tells a time and is whole; 0: there is none. */
static int64_t
marks_killed_at(const char *text)
{
	static const char word[] = "killed ";
	const char *p = text;
	char *end;

	while ((p = strstr(p, word)) != NULL) {
		int64_t at;

		p += sizeof word - 1;
		at = strtoll(p, &end, 10);
		if (*end == '\n' && p[0] >= '0' && p[0] <= '9')
			return at;
	}
	return 0;
}

bool
mark_read(int pod_fd, const char *id, struct mark *out)
{
	AUTO_CLOSE int dirfd = marks_open(pod_fd);
	AUTO_FREE char *text = NULL;
	size_t len;

	if (dirfd < 0 || file_read(dirfd, id, MARK_MAX, &text, &len, NULL) < 0)
		return false;
	*out = (struct mark){
	    .killed_at = marks_killed_at(text),
	    .deleted = strstr(text, "deleted\n") != NULL,
	};
	return true;
}

int
mark_write(int pod_fd, const char *id, const struct mark *mark, struct err *err)
{
	AUTO_CLOSE int dirfd = -1;
	AUTO_CLOSE int fd = -1;
	struct mark old = {0};
	AUTO_FREE char *killed = NULL;
	AUTO_FREE char *text = NULL;
	int rc;

	(void)mkdirat(pod_fd, POD_PURGED_DIR, 0700);
	(void)mark_read(pod_fd, id, &old);
	if (mark->killed_at != 0 && old.killed_at == 0)
		killed = mem_printf("killed %" PRId64 "\n", mark->killed_at);
	text = mem_printf("%s%s", killed == NULL ? "" : killed,
	    mark->deleted && !old.deleted ? "deleted\n" : "");
	dirfd = marks_open(pod_fd);
	if (dirfd >= 0)
		fd = openat(dirfd, id,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
		    0600);
	if (fd < 0)
		return err_set(err, errno, "mark '" POD_PURGED_DIR "/%s'", id);
	rc = fd_write_all(fd, text, strlen(text));
	return rc < 0 ? err_set(err, -rc, "mark '" POD_PURGED_DIR "/%s'", id) : 0;
}

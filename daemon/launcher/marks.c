/*
 * Marks are text, "killed <ns>" and "deleted", a line each. Two `delete`s may
 * write the same one; each replaces it as a whole, so at worst a `deleted` is
 * lost, and the dead pod's directory is removed one call later.
 */
#include "launcher/marks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/poddir.h"

#define MARK_MAX 256u

static int
marks_open(int pod_fd)
{
	return openat(
	    pod_fd, POD_PURGED_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool
mark_read(int pod_fd, const char *id, struct mark *out)
{
	AUTO_CLOSE int dirfd = marks_open(pod_fd);
	AUTO_FREE char *text = NULL;
	const char *killed;
	size_t len;

	if (dirfd < 0 || file_read(dirfd, id, MARK_MAX, &text, &len, NULL) < 0)
		return false;
	killed = strstr(text, "killed ");
	*out = (struct mark){
	    .killed_at = killed == NULL ? 0 : strtoll(killed + 7, NULL, 10),
	    .deleted = strstr(text, "deleted\n") != NULL,
	};
	return true;
}

void
mark_write(int pod_fd, const char *id, const struct mark *mark)
{
	AUTO_CLOSE int dirfd = -1;
	AUTO_FREE char *text = NULL;
	struct mark all = *mark, old;

	(void)mkdirat(pod_fd, POD_PURGED_DIR, 0700);
	dirfd = marks_open(pod_fd);
	if (dirfd < 0)
		return;
	if (mark_read(pod_fd, id, &old)) {
		all.deleted |= old.deleted;
		if (old.killed_at != 0)
			all.killed_at = old.killed_at;
	}
	text = all.killed_at != 0 ? mem_printf("killed %" PRId64 "\n%s", all.killed_at,
					all.deleted ? "deleted\n" : "")
				  : mem_strdup(all.deleted ? "deleted\n" : "");
	(void)file_write(dirfd, id, text, strlen(text), 0600, NULL);
}

/*
 * criu's directory and log; see criu.h. The log has thousands of lines, of which
 * the runtime's own message tells none; the last ones with "Error" in them say
 * why, in most cases.
 */
#include "worker/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/container.h"
#include "worker/pod.h"

#define CRIU_LOG_TAIL	(64u * 1024u) /* what is copied */
#define CRIU_ERROR_TAIL 1500u	      /* what is told */

char *
criu_work_dir(struct pod *pod, uint64_t key)
{
	AUTO_FREE char *name = pod_key_name(CRIU_DIR_KIND, key);

	if (mkdirat(pod->dirfd, name, 0700) == -1 && errno != EEXIST)
		log_warn("mkdir '%s', ignoring", name);
	return pod_key_path(pod, CRIU_DIR_KIND, key);
}

/* The last bytes of it, from the beginning of a line; NULL if there are none. */
static char *
criu_read_tail(const char *path, size_t *len)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *text, *first;
	struct stat st;
	ssize_t n;

	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return NULL;
	text = mem_zalloc(CRIU_LOG_TAIL + 1);
	n = pread(fd, text, CRIU_LOG_TAIL,
	    st.st_size > (off_t)CRIU_LOG_TAIL ? st.st_size - (off_t)CRIU_LOG_TAIL : 0);
	if (n <= 0) {
		free(text);
		return NULL;
	}
	first = st.st_size > (off_t)CRIU_LOG_TAIL ? strchr(text, '\n') : NULL;
	*len = (size_t)n;
	if (first != NULL) {
		*len -= (size_t)(first + 1 - text);
		memmove(text, first + 1, *len + 1);
	}
	return text;
}

/* Where the last part of text begins that says something: error lines, else just the end. */
static const char *
criu_telling_part(const char *text, size_t len)
{
	const char *at = len > CRIU_ERROR_TAIL ? text + len - CRIU_ERROR_TAIL : text,
		   *line;

	if (at > text) {
		line = strchr(at, '\n');
		at = line != NULL && line[1] != '\0' ? line + 1 : at;
	}
	line = strstr(at, "Error");
	while (line != NULL && line > at && line[-1] != '\n')
		line--;
	return line != NULL ? line : at;
}

char *
criu_error(
    const struct container *c, const char *work_dir, const char *log, const char *error)
{
	AUTO_FREE char *path = mem_printf("%s/%s", work_dir, log);
	AUTO_FREE char *copy = mem_printf("%s/criu-%s", c->bundle, log);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	size_t len = 0;

	text = criu_read_tail(path, &len);
	if (text == NULL)
		return mem_strdup(error);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (file_write(AT_FDCWD, copy, text, len, 0600, &err) < 0) {
		log_warnx("%s, ignoring", err.text);
		return mem_printf("%s: %s", error, criu_telling_part(text, len));
	}
	return mem_printf("%s (log: %s): %s", error, copy, criu_telling_part(text, len));
}

void
criu_end(struct pod *pod, uint64_t key)
{
	AUTO_FREE char *name = pod_key_name(CRIU_DIR_KIND, key);

	(void)tree_remove(pod->dirfd, name);
}

/*
 * /proc/self/mountinfo, one line per mount:
 * id parent major:minor ROOT TARGET options [tags…] - TYPE source OPTIONS
 */
#include "oci/mountinfo.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define MOUNTINFO_MAX (64u * 1024u * 1024u)

/* Blanks and backslashes are written as \ooo. */
static void
mountinfo_unescape(char *s)
{
	char *out = s;

	for (; *s != '\0'; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*out++ =
			    (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool
mountinfo_line(char *line, struct mountinfo *m)
{
	char *field[5], *save = NULL, *tail = strstr(line, " - "), *options;
	size_t i;

	if (tail == NULL)
		return false;
	*tail = '\0';
	m->type = strtok_r(tail + 3, " ", &save);
	(void)strtok_r(NULL, " ", &save);
	options = strtok_r(NULL, " ", &save);
	m->options = options == NULL ? "" : options;
	for (i = 0, save = NULL; i < ARRAY_LEN(field); i++) {
		field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (field[i] == NULL)
			return false;
	}
	mountinfo_unescape(field[3]);
	mountinfo_unescape(field[4]);
	m->root = field[3];
	m->target = field[4];
	return m->type != NULL;
}

void
mountinfo_parse(const char *text, mountinfo_cb cb, void *arg)
{
	AUTO_FREE char *copy = mem_strdup(text);
	char *save = NULL, *line;
	struct mountinfo m;

	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (mountinfo_line(line, &m))
			cb(&m, arg);
	}
}

/* "… - cgroup NAME …", or cgroup2 */
static bool
mountinfo_is_cgroup(const char *line, size_t len)
{
	static const char mark[] = " - cgroup";
	const char *at = memmem(line, len, mark, sizeof mark - 1);

	if (at == NULL)
		return false;
	at += sizeof mark - 1;
	at += at < line + len && *at == '2';
	return at < line + len && *at == ' ';
}

int
mountinfo_read_cgroups(char **text, struct err *err)
{
	char *all, *line, *next, *out;
	size_t len;
	int rc =
	    file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &all, &len, err);

	if (rc < 0)
		return rc;
	for (line = out = all; *line != '\0'; line = next) {
		next = strchrnul(line, '\n');
		next += *next == '\n';
		len = (size_t)(next - line);
		if (!mountinfo_is_cgroup(line, len))
			continue;
		memmove(out, line, len);
		out += len;
	}
	*out = '\0';
	*text = mem_strdup(all);
	free(all);
	return 0;
}

int
mountinfo_each(mountinfo_cb cb, void *arg, struct err *err)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int rc =
	    file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, &len, err);

	if (rc == 0)
		mountinfo_parse(text, cb, arg);
	return rc;
}

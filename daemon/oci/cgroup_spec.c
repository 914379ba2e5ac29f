/*
 * The cgroup that a spec asks for: where a runtime has put a container of which
 * there is no init, and no record, to ask.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/cgroup.h"

#define SPEC_TEXT_MAX	(16u * 1024u * 1024u)
#define SLICE		".slice"
#define SLICE_OF_SCOPES "system.slice" /* runc's, where a spec names none */

static bool
spec_ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && memcmp(text + len - n, end, n) == 0;
}

/* "a-b.slice" is "/a.slice/a-b.slice", "-.slice" the root: ""; NULL: no slice's name. */
static char *
spec_expand_slice(const char *slice, size_t len)
{
	size_t stem = len - strlen(SLICE), i;
	char *path = mem_strdup("");

	if (stem == 1 && slice[0] == '-')
		return path;
	for (i = 0; i <= stem; i++) {
		char *more;

		if (i < stem && slice[i] != '-')
			continue;
		if (i == 0 || slice[i - 1] == '-') {
			free(path);
			return NULL;
		}
		more = mem_printf("%s/%.*s" SLICE, path, (int)i, slice);
		free(path);
		path = more;
	}
	return path;
}

char *
cgroup_spec_path(const char *cgroups_path, bool systemd)
{
	AUTO_FREE char *slices = NULL;
	const char *prefix, *name;
	size_t len;

	if (!systemd)
		return cgroups_path[0] == '/' ? mem_strdup(cgroups_path) : NULL;
	prefix = strchr(cgroups_path, ':');
	name = prefix == NULL ? NULL : strchr(++prefix, ':');
	if (name == NULL || strchr(++name, ':') != NULL || name[0] == '\0' ||
	    strchr(cgroups_path, '/') != NULL)
		return NULL;
	len = (size_t)(prefix - 1 - cgroups_path);
	if (len == 0)
		slices = spec_expand_slice(SLICE_OF_SCOPES, strlen(SLICE_OF_SCOPES));
	else if (spec_ends_with(cgroups_path, len, SLICE))
		slices = spec_expand_slice(cgroups_path, len);
	if (slices == NULL)
		return NULL;
	if (spec_ends_with(name, strlen(name), SLICE))
		return mem_printf("%s/%s", slices, name);
	return mem_printf(
	    "%s/%.*s-%s.scope", slices, (int)(name - 1 - prefix), prefix, name);
}

/* /proc/PID/cgroup as a process of that cgroup would show it. */
static char *
spec_membership(const char *base, bool systemd, const char *below)
{
	AUTO_FREE char *copy = mem_strdup(base);
	char *line, *save = NULL, *out = mem_strdup("");

	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ':'), *more;
		size_t len;

		path = path == NULL ? NULL : strchr(path + 1, ':');
		if (path == NULL)
			continue;
		path++;
		len = systemd ? strlen(path) : 0;
		/* slices begin where systemd itself does, which may sit one below that */
		if (spec_ends_with(path, len, "init.scope"))
			len -= strlen("init.scope");
		if (len > 0 && path[len - 1] == '/')
			len--;
		path[len] = '\0';
		more = mem_printf("%s%s%s\n", out, line, below);
		free(out);
		out = more;
	}
	return out;
}

int
cgroup_resolve_spec(const char *cgroups_path, bool systemd, const char *init_cgroup,
    const char *self_cgroup, const char *mountinfo, char **path, struct err *err)
{
	AUTO_FREE char *below = cgroup_spec_path(cgroups_path, systemd), *theirs = NULL;

	if (below == NULL)
		return err_setx(
		    err, ENOENT, "it cannot be told where '%s' is", cgroups_path);
	theirs = spec_membership(systemd ? init_cgroup : self_cgroup, systemd, below);
	return cgroup_resolve(theirs, self_cgroup, mountinfo, NULL, path, err);
}

int
cgroup_of_spec(const char *cgroups_path, bool systemd, char **path, struct err *err)
{
	AUTO_FREE char *init = NULL, *self = NULL, *mountinfo = NULL;
	size_t len;
	int rc;

	if ((rc = file_read(
		 AT_FDCWD, "/proc/1/cgroup", SPEC_TEXT_MAX, &init, &len, err)) < 0 ||
	    (rc = file_read(
		 AT_FDCWD, "/proc/self/cgroup", SPEC_TEXT_MAX, &self, &len, err)) < 0 ||
	    (rc = file_read(AT_FDCWD, "/proc/self/mountinfo", SPEC_TEXT_MAX, &mountinfo,
		 &len, err)) < 0)
		return rc;
	return cgroup_resolve_spec(
	    cgroups_path, systemd, init, self, mountinfo, path, err);
}

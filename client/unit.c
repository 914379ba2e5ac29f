/*
 * See unit.h. The files are read, systemd is not asked: it may be what hangs.
 */
#include "client/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

#define UNIT_MAX (1u << 20)

static const char *const unit_dirs[] = {"/etc/systemd/system", "/run/systemd/system",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
    NULL};

char *
unit_of_pid(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/cgroup", (int)pid);
	AUTO_FREE char *text = NULL;
	char *line, *slash, *save = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, UNIT_MAX, &text, &len, NULL) < 0)
		return NULL;
	/* systemd's own hierarchy, v1 or v2 */
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		slash = strrchr(line, '/');
		if ((strstr(line, ":name=systemd:") == NULL &&
			strncmp(line, "0::", 3) != 0) ||
		    slash == NULL || strlen(slash) < sizeof "/.service")
			continue;
		if (strcmp(slash + strlen(slash) - strlen(".service"), ".service") == 0)
			return mem_strdup(slash + 1);
	}
	return NULL;
}

/* Its last word on KillMode replaces *mode; an empty one sets it back. */
static bool
unit_read(const char *path, char **mode)
{
	AUTO_FREE char *text = NULL;
	char *line, *save = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, UNIT_MAX, &text, &len, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (strncmp(line, "KillMode", 8) != 0)
			continue;
		line += 8 + strspn(line + 8, " \t");
		if (*line++ != '=')
			continue;
		line += strspn(line, " \t");
		line[strcspn(line, " \t\r")] = '\0';
		free(*mode);
		*mode = mem_strdup(*line == '\0' ? "control-group" : line);
	}
	return true;
}

struct drop_in {
	char *name; /* decides the order, and hides files of that name further down */
	char *path;
};

struct drop_ins {
	struct drop_in *v;
	size_t n;
};

static void
drop_ins_add(struct drop_ins *d, const char *dir, const char *name)
{
	size_t i, len = strlen(name);

	if (len < 6 || strcmp(name + len - 5, ".conf") != 0)
		return;
	for (i = 0; i < d->n; i++)
		if (strcmp(d->v[i].name, name) == 0)
			return;
	d->v = mem_realloc(d->v, (d->n + 1) * sizeof *d->v);
	d->v[d->n++] = (struct drop_in){
	    .name = mem_strdup(name), .path = mem_printf("%s/%s", dir, name)};
}

static int
drop_in_compare(const void *a, const void *b)
{
	return strcmp(
	    ((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

static void
unit_read_drop_ins(const char *unit, const char *const *dirs, char **mode)
{
	struct drop_ins d = {0};
	struct dirent *e;
	size_t i;
	DIR *dir;

	for (; *dirs != NULL; dirs++) {
		AUTO_FREE char *path = mem_printf("%s/%s.d", *dirs, unit);

		if ((dir = opendir(path)) == NULL)
			continue;
		while ((e = readdir(dir)) != NULL)
			drop_ins_add(&d, path, e->d_name);
		(void)closedir(dir);
	}
	if (d.n > 1)
		qsort(d.v, d.n, sizeof *d.v, drop_in_compare);
	for (i = 0; i < d.n; i++) {
		(void)unit_read(d.v[i].path, mode);
		free(d.v[i].name);
		free(d.v[i].path);
	}
	free(d.v);
}

char *
unit_kill_mode(const char *unit, const char *const *dirs)
{
	char *mode = mem_strdup("control-group");
	bool found = false;
	size_t i;

	if (dirs == NULL)
		dirs = unit_dirs;
	for (i = 0; dirs[i] != NULL && !found; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", dirs[i], unit);

		found = unit_read(path, &mode);
	}
	if (found)
		unit_read_drop_ins(unit, dirs, &mode);
	else
		free(steal_ptr(&mode));
	return mode;
}

/*
 * Directories of a container's controllers; see cgroup_dirs.h.
 *
 * What surprises: on v1 the path may differ between hierarchies (a runtime
 * that was started in another cgroup in each), so init is asked while it lives. But
 * it may have moved below its container's cgroup (systemd does), in some of them: it is
 * believed only where it is somewhere else. Of one that died while no worker was there,
 * the same path is taken in each.
 */
#include "oci/cgroup_dirs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/mountinfo.h"

#define DIRS_TEXT_MAX (16u * 1024u * 1024u)

static const char *const dirs_controllers[DIR_N] = {
    [DIR_PIDS] = "pids",
    [DIR_CPU] = "cpu",
    [DIR_CPUACCT] = "cpuacct",
    [DIR_MEMORY] = "memory",
    [DIR_BLKIO] = "blkio",
    [DIR_HUGETLB] = "hugetlb",
    [DIR_RDMA] = "rdma",
};

static void
dirs_of_pid(struct cgroup_dirs *dirs, const char *mountinfo, pid_t pid)
{
	AUTO_FREE char *theirs = NULL, *ours = NULL;
	char name[40];
	size_t len;
	int i;

	(void)snprintf(name, sizeof name, "/proc/%ld/cgroup", (long)pid);
	if (pid <= 0 ||
	    file_read(AT_FDCWD, name, DIRS_TEXT_MAX, &theirs, &len, NULL) < 0 ||
	    file_read(AT_FDCWD, "/proc/self/cgroup", DIRS_TEXT_MAX, &ours, &len, NULL) <
		0)
		return;
	for (i = 0; i < DIR_N; i++) {
		AUTO_FREE char *path = NULL;
		struct statfs fs;

		/* a hybrid host's v2 hierarchy answers for every controller */
		if (cgroup_resolve(
			theirs, ours, mountinfo, dirs_controllers[i], &path, NULL) == 0 &&
		    statfs(path, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
			dirs->path[i] = steal_ptr(&path);
	}
}

/* --- from the path in one hierarchy to the others ------------------------------- */

struct dirs_like {
	struct cgroup_dirs *dirs;
	const char *home;
	const char *below; /* home, without its hierarchy's mount point */
};

static void
dirs_on_home(const struct mountinfo *m, void *arg)
{
	struct dirs_like *like = arg;
	size_t len = strlen(m->target);

	if (strcmp(m->type, "cgroup") == 0 && strncmp(like->home, m->target, len) == 0 &&
	    like->home[len] == '/')
		like->below = like->home + len;
}

static bool
dirs_has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while ((list = strstr(list, word)) != NULL) {
		if (list[len] == ',' || list[len] == '\0')
			return true;
		list += len;
	}
	return false;
}

/* Init says nothing, or that it sits somewhere below dir. */
static bool
dirs_is_within(const char *inits, const char *dir)
{
	size_t len = strlen(dir);

	return inits == NULL || (strncmp(inits, dir, len) == 0 && inits[len] == '/');
}

static void
dirs_on_other(const struct mountinfo *m, void *arg)
{
	struct dirs_like *like = arg;
	AUTO_FREE char *path = NULL;
	int i;

	if (strcmp(m->type, "cgroup") != 0)
		return;
	path = mem_printf("%s%s", m->target, like->below);
	for (i = 0; i < DIR_N; i++) {
		char **dir = &like->dirs->path[i];

		if (dirs_is_within(*dir, path) && access(path, F_OK) == 0 &&
		    dirs_has_word(m->options, dirs_controllers[i])) {
			free(*dir);
			*dir = mem_strdup(path);
		}
	}
}

static void
dirs_find_v1(struct cgroup_dirs *dirs, const char *home, pid_t pid, char **mounts)
{
	struct dirs_like like = {.dirs = dirs, .home = home};

	if (*mounts == NULL && mountinfo_read_cgroups(mounts, NULL) < 0)
		return;
	dirs_of_pid(dirs, *mounts, pid);
	mountinfo_parse(*mounts, dirs_on_home, &like);
	if (like.below != NULL)
		mountinfo_parse(*mounts, dirs_on_other, &like);
}

struct cgroup_dirs *
cgroup_dirs_find_next(pid_t pid, const char *home, char **mounts)
{
	struct cgroup_dirs *dirs;
	struct statfs fs;

	if (home[0] == '\0' || statfs(home, &fs) == -1)
		return NULL;
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
		return NULL;
	dirs = mem_zalloc(sizeof *dirs);
	dirs->v2 = fs.f_type == CGROUP2_SUPER_MAGIC;
	if (dirs->v2)
		dirs->path[0] = mem_strdup(home);
	else
		dirs_find_v1(dirs, home, pid, mounts);
	return dirs;
}

struct cgroup_dirs *
cgroup_dirs_find(pid_t pid, const char *home)
{
	AUTO_FREE char *mounts = NULL;

	return cgroup_dirs_find_next(pid, home, &mounts);
}

void
cgroup_dirs_free(struct cgroup_dirs *dirs)
{
	int i;

	for (i = 0; dirs != NULL && i < DIR_N; i++)
		free(dirs->path[i]);
	free(dirs);
}

unsigned
cgroup_fds_open(struct cgroup_fds *fds, const struct cgroup_dirs *dirs)
{
	unsigned n = 0;
	int i;

	fds->v2 = dirs->v2;
	for (i = 0; i < DIR_N; i++) {
		fds->fd[i] = fds->v2 ? fds->fd[0] : -1;
		if (dirs->path[i] == NULL)
			continue;
		fds->fd[i] =
		    open(dirs->path[i], O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		n += fds->fd[i] >= 0;
	}
	return n;
}

void
cgroup_fds_close(struct cgroup_fds *fds)
{
	int i;

	for (i = 0; i < DIR_N; i++) {
		if (i > 0 && fds->v2)
			fds->fd[i] = -1;
		else
			fd_close(&fds->fd[i]);
	}
}

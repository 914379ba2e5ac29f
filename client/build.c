/*
 * A running worker's file is /proc/PID/exe, also when it has been replaced on
 * disk since: the keeper holds it. What is installed bears the version of this
 * program, for they are installed together.
 */
#include "client/build.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "ipc/admin.h"

char *
build_installed_path(void)
{
	const char *dir = getenv("PODSHIM_LIBEXECDIR");

	return mem_printf(
	    "%s/podshim-worker", dir != NULL && *dir != '\0' ? dir : PKGLIBEXECDIR);
}

char *
build_of_pod(const struct pod *pod)
{
	char *build;

	if (pod->status == NULL)
		return NULL;
	build = admin_status_get(pod->status, "build");
	if (build != NULL && *build != '\0')
		return build;
	free(build);
	return mem_strdup(pod->build); /* it is just starting */
}

static bool
worker_stat(const struct pod *pod, struct stat *sb)
{
	int64_t pid = pod_status_num(pod, "worker_pid");
	AUTO_FREE char *path = mem_printf("/proc/%lld/exe", (long long)pid);

	return pid > 0 && stat(path, sb) == 0;
}

bool
build_is_same(const struct pod *pod, int exe_fd)
{
	struct stat runs, want;

	return worker_stat(pod, &runs) && fstat(exe_fd, &want) == 0 &&
	    runs.st_dev == want.st_dev && runs.st_ino == want.st_ino;
}

static bool
mtime_is_before(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec != b->st_mtim.tv_sec
	    ? a->st_mtim.tv_sec < b->st_mtim.tv_sec
	    : a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

bool
build_is_old(const struct pod *pod)
{
	AUTO_FREE char *build = build_of_pod(pod);
	AUTO_FREE char *path = build_installed_path();
	struct stat runs, installed;
	int order;

	if (pod->keeper != KEEPER_ANSWERED || build == NULL || *build == '\0')
		return false;
	order = strverscmp(build, PACKAGE_VERSION);
	if (order != 0)
		return order < 0;
	if (!worker_stat(pod, &runs) || stat(path, &installed) == -1 ||
	    (runs.st_dev == installed.st_dev && runs.st_ino == installed.st_ino))
		return false;
	return mtime_is_before(&runs, &installed);
}

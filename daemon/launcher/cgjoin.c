/*
 * Entering a cgroup in every hierarchy, v1 or v2, found through mountinfo.
 */
#include "launcher/cgjoin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/mountinfo.h"

/* ".." would leave the hierarchy. */
static bool
path_climbs(const char *path)
{
	const char *p = path;

	while ((p = strstr(p, "..")) != NULL) {
		if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
			return true;
		p += 2;
	}
	return false;
}

struct cgjoin_scan {
	struct cgjoin *cg;
	const char *path;
	int code; /* errno of an open that failed though the cgroup is there */
};

static void
cgjoin_on_mount(const struct mountinfo *m, void *arg)
{
	struct cgjoin_scan *scan = arg;
	AUTO_FREE char *procs = NULL;
	int fd;

	if (strcmp(m->type, "cgroup") != 0 && strcmp(m->type, "cgroup2") != 0)
		return;
	procs = mem_printf("%s/%s/cgroup.procs", m->target, scan->path);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd == -1) {
		if (errno != ENOENT)
			scan->code = errno;
		return;
	}
	if (scan->cg->n == CGJOIN_MAX)
		fd_close(&fd);
	else
		scan->cg->fd[scan->cg->n++] = fd;
}

int
cgjoin_open(struct cgjoin *cg, const char *path, struct err *err)
{
	struct cgjoin_scan scan = {.cg = cg, .path = path};
	int rc;

	cg->n = 0;
	if (path_climbs(path))
		return err_setx(
		    err, EINVAL, "shim cgroup '%s' leads out of the hierarchy", path);
	rc = mountinfo_each(cgjoin_on_mount, &scan, err);
	if (rc == 0 && scan.code != 0)
		rc = err_set(err, scan.code, "shim cgroup '%s'", path);
	else if (rc == 0 && cg->n == 0)
		rc = err_setx(err, ENOENT, "shim cgroup '%s' does not exist", path);
	if (rc < 0)
		cgjoin_close(cg);
	return rc;
}

int
cgjoin_enter(const struct cgjoin *cg)
{
	size_t i;

	for (i = 0; i < cg->n; i++)
		if (write(cg->fd[i], "0", 1) == -1)
			return -errno;
	return 0;
}

void
cgjoin_close(struct cgjoin *cg)
{
	while (cg->n > 0)
		fd_close(&cg->fd[--cg->n]);
}

/*
 * See leavings.h. A runtime's directory bears a container's name, and names come
 * again: it is this container's if the runtime's own record names this bundle. Mounts
 * are none of it: what is mounted in a bundle keeps the bundle, and with it the claim
 * that containerd has on it.
 */
#include "client/leavings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/pods.h"
#include "oci/cgroup.h"
#include "oci/options.h"
#include "oci/record.h"
#include "oci/runtime.h"

#define RUNTIME_LIMIT_S 10
#define OUTPUT_MAX	4096

char *
leavings_runtime_dir(const struct container_info *c)
{
	AUTO_FREE char *dir = NULL;

	if (*c->runtime_root == '\0' || *c->bundle == '\0')
		return NULL;
	dir = mem_printf("%s/%s", c->runtime_root, c->id);
	return record_owner(dir, c->bundle) == RECORD_OURS ? steal_ptr(&dir) : NULL;
}

/* Names of cgroups come again as well: with another's record it may be that one's. */
const char *
leavings_cgroup(const struct container_info *c)
{
	AUTO_FREE char *dir = mem_printf("%s/%s", c->runtime_root, c->id);
	AUTO_FREE char *ours = leavings_runtime_dir(c);
	struct stat st;

	if (c->cgroup == NULL || *c->cgroup == '\0' || stat(c->cgroup, &st) == -1 ||
	    (ours == NULL && lstat(dir, &st) == 0))
		return NULL;
	return c->cgroup;
}

/* --- the runtime's delete --------------------------------------------------------- */

static pid_t
runtime_spawn(char *const *argv, int out)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		/* it has children: one group, so that a late one goes with it */
		if (null == -1 || setpgid(0, 0) == -1 || dup2(null, 0) == -1 ||
		    dup2(out, 1) == -1 || dup2(out, 2) == -1)
			_exit(127);
		(void)execvp(argv[0], argv);
		(void)dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

/* false: it has not ended in time, and has been killed. */
static bool
runtime_wait(pid_t pid, int *status)
{
	AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	bool ended = pidfd == -1 || poll(&pfd, 1, RUNTIME_LIMIT_S * 1000) == 1;

	if (!ended) {
		(void)kill(-pid, SIGKILL);
		/* one in D is not waited for */
		(void)poll(&pfd, 1, 1000);
		(void)waitpid(pid, status, WNOHANG);
		return false;
	}
	while (waitpid(pid, status, 0) == -1 && errno == EINTR)
		;
	return true;
}

/* The row's --root counts, whatever its options say: there the state is. */
static int
options_of(
    const struct container_info *c, const char *ns, struct options *out, struct err *err)
{
	size_t len = strlen(c->runtime_root), ns_len = strlen(ns);

	if (len <= ns_len + 1 || c->runtime_root[len - ns_len - 1] != '/' ||
	    strcmp(c->runtime_root + len - ns_len, ns) != 0)
		return err_setx(err, EINVAL,
		    "'%s' is no runtime's root of namespace '%s'", c->runtime_root, ns);
	if (options_from_json(c->options, out, NULL) < 0)
		(void)options_decode(NULL, NULL, 0, out, NULL);
	free(out->binary_name);
	out->binary_name = mem_strdup(c->runtime);
	free(out->root);
	out->root = mem_printf("%.*s", (int)(len - ns_len - 1), c->runtime_root);
	return 0;
}

static int
runtime_remove(const struct container_info *c, const char *ns, struct err *err)
{
	AUTO_CLOSE int out = memfd_create("runtime", MFD_CLOEXEC);
	AUTO_STRV struct strv argv = {0};
	struct options options = {0};
	struct runtime_target target = {.opts = &options,
	    .ns = ns,
	    .id = c->id,
	    .bundle = c->bundle,
	    .log_path = "/dev/null"};
	char printed[OUTPUT_MAX];
	int status = 0, rc;
	ssize_t n;
	pid_t pid;

	if (out == -1)
		return err_set(err, errno, "memfd_create");
	rc = options_of(c, ns, &options, err);
	if (rc < 0)
		return rc;
	/* its init is dead, whatever the runtime makes of a pid that may be another's */
	runtime_delete(&argv, &target, true);
	options_fini(&options);
	pid = runtime_spawn(argv.v, out);
	if (pid == -1)
		return err_set(err, errno, "fork");
	if (!runtime_wait(pid, &status))
		return err_setx(err, ETIMEDOUT, "'%s delete' did not end in %d s",
		    c->runtime, RUNTIME_LIMIT_S);
	if (status == 0)
		return 0;
	n = pread(out, printed, sizeof printed - 1, 0);
	printed[n > 0 ? n : 0] = '\0';
	AUTO_FREE char *why = runtime_error(
	    "OCI runtime delete failed", "/dev/null", printed, strlen(printed), status);

	return err_setx(err, EPROTO, "%s", why);
}

int
leavings_remove(const struct container_info *c, const char *ns, struct err *err)
{
	AUTO_FREE char *dir = leavings_runtime_dir(c);
	int rc;

	if (dir != NULL) {
		rc = runtime_remove(c, ns, err);
		if (rc < 0)
			return rc;
	}
	if (leavings_cgroup(c) == NULL)
		return 0;
	(void)cgroup_remove(c->cgroup);
	return leavings_cgroup(c) == NULL
	    ? 0
	    : err_setx(err, EBUSY, "its cgroup '%s' is still in use", c->cgroup);
}

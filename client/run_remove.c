/*
 * As containerd ends a task: Delete, Shutdown, and the shim's `delete`, which
 * makes sure of the rest, with a keeper or without.
 */
#include "client/run_remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "client/pods.h"
#include "client/rpc.h"
#include "client/run_dir.h"
#include "client/run_shim.h"
#include "proto/task.pb-c.h"

/* The shim's own limit for output that does not end is 10 s. */
#define DELETE_MS    15000
#define SHUTDOWN_MS  3000
/* What the shim's `delete` does not do in its five seconds, the next goes on with. */
#define REMOVE_TRIES 3u

struct pod *
run_pod_of(const char *state_root, const char *ns, const char *bundle, struct pods *pods)
{
	AUTO_FREE char *path = mem_printf("%s/address", bundle);
	AUTO_FREE char *text = NULL;
	char hash[POD_HASH_LEN + 1];
	size_t i, len;

	*pods = (struct pods){0};
	if (file_read(AT_FDCWD, path, 4096, &text, &len, NULL) < 0 ||
	    !pod_hash_of_address(text, hash, NULL) ||
	    pods_find(state_root, ns, pods, NULL) < 0)
		return NULL;
	pods_ask(pods, PODS_TIMEOUT_MS);
	for (i = 0; i < pods->n; i++) {
		const char *dot = strrchr(pods->v[i].name, '.');

		if (dot != NULL && strlen(dot + 1) == POD_HASH8_LEN &&
		    strncmp(dot + 1, hash, POD_HASH8_LEN) == 0)
			return &pods->v[i];
	}
	return NULL;
}

static void
remove_shutdown(struct rpc *rpc, char *id)
{
	Containerd__Task__V2__ShutdownRequest shut =
	    CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;

	shut.id = id;
	(void)rpc_call(rpc, "Shutdown", &shut.base, SHUTDOWN_MS, NULL, NULL, NULL);
}

/*
 * By the shim, as far as it goes: what it does not do, its `delete` will. Once that has
 * taken away what Delete would not, only Shutdown is left, so that the pod may end.
 */
static void
remove_task(const struct pod *pod, const char *id, bool only_shutdown)
{
	Containerd__Task__V2__DeleteRequest del =
	    CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
	AUTO_FREE char *copy = mem_strdup(id);
	struct rpc *rpc = NULL;

	if (rpc_open(pod, &rpc, NULL) < 0)
		return;
	del.id = copy;
	if (!only_shutdown)
		(void)rpc_call(rpc, "Delete", &del.base, DELETE_MS, NULL, NULL, NULL);
	remove_shutdown(rpc, copy);
	rpc_close(rpc);
}

static int
remove_rest(const char *state_root, const char *ns, const char *id, const char *bundle,
    struct err *err)
{
	unsigned tries;
	int rc = 0;

	for (tries = 0; tries < REMOVE_TRIES; tries++) {
		rc = run_shim_delete(state_root, ns, id, bundle, err);
		if (rc != -ECHILD)
			break;
	}
	return rc;
}

int
run_remove(const char *state_root, const char *ns, const char *id, struct err *err)
{
	AUTO_FREE char *path = run_dir_path(state_root, ns, id);
	AUTO_CLOSE int dir_fd =
	    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct run_info info = {0};
	struct pods pods = {0};
	struct pod *pod;
	int rc;

	if (dir_fd == -1)
		return errno == ENOENT ? 0 : err_set(err, errno, "open '%s'", path);
	(void)run_info_read(dir_fd, &info, NULL);
	pod = run_pod_of(state_root, ns, path, &pods);
	if (pod != NULL)
		remove_task(pod, id, false);
	rc = remove_rest(state_root, ns, id, path, err);
	if (rc == 0) {
		if (pod != NULL)
			remove_task(pod, id, true);
		run_dir_remove(path, &info);
	}
	pods_fini(&pods);
	run_info_fini(&info);
	return rc;
}

/*
 * Rebuilding. Each adopted process's step is kept by the keeper with its tag
 * until its exit is acknowledged, so every process that lives, or has died
 * unrecorded, can be given its row again. What a request that is still open has
 * made is left to that request, which is run again anyway.
 */
#include "worker/rebuild.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "worker/container.h"
#include "worker/link.h"
#include "oci/oci.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "oci/runtime.h"
#include "worker/tag.h"

#define REBUILD_OPTIONS_MAX (64u * 1024u)

static void
rebuild_options(struct container *c)
{
	AUTO_FREE char *path = mem_printf("%s/options.json", c->bundle), *json = NULL;
	struct err err = ERR_INIT;
	size_t len;

	c->has_opts =
	    file_read(AT_FDCWD, path, REBUILD_OPTIONS_MAX, &json, &len, &err) == 0 &&
	    options_from_json(json, &c->opts, &err) == 0;
	if (c->has_opts)
		return;
	log_warnx("container '%s': its options are lost: %s", c->id, err.text);
	c->has_opts = options_decode(NULL, NULL, 0, &c->opts, &err) == 0;
}

/* runc and crun both keep this FIFO in a container's state until Start. */
static bool
rebuild_is_started(const struct container *c)
{
	AUTO_FREE char *path = mem_printf("%s/%s/exec.fifo", c->runtime_root, c->id);
	struct stat st;

	return stat(path, &st) == -1;
}

static struct process *
rebuild_process(struct container *c, const struct tag *tag, const struct msg_step *step)
{
	struct process *p = process_new(c, tag->exec_id);

	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	p->stdin_path = mem_strdup(tag->stdin_path);
	p->stdout_path = mem_strdup(tag->stdout_path);
	p->stderr_path = mem_strdup(tag->stderr_path);
	p->terminal = tag->terminal;
	process_bind(p, step->key, step->child_pid, step->child_start);
	return p;
}

static void
rebuild_container(struct pod *pod, const struct tag *tag, const struct msg_step *step)
{
	struct container *c = container_new(pod, tag->container);
	struct oci_spec spec = {0};
	struct err err = ERR_INIT;
	struct process *init;

	free(c->bundle);
	c->bundle = mem_strdup(tag->bundle);
	rebuild_options(c);
	free(c->runtime_root);
	c->runtime_root = runtime_root(&c->opts, pod->ns);
	if (oci_spec_load(c->bundle, &spec, &err) == 0) {
		c->own_pidns = spec.own_pidns;
		oci_spec_fini(&spec);
	} else {
		log_warnx("container '%s': %s", c->id, err.text);
	}
	c->rootfs_mounted = tag->mounted;
	c->create_sent = true;
	c->created_at = clock_real_ns();
	init = rebuild_process(c, tag, step);
	c->state = TASK_CREATED;
	if (rebuild_is_started(c)) {
		process_move(init, TASK_RUNNING);
		init->started_at = clock_real_ns();
	}
	free(c->cgroup);
	c->cgroup = process_cgroup(init);
	if (c->state == TASK_RUNNING && cgroup_is_frozen(c->cgroup))
		c->state = TASK_PAUSED;
	c->rebuilt = true;
	log_info("container '%s': rebuilt, %s, pid %d", c->id,
	    task_state_name(init->state), init->pid);
}

static bool
rebuild_reads(struct pod *pod, const struct msg_step *step, struct tag *tag, char **copy)
{
	return !key_is_internal(step->key) && step->state == STEP_DONE &&
	    step->child_pid > 0 && op_find(pod, key_request(step->key)) == NULL &&
	    tag_read(&step->tag, tag, copy);
}

static void
rebuild_init(const struct msg_step *step, void *arg)
{
	struct pod *pod = arg;
	AUTO_FREE char *copy = NULL;
	struct tag tag;

	if (rebuild_reads(pod, step, &tag, &copy) && tag.kind == TAG_CREATE &&
	    container_get(pod, tag.container) == NULL)
		rebuild_container(pod, &tag, step);
}

static void
rebuild_exec(const struct msg_step *step, void *arg)
{
	struct pod *pod = arg;
	AUTO_FREE char *copy = NULL;
	struct container *c;
	struct process *p;
	struct tag tag;

	if (!rebuild_reads(pod, step, &tag, &copy) || tag.kind != TAG_EXEC)
		return;
	c = container_get(pod, tag.container);
	if (c == NULL || tag.exec_id[0] == '\0' || process_find(c, tag.exec_id) != NULL)
		return;
	p = rebuild_process(c, &tag, step);
	process_move(p, TASK_RUNNING);
	p->started_at = clock_real_ns();
}

void
rebuild_from_tags(struct pod *pod)
{
	struct container *c, *next_c;
	struct process *p, *next_p;

	log_warnx("rebuilding from what the keeper knows; unsent events and execs not "
		  "started yet are lost");
	link_each_step(pod->link, rebuild_init, pod);
	link_each_step(pod->link, rebuild_exec, pod);
	pod_begin(pod);
	store_set_meta(pod->store, STORE_PARTIAL, NULL);
	HASH_ITER (hh, pod->containers, c, next_c) {
		container_put(c);
		process_put(c->init);
		HASH_ITER (hh, c->execs, p, next_p)
			process_put(p);
	}
	(void)pod_commit(pod, STORE_KEEP, NULL);
}

/*
 * The table of containers. An entry exists from the arrival of its Create (as
 * a place for the queue, invisible to clients) until its Delete is committed;
 * its memory until the last operation that holds it has ended.
 */
#include "worker/container.h"

#include <event2/event.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup_dirs.h"
#include "worker/oom.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"

struct container *
container_get(struct pod *pod, const char *id)
{
	struct container *c;

	HASH_FIND_STR(pod->containers, id, c);
	return c;
}

struct container *
container_visible(struct pod *pod, const char *id)
{
	struct container *c = container_get(pod, id);

	return c == NULL || c->state == TASK_CREATING || c->deleted ? NULL : c;
}

struct container *
container_new(struct pod *pod, const char *id)
{
	struct container *c = mem_zalloc(sizeof *c);

	c->pod = pod;
	c->id = mem_strdup(id);
	c->bundle = mem_strdup("");
	c->runtime_root = mem_strdup("");
	c->cgroup = mem_strdup("");
	c->state = TASK_CREATING;
	HASH_ADD_KEYPTR(hh, pod->containers, c->id, strlen(c->id), c);
	return c;
}

static void
container_free(void *obj)
{
	struct container *c = obj;
	struct process *p, *next;

	HASH_ITER (hh, c->execs, p, next)
		process_free(p);
	process_free(c->init);
	if (c->settle_ev != NULL)
		event_free(c->settle_ev);
	if (c->has_opts)
		options_fini(&c->opts);
	free(c->id);
	free(c->bundle);
	free(c->runtime_root);
	free(c->cgroup);
	cgroup_dirs_free(c->dirs);
	free(c);
}

void
container_forget(struct container *c)
{
	if (!c->gone) {
		c->gone = true;
		HASH_DEL(c->pod->containers, c);
		oom_unwatch(c); /* its processes go now, its memory later */
		pod_choose_log(c->pod, c);
	}
	container_release(c);
}

void
container_release(struct container *c)
{
	/* a place for a queue that nobody waits in, and that never became more */
	if (!c->gone && c->ops == NULL && c->state == TASK_CREATING && !c->from_row) {
		c->gone = true;
		HASH_DEL(c->pod->containers, c);
	}
	if (!c->gone || c->ops != NULL || c->buried)
		return;
	c->buried = true;
	loop_bury(c->pod->loop, &c->grave, container_free, c);
}

void
container_put(struct container *c)
{
	AUTO_FREE char *options = c->has_opts ? options_to_json(&c->opts) : NULL;
	const struct row_container row = {
	    .id = c->id,
	    .bundle = c->bundle,
	    .runtime = c->has_opts ? c->opts.binary_name : "",
	    .runtime_root = c->runtime_root,
	    .cgroup = c->cgroup,
	    .options = options,
	    .state = c->state,
	    .own_pidns = c->own_pidns,
	    .rootfs_mounted = c->rootfs_mounted,
	    .create_sent = c->create_sent,
	    .oom_seen = c->oom_seen,
	    .created_at = c->created_at,
	};

	store_put_container(c->pod->store, &row);
}

unsigned
container_busy_execs(const struct container *c)
{
	struct process *p, *next;
	unsigned n = 0;

	HASH_ITER (hh, c->execs, p, next)
		n += p->starting || p->state == TASK_RUNNING;
	return n;
}

bool
container_stopped(const struct container *c)
{
	return c->init != NULL && c->init->state == TASK_STOPPED;
}

size_t
container_count(const struct pod *pod)
{
	return HASH_COUNT(pod->containers);
}

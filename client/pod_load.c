/*
 * Copying a pod's database into memory, all of it at once, so that no read
 * transaction is held while anything is printed.
 */
#include "client/pods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static void
on_container(const struct row_container *row, void *arg)
{
	struct pod *pod = arg;

	pod->containers = mem_realloc(
	    pod->containers, (pod->n_containers + 1) * sizeof *pod->containers);
	pod->containers[pod->n_containers++] = (struct container_info){
	    .id = mem_strdup(row->id),
	    .bundle = mem_strdup(row->bundle),
	    .runtime = mem_strdup(row->runtime),
	    .runtime_root = mem_strdup(row->runtime_root),
	    .cgroup = mem_strdup(row->cgroup),
	    .options = mem_strdup(row->options),
	    .state = row->state,
	    .own_pidns = row->own_pidns,
	    .rootfs_mounted = row->rootfs_mounted,
	    .oom_seen = row->oom_seen,
	    .created_at = row->created_at,
	};
}

static void
on_process(const struct row_process *row, void *arg)
{
	struct pod *pod = arg;
	struct container_info *c = NULL;
	size_t i;

	for (i = 0; i < pod->n_containers && c == NULL; i++)
		if (strcmp(pod->containers[i].id, row->container) == 0)
			c = &pod->containers[i];
	if (c == NULL)
		return; /* deleted between the two reads */
	c->processes =
	    mem_realloc(c->processes, (c->n_processes + 1) * sizeof *c->processes);
	c->processes[c->n_processes++] = (struct process_info){
	    .exec_id = mem_strdup(row->exec_id),
	    .pid = row->pid,
	    .start_time = row->start_time,
	    .terminal = row->terminal,
	    .state = row->state,
	    .exit_status = row->exit_status,
	    .started_at = row->started_at,
	    .exited_at = row->exited_at,
	    .stdin_path = mem_strdup(row->stdin_path),
	    .stdout_path = mem_strdup(row->stdout_path),
	    .stderr_path = mem_strdup(row->stderr_path),
	};
}

static bool
on_event(const struct row_event *row, void *arg)
{
	struct pod *pod = arg;

	pod->events = mem_realloc(pod->events, (pod->n_events + 1) * sizeof *pod->events);
	pod->events[pod->n_events++] = (struct event_info){
	    .seq = row->seq,
	    .container = mem_strdup(row->container),
	    .exec_id = mem_strdup(row->exec_id),
	    .topic = mem_strdup(row->topic),
	    .t = row->t,
	    .attempts = row->attempts,
	};
	return true;
}

int
pod_load(struct pod *pod, struct err *err)
{
	AUTO_FREE char *created = NULL;
	struct store *st;
	char *group;
	int rc;

	rc = store_open_readonly(pod->path, &st, err);
	if (rc < 0)
		return rc;
	rc = store_count(st, &pod->counts, err);
	if (rc == 0)
		rc = store_each_container(st, on_container, pod, err);
	if (rc == 0)
		rc = store_each_process(st, NULL, on_process, pod, err);
	if (rc == 0)
		rc = store_each_event(st, 0, on_event, pod, err);
	if (rc == 0) {
		pod->known = true;
		pod->build = store_get_meta(st, "build");
		pod->leaked = store_get_meta(st, "leaked");
		created = store_get_meta(st, "created_at");
		pod->created_at = created == NULL ? 0 : strtoll(created, NULL, 10);
		group = store_get_meta(st, "group");
		if (group != NULL && *group != '\0') {
			free(pod->group);
			pod->group = steal_ptr(&group);
		}
		free(group);
	}
	store_close(st);
	return rc;
}

static void
container_fini(struct container_info *c)
{
	size_t i;

	for (i = 0; i < c->n_processes; i++) {
		free(c->processes[i].exec_id);
		free(c->processes[i].stdin_path);
		free(c->processes[i].stdout_path);
		free(c->processes[i].stderr_path);
	}
	free(c->processes);
	free(c->id);
	free(c->bundle);
	free(c->runtime);
	free(c->runtime_root);
	free(c->cgroup);
	free(c->options);
}

static void
pod_fini(struct pod *pod)
{
	size_t i;

	for (i = 0; i < pod->n_containers; i++)
		container_fini(&pod->containers[i]);
	for (i = 0; i < pod->n_events; i++) {
		free(pod->events[i].container);
		free(pod->events[i].exec_id);
		free(pod->events[i].topic);
	}
	free(pod->containers);
	free(pod->events);
	free(pod->ns);
	free(pod->group);
	free(pod->name);
	free(pod->path);
	free(pod->status);
	free(pod->build);
	free(pod->leaked);
}

void
pods_fini(struct pods *pods)
{
	size_t i;

	for (i = 0; i < pods->n; i++)
		pod_fini(&pods->v[i]);
	free(pods->v);
	*pods = (struct pods){0};
}

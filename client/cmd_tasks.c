/*
 * podshimctl tasks: one line per process, init before the execs of its
 * container, as the pods' databases have it.
 */
#include "client/ctl.h"

#include <stdlib.h>

#include "base/mem.h"
#include "client/find.h"
#include "client/process.h"
#include "client/table.h"
#include "client/text.h"

struct tasks {
	json_t *array; /* one of the two */
	struct table *table;
};

static void
task_json(struct tasks *t, const struct pod *pod, const struct container_info *c,
    const struct process_info *p)
{
	json_t *obj = json_pack("{s:o, s:o, s:o}", "namespace", js_text(pod->ns), "pod",
	    js_text(pod->group), "container", js_text(c->id));

	(void)json_object_update_new(obj, process_json(c, p));
	(void)json_object_set_new(obj, "bundle", js_name(c->bundle));
	(void)json_array_append_new(t->array, obj);
}

static void
task_row(struct tasks *t, const struct pod *pod, const struct container_info *c,
    const struct process_info *p)
{
	AUTO_FREE char *started = text_time(p == NULL ? 0 : p->started_at);
	AUTO_FREE char *exited = text_time(p == NULL ? 0 : p->exited_at);

	table_add(t->table, pod->ns);
	table_add(t->table, pod->group);
	table_add(t->table, c->id);
	table_add(t->table, p == NULL ? NULL : p->exec_id);
	if (p == NULL || p->pid == 0)
		table_add(t->table, NULL);
	else
		table_add_num(t->table, p->pid);
	table_add(t->table, process_status(c, p));
	if (process_exit_status(p) < 0)
		table_add(t->table, NULL);
	else
		table_add_num(t->table, process_exit_status(p));
	table_add(t->table, started);
	table_add(t->table, exited);
}

static void
task_add(struct tasks *t, const struct pod *pod, const struct container_info *c,
    const struct process_info *p)
{
	if (t->array != NULL)
		task_json(t, pod, c, p);
	else
		task_row(t, pod, c, p);
}

static void
tasks_of_pod(struct tasks *t, const struct pod *pod)
{
	const struct container_info *c;
	size_t i, j;

	for (i = 0; i < pod->n_containers; i++) {
		c = &pod->containers[i];
		if (c->n_processes == 0)
			task_add(t, pod, c, NULL);
		for (j = 0; j < c->n_processes; j++)
			task_add(t, pod, c, &c->processes[j]);
	}
}

int
cmd_tasks(struct ctl *ctl)
{
	static const char *const heads[] = {"NAMESPACE", "POD", "CONTAINER", "EXEC",
	    "PID", "STATUS", "EXIT", "STARTED", "EXITED", NULL};
	struct pods pods = {0};
	struct tasks t = {0};
	struct found one;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl->argc == 1 && find_pod(ctl, &pods, ctl->argv[0], &one) != CTL_OK) {
		pods_fini(&pods);
		return CTL_FAILED;
	}
	if (ctl->format == FORMAT_JSON)
		t.array = json_array();
	else
		t.table = table_new(heads);
	for (i = 0; i < pods.n; i++)
		if (ctl->argc == 0 || &pods.v[i] == one.pod)
			tasks_of_pod(&t, &pods.v[i]);
	if (t.array != NULL)
		js_print(t.array, ctl->out);
	else
		table_print(t.table, ctl->out);
	table_free(t.table);
	pods_fini(&pods);
	return rc;
}

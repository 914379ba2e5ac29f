/*
 * podshimctl list: one line per pod. A star behind the version: older than what
 * is installed.
 */
#include "client/ctl.h"

#include <stdlib.h>

#include "base/mem.h"
#include "client/build.h"
#include "client/find.h"
#include "client/json.h"
#include "client/table.h"
#include "ipc/admin.h"

static json_t *
pod_json(const struct pod *pod)
{
	AUTO_FREE char *state = pod_state(pod);
	AUTO_FREE char *build = build_of_pod(pod);
	AUTO_FREE char *keeper =
	    pod->status == NULL ? NULL : admin_status_get(pod->status, "version");

	return json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}",
	    "namespace", js_text(pod->ns), "pod", js_text(pod->group), "keeper_pid",
	    js_num(pod_status_num(pod, "keeper_pid")), "worker_pid",
	    js_num(pod_status_num(pod, "worker_pid")), "worker_restarts",
	    js_num(pod_status_num(pod, "worker_restarts")), "version", js_name(build),
	    "keeper_version", js_name(keeper), "outdated", (int)build_is_old(pod),
	    "worker_deaths", js_num(pod_status_num(pod, "deaths")), "containers",
	    js_num(pod->known ? (int64_t)pod->counts.containers : -1), "running",
	    js_num(pod->known ? (int64_t)pod->counts.running : -1), "events_pending",
	    js_num(pod->known ? (int64_t)pod->counts.events_pending : -1), "state",
	    js_text(state));
}

static void
add_num(struct table *t, int64_t n)
{
	if (n < 0)
		table_add(t, NULL);
	else
		table_add_num(t, n);
}

static void
pod_row(struct table *t, const struct pod *pod)
{
	AUTO_FREE char *state = pod_state(pod);
	AUTO_FREE char *build = build_of_pod(pod);
	AUTO_FREE char *marked =
	    mem_printf("%s%s", build == NULL ? "" : build, build_is_old(pod) ? "*" : "");

	table_add(t, pod->ns);
	table_add(t, pod->group);
	add_num(t, pod_status_num(pod, "keeper_pid"));
	add_num(t, pod_status_num(pod, "worker_pid"));
	add_num(t, pod_status_num(pod, "worker_restarts"));
	table_add(t, marked);
	add_num(t, pod->known ? (int64_t)pod->counts.containers : -1);
	add_num(t, pod->known ? (int64_t)pod->counts.running : -1);
	add_num(t, pod->known ? (int64_t)pod->counts.events_pending : -1);
	table_add(t, state);
}

int
cmd_list(struct ctl *ctl)
{
	static const char *const heads[] = {"NAMESPACE", "POD", "KEEPER", "WORKER",
	    "RESTARTS", "VERSION", "CONTAINERS", "RUNNING", "EVENTS", "STATE", NULL};
	struct pods pods = {0};
	struct table *table;
	json_t *array;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl->format == FORMAT_JSON) {
		array = json_array();
		for (i = 0; i < pods.n; i++)
			(void)json_array_append_new(array, pod_json(&pods.v[i]));
		js_print(array, ctl->out);
	} else {
		table = table_new(heads);
		for (i = 0; i < pods.n; i++)
			pod_row(table, &pods.v[i]);
		table_print(table, ctl->out);
		table_free(table);
	}
	pods_fini(&pods);
	return rc;
}

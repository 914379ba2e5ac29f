/*
 * podshimctl list: one line per pod. A star behind the version: older than what
 * is installed.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/build.h"
#include "client/find.h"
#include "client/sheet.h"
#include "client/verbs.h"
#include "ipc/admin.h"

static const struct column columns[] = {
    {"NAMESPACE", "namespace", 0},
    {"POD", "pod", 0},
    {"KEEPER", "keeper_pid", 0},
    {"WORKER", "worker_pid", 0},
    {"RESTARTS", "worker_restarts", 0},
    {"VERSION", "version", 0},
    {"KEEPER-VERSION", "keeper_version", SHOW_WIDE},
    {NULL, "outdated", 0},
    {"DEATHS", "worker_deaths", SHOW_WIDE},
    {"CONTAINERS", "containers", 0},
    {"RUNNING", "running", 0},
    {"EVENTS", "events_pending", 0},
    {"DROPPED", "events_dropped", SHOW_WIDE},
    {"CREATED", "created_at", SHOW_WIDE},
    {"STATE", "state", 0},
    {0},
};

static int64_t
known(const struct pod *pod, uint64_t n)
{
	return pod->known ? (int64_t)n : -1;
}

static void
pod_row(struct sheet *s, const struct pod *pod)
{
	AUTO_FREE char *state = pod_state(pod);
	AUTO_FREE char *build = build_of_pod(pod);
	AUTO_FREE char *keeper =
	    pod->status == NULL ? NULL : admin_status_get(pod->status, "version");
	bool old = build_is_old(pod);
	AUTO_FREE char *marked =
	    mem_printf("%s%s", build == NULL ? "" : build, old ? "*" : "");

	sheet_text(s, pod->ns);
	sheet_text(s, pod->group);
	sheet_num(s, pod_status_num(pod, "keeper_pid"));
	sheet_num(s, pod_status_num(pod, "worker_pid"));
	sheet_num(s, pod_status_num(pod, "worker_restarts"));
	sheet_text_as(s, marked, build);
	sheet_text(s, keeper);
	sheet_bool(s, old);
	sheet_num(s, pod_status_num(pod, "deaths"));
	sheet_num(s, known(pod, pod->counts.containers));
	sheet_num(s, known(pod, pod->counts.running));
	sheet_num(s, known(pod, pod->counts.events_pending));
	sheet_num(s, known(pod, pod->counts.events_dropped));
	sheet_time(s, pod->created_at);
	sheet_state(s, state, term_look_of_state(state));
}

static int
cmd_list(struct ctl *ctl)
{
	struct pods pods = {0};
	struct sheet *s;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	s = sheet_new(ctl, columns);
	for (i = 0; i < pods.n; i++)
		pod_row(s, &pods.v[i]);
	sheet_print(s);
	sheet_free(s);
	pods_fini(&pods);
	return rc;
}

const struct ctl_verb verb_list = {
    .name = "list",
    .group = GROUP_SEE,
    .args = "",
    .summary = "the pods and how they are",
    .text = "A star behind the version: an older build than the installed one runs.\n"
	    "States: running, crash-loop, unresponsive (the keeper does not answer),\n"
	    "broken (what answers is no keeper), dead (no keeper), and what the keeper\n"
	    "says of a worker that is not ready.",
    .examples = "  podshimctl list\n"
		"  podshimctl list -n k8s.io -o json | jq '.[] | select(.outdated)'",
    .run = cmd_list,
};

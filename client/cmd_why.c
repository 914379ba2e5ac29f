/*
 * podshimctl why: what a pod or a container waits for, in sentences. It asks nobody
 * but the keeper, and goes on without its answer.
 */
#include "base/mem.h"
#include "client/find.h"
#include "client/verbs.h"
#include "client/why.h"

static int
cmd_why(struct ctl *ctl)
{
	struct findings findings = {0};
	struct pods pods = {0};
	struct procs procs = {0};
	struct found one;
	struct look look;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = find_any(ctl, &pods, ctl->argv[0], &one);
	if (rc == CTL_OK) {
		procs_read(&procs);
		look_at(one.pod, &procs, &look);
		why_pod(&look, &findings);
		for (i = 0; i < one.pod->n_containers; i++)
			if (one.container == NULL ||
			    one.container == &one.pod->containers[i])
				why_container(&look, &one.pod->containers[i], &findings);
		findings_print(ctl, &findings, "Nothing holds it up.");
		look_fini(&look);
	}
	findings_fini(&findings);
	procs_fini(&procs);
	pods_fini(&pods);
	return rc;
}

const struct ctl_verb verb_why = {
    .name = "why",
    .group = GROUP_EXPLAIN,
    .args = "POD|CONTAINER",
    .summary = "say what a pod or a container waits for",
    .text =
	"Processes that do not die and where they hang, who holds a pipe or the root\n"
	"file system, commands of the OCI runtime that still run, requests that wait "
	"and\n"
	"behind what, events that containerd has not taken, a worker that is stopped,\n"
	"under a debugger or in a crash loop. Works with containerd, worker or keeper\n"
	"dead, stopped or hung.",
    .examples = "  podshimctl why web\n"
		"  podshimctl why -o json web/app",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_why,
};

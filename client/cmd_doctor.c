/*
 * podshimctl doctor: the health of the whole node, pod by pod and beside them.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "client/find.h"
#include "client/node.h"
#include "client/verbs.h"
#include "client/why.h"

/* On a busy node a command of the runtime takes its time. */
#define DOCTOR_YOUNG_US ((int64_t)(10 * US_PER_S))

/* Of what explains a pod, what is wrong with it. */
static void
doctor_pod(const struct pod *pod, const struct procs *procs, struct findings *out)
{
	struct findings all = {0};
	struct look look;
	size_t i;

	look_at(pod, procs, &look);
	look.young_us = DOCTOR_YOUNG_US;
	why_pod(&look, &all);
	for (i = 0; i < pod->n_containers; i++)
		if (pod->keeper != KEEPER_DEAD)
			why_container(&look, &pod->containers[i], &all);
	for (i = 0; i < all.n; i++)
		if (all.v[i].severity >= FINDING_WARNING)
			finding_add(out, all.v[i].severity, all.v[i].code,
			    all.v[i].subject, all.v[i].advice, "%s", all.v[i].text);
	node_check_pod(&look, out);
	findings_fini(&all);
	look_fini(&look);
}

static int
cmd_doctor(struct ctl *ctl)
{
	struct findings findings = {0};
	struct pods pods = {0};
	struct procs procs = {0};
	struct node node = {
	    .root = ctl->root, .ns = ctl->ns, .pods = &pods, .procs = &procs};
	AUTO_FREE char *healthy = NULL;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	procs_read(&procs);
	for (i = 0; i < pods.n; i++)
		doctor_pod(&pods.v[i], &procs, &findings);
	node_check(&node, &findings);
	healthy = mem_printf("%zu pods, all is well.", pods.n);
	findings_print(ctl, &findings, healthy);
	if (rc == CTL_OK && findings_count(&findings, FINDING_WARNING) > 0)
		rc = CTL_FAILED;
	findings_fini(&findings);
	procs_fini(&procs);
	pods_fini(&pods);
	return rc;
}

const struct ctl_verb verb_doctor = {
    .name = "doctor",
    .group = GROUP_EXPLAIN,
    .args = "",
    .summary = "check all of the node; exit code 0 if it is healthy",
    .text =
	"Each pod as 'why' sees it, and beside them: directories and sockets that are\n"
	"left over, keepers without containerd or without a directory, containers "
	"without\n"
	"a keeper, records that disagree with the kernel, old builds, a full file "
	"system,\n"
	"a containerd unit that would kill every shim. Notes alone are healthy.",
    .examples = "  podshimctl doctor\n"
		"  podshimctl doctor -o json",
    .run = cmd_doctor,
};

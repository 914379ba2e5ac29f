/*
 * podshimctl metrics: numbers of pods as OpenMetrics text, for a node's
 * collector to run. What the keeper says, what /proc and the database say, and
 * what the worker counts; the last is asked of workers that are ready only, and
 * is missing for the others. A family's samples stand together, as the format
 * wants it: so all is collected first, then printed family by family.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/build.h"
#include "client/find.h"
#include "client/proc.h"
#include "client/rpc.h"
#include "client/text.h"
#include "client/verbs.h"
#include "ipc/admin.h"
#include "proto/admin.pb-c.h"

#define ASK_MS	   500	/* one worker */
#define ASK_ALL_MS 3000 /* all that do not answer, together */
#define MICRO	   1e-6

typedef Podshim__V1__MetricsResponse worker_metrics;
typedef Podshim__V1__Meter meter;

struct scraped {
	const struct pod *pod;
	const char *hash;	/* NULL: no other pod has its namespace and name */
	worker_metrics *worker; /* NULL: it did not say */
};

struct family;
typedef void (*family_emit)(FILE *out, const struct family *f, const struct scraped *s);

struct family {
	const char *name;
	enum { GAUGE, COUNTER, HISTOGRAM } type;
	const char *unit; /* the name ends with it; NULL: none */
	const char *help;
	family_emit emit;
	const char *key; /* for emit */
	int64_t offset;
};

/* --- samples ---------------------------------------------------------------- */

static void
label(FILE *out, const char *name, const char *value)
{
	/* the format knows an escape for newlines alone, and people look at it, too */
	AUTO_FREE char *safe = text_safe(value);
	const char *p;

	(void)fprintf(out, "%s=\"", name);
	for (p = safe; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			(void)fputc('\\', out);
		(void)fputc(*p, out);
	}
	(void)fputc('"', out);
}

/* name and value of one more label, or NULL, or several up to a NULL name. */
static void
sample_name(FILE *out, const struct family *f, const char *suffix,
    const struct scraped *s, const char *name, const char *value)
{
	(void)fprintf(out, "podshim_%s%s{", f->name, suffix);
	label(out, "namespace", s->pod->ns);
	(void)fputc(',', out);
	label(out, "pod", s->pod->group);
	if (s->hash != NULL) {
		(void)fputc(',', out);
		label(out, "hash", s->hash);
	}
	if (name != NULL) {
		(void)fputc(',', out);
		label(out, name, value);
	}
}

static void
sample(FILE *out, const struct family *f, const struct scraped *s, const char *name,
    const char *value, double n)
{
	sample_name(out, f, f->type == COUNTER ? "_total" : "", s, name, value);
	(void)fprintf(out, "} %.12g\n", n);
}

/* --- families --------------------------------------------------------------- */

static void
emit_state(FILE *out, const struct family *f, const struct scraped *s)
{
	AUTO_FREE char *state = pod_state(s->pod);

	sample(out, f, s, "state", state, 1);
}

static void
emit_info(FILE *out, const struct family *f, const struct scraped *s)
{
	AUTO_FREE char *build = build_of_pod(s->pod);
	AUTO_FREE char *keeper =
	    s->pod->status == NULL ? NULL : admin_status_get(s->pod->status, "version");

	sample_name(out, f, "", s, "version", build == NULL ? "" : build);
	(void)fputc(',', out);
	label(out, "keeper_version", keeper == NULL ? "" : keeper);
	(void)fprintf(out, "} 1\n");
}

static void
emit_status(FILE *out, const struct family *f, const struct scraped *s)
{
	int64_t n = pod_status_num(s->pod, f->key);

	if (n >= 0)
		sample(out, f, s, NULL, NULL, (double)n);
}

static void
emit_containers(FILE *out, const struct family *f, const struct scraped *s)
{
	uint64_t of[TASK_DELETING + 1] = {0};
	size_t i;

	for (i = 0; i < s->pod->n_containers; i++)
		of[s->pod->containers[i].state <= TASK_DELETING
			? s->pod->containers[i].state
			: 0]++;
	for (i = TASK_CREATING; s->pod->known && i <= TASK_DELETING; i++)
		sample(out, f, s, "state", task_state_name((enum task_state)i),
		    (double)of[i]);
}

static void
emit_oom(FILE *out, const struct family *f, const struct scraped *s)
{
	size_t i;

	for (i = 0; i < s->pod->n_containers; i++)
		sample(out, f, s, "container", s->pod->containers[i].id,
		    (double)s->pod->containers[i].oom_seen);
}

static void
emit_pending(FILE *out, const struct family *f, const struct scraped *s)
{
	if (s->pod->known)
		sample(out, f, s, NULL, NULL, (double)s->pod->counts.events_pending);
}

static void
emit_dropped(FILE *out, const struct family *f, const struct scraped *s)
{
	if (s->pod->known)
		sample(out, f, s, NULL, NULL, (double)s->pod->counts.events_dropped);
}

static const struct {
	const char *name;
	const char *key;
} processes[] = {{"keeper", "keeper_pid"}, {"worker", "worker_pid"}};

static void
emit_memory(FILE *out, const struct family *f, const struct scraped *s)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(processes); i++) {
		int64_t pid = pod_status_num(s->pod, processes[i].key);
		int64_t n = pid > 0 ? proc_pss((pid_t)pid) : -1;

		if (n >= 0)
			sample(out, f, s, "process", processes[i].name, (double)n);
	}
}

static void
emit_cpu(FILE *out, const struct family *f, const struct scraped *s)
{
	struct proc p;
	size_t i;

	for (i = 0; i < ARRAY_LEN(processes); i++) {
		int64_t pid = pod_status_num(s->pod, processes[i].key);

		if (pid > 0 && proc_read((pid_t)pid, &p))
			sample(out, f, s, "process", processes[i].name,
			    (double)p.cpu_ns / (double)NS_PER_S);
	}
}

static void
emit_answers(FILE *out, const struct family *f, const struct scraped *s)
{
	sample(out, f, s, NULL, NULL, s->worker != NULL);
}

static void
emit_operations(FILE *out, const struct family *f, const struct scraped *s)
{
	if (s->worker == NULL)
		return;
	sample(out, f, s, "state", "begun", s->worker->begun);
	sample(out, f, s, "state", "queued", s->worker->queued);
}

static void
emit_bytes(FILE *out, const struct family *f, const struct scraped *s)
{
	if (s->worker == NULL)
		return;
	sample(out, f, s, "stream", "stdin", (double)s->worker->stdin_bytes);
	sample(out, f, s, "stream", "stdout", (double)s->worker->stdout_bytes);
	sample(out, f, s, "stream", "stderr", (double)s->worker->stderr_bytes);
}

static Podshim__V1__Meter__Kind
kind_of(const struct family *f)
{
	return strcmp(f->key, "method") == 0 ? PODSHIM__V1__METER__KIND__REQUEST
	    : strcmp(f->key, "command") == 0 ? PODSHIM__V1__METER__KIND__COMMAND
					     : PODSHIM__V1__METER__KIND__EVENT;
}

static void
histogram(FILE *out, const struct family *f, const struct scraped *s, const meter *m)
{
	uint64_t count = 0;
	size_t i;

	for (i = 0; i < m->n_buckets; i++) {
		count += m->buckets[i];
		sample_name(out, f, "_bucket", s, f->key, m->name);
		if (i < s->worker->n_bounds_us)
			(void)fprintf(out, ",le=\"%.12g\"} %" PRIu64 "\n",
			    (double)s->worker->bounds_us[i] * MICRO, count);
		else
			(void)fprintf(out, ",le=\"+Inf\"} %" PRIu64 "\n", count);
	}
	sample_name(out, f, "_sum", s, f->key, m->name);
	(void)fprintf(out, "} %.12g\n", (double)m->sum_us * MICRO);
	sample_name(out, f, "_count", s, f->key, m->name);
	(void)fprintf(out, "} %" PRIu64 "\n", count);
}

static void
emit_meters(FILE *out, const struct family *f, const struct scraped *s)
{
	size_t i;

	for (i = 0; s->worker != NULL && i < s->worker->n_meters; i++) {
		const meter *m = s->worker->meters[i];

		if (m->kind != kind_of(f) || m->n_buckets != s->worker->n_bounds_us + 1)
			continue;
		if (f->type == HISTOGRAM)
			histogram(out, f, s, m);
		else
			sample(out, f, s, f->key, m->name, (double)m->failed);
	}
}

static const struct family families[] = {
    {"pod_info", GAUGE, NULL, "Versions of worker and keeper.", emit_info, NULL},
    {"pod_state", GAUGE, NULL, "1 for the state that the pod is in.", emit_state, NULL},
    {"containers", GAUGE, NULL, "Containers by state.", emit_containers, NULL},
    {"container_oom_kills", COUNTER, NULL,
	"Processes killed for want of memory, as far as told.", emit_oom, NULL},
    {"worker_restarts", COUNTER, NULL, "Workers started after the first.", emit_status,
	"worker_restarts"},
    {"worker_deaths", GAUGE, NULL, "Deaths without a quiet minute between them.",
	emit_status, "deaths"},
    {"worker_answers", GAUGE, NULL, "1 if the worker answered in time.", emit_answers,
	NULL},
    {"requests", GAUGE, NULL, "Requests that the keeper holds.", emit_status, "requests"},
    {"request_bytes", GAUGE, "bytes", "Memory that those take.", emit_status,
	"request_bytes"},
    {"connections", GAUGE, NULL, "Connections to the keeper.", emit_status,
	"connections"},
    {"children", GAUGE, NULL, "Processes that the keeper waits for.", emit_status,
	"children"},
    {"steps", GAUGE, NULL, "Effects whose results the keeper holds.", emit_status,
	"steps"},
    {"descriptors", GAUGE, NULL, "Descriptors that the keeper holds for the worker.",
	emit_status, "fds"},
    {"events_pending", GAUGE, NULL, "Events that containerd has not taken yet.",
	emit_pending, NULL},
    {"events_dropped", COUNTER, NULL, "Events of execs that were given up.", emit_dropped,
	NULL},
    {"memory_bytes", GAUGE, "bytes", "Memory, shared pages in proportion.", emit_memory,
	NULL},
    {"cpu_seconds", COUNTER, "seconds", "Processor time of the shim itself.", emit_cpu,
	NULL},
    {"operations", GAUGE, NULL, "Requests in the worker's hands.", emit_operations, NULL},
    {"stdio_bytes", COUNTER, "bytes",
	"Bytes moved between containers and their clients by this worker.", emit_bytes,
	NULL},
    {"request_duration_seconds", HISTOGRAM, "seconds",
	"From a request's arrival to its answer.", emit_meters, "method"},
    {"request_failures", COUNTER, NULL, "Requests answered with an error.", emit_meters,
	"method"},
    {"command_duration_seconds", HISTOGRAM, "seconds",
	"Commands of the OCI runtime, mounts.", emit_meters, "command"},
    {"command_failures", COUNTER, NULL, "Those that failed.", emit_meters, "command"},
    {"event_delivery_seconds", HISTOGRAM, "seconds", "Attempts to deliver an event.",
	emit_meters, "transport"},
    {"event_delivery_failures", COUNTER, NULL, "Those that failed.", emit_meters,
	"transport"},
};

/* --- asking ----------------------------------------------------------------- */

/* NULL: it did not answer in time, or is too old to know. */
static worker_metrics *
worker_ask(const struct pod *pod)
{
	AUTO_FREE char *state = pod_state(pod);
	Podshim__V1__MetricsRequest req = PODSHIM__V1__METRICS_REQUEST__INIT;
	ProtobufCMessage *answer = NULL;

	if (strcmp(state, "running") != 0 ||
	    rpc_admin(pod, "Metrics", &req.base, ASK_MS,
		&podshim__v1__metrics_response__descriptor, &answer, NULL) < 0)
		return NULL;
	return (worker_metrics *)answer;
}

/* Two containerds of one state root may each have such a pod: the directories differ. */
static const char *
hash_of_twin(const struct pods *pods, const struct pod *pod)
{
	const char *dot = strrchr(pod->name, '.');
	const struct pod *p;

	for (p = pods->v; p < pods->v + pods->n; p++)
		if (p != pod && strcmp(p->ns, pod->ns) == 0 &&
		    strcmp(p->group, pod->group) == 0)
			return dot == NULL ? pod->name : dot + 1;
	return NULL;
}

static void
print(FILE *out, const struct scraped *all, size_t n)
{
	static const char *const types[] = {
	    [GAUGE] = "gauge", [COUNTER] = "counter", [HISTOGRAM] = "histogram"};
	const struct family *f;
	size_t i;

	for (f = families; f < families + ARRAY_LEN(families); f++) {
		(void)fprintf(out, "# TYPE podshim_%s %s\n", f->name, types[f->type]);
		if (f->unit != NULL)
			(void)fprintf(out, "# UNIT podshim_%s %s\n", f->name, f->unit);
		(void)fprintf(out, "# HELP podshim_%s %s\n", f->name, f->help);
		for (i = 0; i < n; i++)
			f->emit(out, f, &all[i]);
	}
	(void)fprintf(out, "# EOF\n");
}

static int
cmd_metrics(struct ctl *ctl)
{
	struct pods pods = {0};
	struct found one = {0};
	struct scraped *all;
	boot_us_t began;
	size_t i, n = 0;
	int rc, found = CTL_OK;

	if (ctl_option(ctl, "all") != NULL && ctl->argc > 0)
		return ctl_one_or_all(ctl);
	if (!find_all(ctl, &pods, &rc))
		return rc;
	if (ctl->argc == 1)
		found = find_pod(ctl, &pods, ctl->argv[0], &one);
	all = mem_zalloc((pods.n + 1) * sizeof *all);
	began = clock_boot_us();
	for (i = 0; found == CTL_OK && i < pods.n; i++) {
		if (one.pod != NULL && one.pod != &pods.v[i])
			continue;
		all[n].pod = &pods.v[i];
		all[n].hash = hash_of_twin(&pods, all[n].pod);
		if (clock_boot_us() - began < ASK_ALL_MS * US_PER_MS)
			all[n].worker = worker_ask(&pods.v[i]);
		n++;
	}
	if (found == CTL_OK)
		print(ctl->out, all, n);
	for (i = 0; i < n; i++)
		if (all[i].worker != NULL)
			podshim__v1__metrics_response__free_unpacked(all[i].worker, NULL);
	free(all);
	pods_fini(&pods);
	return found == CTL_OK ? rc : found;
}

static const struct ctl_option options[] = {
    {"all", 0, NULL, "of all pods; so it is without POD, too"},
    {0},
};

const struct ctl_verb verb_metrics = {
    .name = "metrics",
    .group = GROUP_SEE,
    .args = "[POD]",
    .summary = "numbers for a collector, as OpenMetrics text",
    .text =
	"Durations of requests and runtime commands, restarts, queues, events, bytes,\n"
	"memory and processor time of keeper and worker. What a worker counts begins\n"
	"anew with each worker, and is missing while it does not answer\n"
	"(podshim_worker_answers 0). Where pods have one namespace and name, the label\n"
	"hash tells them apart. The format is the same with every -o.",
    .options = options,
    .examples = "  podshimctl metrics --all >/var/lib/node_exporter/podshim.prom",
    .max_args = 1,
    .run = cmd_metrics,
};

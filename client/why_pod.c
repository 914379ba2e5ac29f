/*
 * What may hold up a whole pod: those who should act do not, or wait for each
 * other.
 */
#include "client/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "client/crash.h"

/* What is younger is on its way. */
#define YOUNG_US     US_PER_S
/* The longest time between two attempts to deliver an event is longer. */
#define EVENT_OLD_NS (2 * NS_PER_S)

static char *
pod_subject(const struct pod *pod)
{
	return mem_printf("%s/%s", pod->ns, pod->group);
}

/* --- keeper ----------------------------------------------------------------------- */

static void
why_keeper(const struct look *l, const char *subject, struct findings *out)
{
	const struct proc *p = procs_find(l->procs, l->keeper);

	switch (l->pod->keeper) {
	case KEEPER_ANSWERED:
	case KEEPER_DENIED: return;
	case KEEPER_DEAD:
		finding_add(out, FINDING_BAD, "keeper-dead", subject,
		    pod_is_run(l->pod)
			? "'podshimctl delete --force' takes its containers away"
			: "containerd's next request, or its restart, cleans up; "
			  "'podshimctl doctor' says what is left",
		    "The pod's keeper is dead: its containers have no shim, and nobody "
		    "can answer for them.");
		return;
	case KEEPER_BROKEN:
		finding_add(out, FINDING_BAD, "keeper-broken", subject, NULL,
		    "What answers at the pod's admin socket is no keeper of podshim's.");
		return;
	case KEEPER_UNRESPONSIVE: break;
	}
	if (p == NULL) {
		finding_add(out, FINDING_BAD, "keeper-silent", subject, NULL,
		    "Somebody listens on the pod's admin socket, but does not answer.");
		return;
	}
	AUTO_FREE char *what = look_describe(p);

	finding_add(out, FINDING_BAD, "keeper-silent", subject,
	    p->state == 'T' ? "kill -CONT it; nothing of the pod is lost meanwhile"
			    : NULL,
	    "The keeper does not answer: it is %s.", what);
}

/* --- worker ----------------------------------------------------------------------- */

static void
why_worker_held(
    const struct look *l, const struct proc *p, const char *subject, struct findings *out)
{
	AUTO_FREE char *tracer = proc_status(p->pid, "TracerPid");
	pid_t by = tracer == NULL ? 0 : (pid_t)strtol(tracer, NULL, 10);
	const struct proc *who = by > 0 ? procs_find(l->procs, by) : NULL;

	if (by > 0)
		finding_add(out, FINDING_WARNING, "worker-traced", subject,
		    "let the debugger continue or detach; containers run on meanwhile",
		    "The worker (pid %d) is held by a debugger, %s (pid %d): requests "
		    "wait.",
		    (int)p->pid, who == NULL ? "?" : who->comm, (int)by);
	else
		finding_add(out, FINDING_BAD, "worker-stopped", subject,
		    "kill -CONT it, or 'podshimctl restart' the pod's worker",
		    "The worker (pid %d) is stopped by a signal: requests wait, and "
		    "exits "
		    "are not reported. It is left alone, as a debugger may want it so.",
		    (int)p->pid);
}

static void
why_crashes(const struct look *l, const char *subject, struct findings *out)
{
	int64_t deaths = pod_status_num(l->pod, "deaths");
	struct crashes crashes = {0};
	const struct crash *last;

	(void)crashes_load(l->pod->path, &crashes, NULL);
	last = crashes.n > 0 ? &crashes.v[crashes.n - 1] : NULL;
	finding_add(out, FINDING_BAD, "worker-crash-loop", subject,
	    "'podshimctl crashes' shows each death; 'podshimctl upgrade' gives it "
	    "another "
	    "build",
	    "The worker does not stay up: %lld deaths in a row, %lld starts that "
	    "failed%s%s%s%s.",
	    (long long)deaths, (long long)pod_status_num(l->pod, "failed_boots"),
	    last == NULL ? "" : "; the last one ",
	    last == NULL ? "" : crash_field(last, "ended"),
	    last == NULL || *crash_field(last, "what") == '\0' ? "" : " in ",
	    last == NULL ? "" : crash_field(last, "what"));
	crashes_fini(&crashes);
}

static void
why_worker(const struct look *l, const char *subject, struct findings *out)
{
	AUTO_FREE char *state = pod_state(l->pod);
	const struct proc *p = procs_find(l->procs, l->worker);
	int64_t left = pod_status_num(l->pod, "left_behind");

	if (left > 0)
		finding_add(out, FINDING_WARNING, "worker-left-behind", subject,
		    "what they wait for is in the kernel: a disk or a mount that hangs",
		    "%lld earlier %s not die.", (long long)left,
		    left == 1 ? "worker does" : "workers do");
	if (strcmp(state, "crash-loop") == 0) {
		why_crashes(l, subject, out);
		return;
	}
	if (p != NULL && (p->state == 'T' || p->state == 't')) {
		why_worker_held(l, p, subject, out);
		return;
	}
	if (p != NULL && p->state == 'D') {
		AUTO_FREE char *what = look_describe(p);

		finding_add(out, FINDING_WARNING, "worker-in-D", subject,
		    "what it waits for is in the kernel: a disk or a mount that hangs",
		    "The worker is %s.", what);
		return;
	}
	if (l->pod->keeper == KEEPER_ANSWERED && p == NULL)
		finding_add(out, FINDING_WARNING, "worker-none", subject, NULL,
		    "The pod has no worker at this moment (%s): requests wait.", state);
}

/* --- requests and runtime commands ------------------------------------------------ */

/* Those that wait by their nature. */
static bool
request_is_patient(const struct look_request *r)
{
	return strcmp(r->method, "Wait") == 0;
}

/* One of the same container that is before it, and in hand. */
static const struct look_request *
request_before(const struct look *l, size_t i)
{
	size_t j;

	for (j = 0; j < i; j++)
		if (!request_is_patient(&l->requests[j]) &&
		    strcmp(l->requests[j].id, l->requests[i].id) == 0)
			return &l->requests[j];
	return NULL;
}

static void
why_requests(const struct look *l, const char *subject, struct findings *out)
{
	size_t i;

	for (i = 0; i < l->n_requests; i++) {
		const struct look_request *r = &l->requests[i], *first;
		AUTO_FREE char *behind = NULL;

		if (request_is_patient(r) || r->age_us < l->young_us)
			continue;
		first = request_before(l, i);
		if (first != NULL)
			behind = mem_printf(
			    ", behind %s of the same container", first->method);
		finding_add(out, FINDING_WARNING, "request-waits", subject, NULL,
		    "%s of container '%s'%s%s waits for %s%s%s%s.", r->method, r->id,
		    *r->exec_id == '\0' ? "" : " exec ", r->exec_id, look_span(r->age_us),
		    r->delivered ? "" : ", no worker has taken it yet",
		    behind == NULL ? "" : behind,
		    r->orphan ? "; whoever asked is gone" : "");
	}
}

/* containerd's program that takes an event: nothing waits for it. */
static bool
command_is_event(const char *command)
{
	return command != NULL && strstr(command, " publish --topic ") != NULL;
}

static void
why_steps(const struct look *l, const char *subject, struct findings *out)
{
	size_t i;

	for (i = 0; i < l->n_steps; i++) {
		const struct proc *p = procs_find(l->procs, l->steps[i].pid);
		AUTO_FREE char *command = NULL;
		AUTO_FREE char *what = NULL;
		AUTO_FREE char *limit = NULL;

		if (p == NULL || proc_age(p) / 1000 < l->young_us)
			continue;
		command = proc_cmdline(p->pid);
		what = look_describe(p);
		if (l->steps[i].left_us >= 0)
			limit = mem_printf("; it is killed in %s unless it ends",
			    look_span(l->steps[i].left_us));
		finding_add(out,
		    command_is_event(command) ? FINDING_NOTE : FINDING_WARNING,
		    "command-runs", subject, NULL,
		    "A command of the shim's still runs: %s, that is '%.200s'%s.", what,
		    command == NULL ? "?" : command, limit == NULL ? "" : limit);
	}
}

/* --- events ----------------------------------------------------------------------- */

static void
why_events(const struct look *l, const char *subject, struct findings *out)
{
	const struct event_info *e;
	int64_t age;
	bool run = pod_is_run(l->pod);
	const char *reason = run ? "podshimctl takes them: the next attempt should do it"
				 : "containerd is there: the next attempt should do it";
	enum severity severity = FINDING_NOTE;

	if (l->pod->n_events == 0)
		return;
	e = &l->pod->events[0];
	age = clock_real_ns() - e->t;
	if (age < EVENT_OLD_NS)
		return;
	if (!run && l->address != NULL && !look_somebody_listens(l->address)) {
		reason = "containerd does not listen at its socket";
		severity = FINDING_WARNING;
	} else if (l->publisher != NULL && l->publisher[0] == '/' &&
	    access(l->publisher, X_OK) == -1) {
		reason = run ? "podshimctl, which takes them, is not there any more"
			     : "containerd's publish binary is not there any more";
		severity = FINDING_BAD;
	} else if (l->pod->keeper == KEEPER_DEAD) {
		reason = "nobody is there to deliver them";
		severity = FINDING_WARNING;
	}
	finding_add(out, severity, "events-pending", subject,
	    severity == FINDING_NOTE ? NULL
				     : "they are kept, and delivered once it is back",
	    "%zu events are not delivered yet, the first (%s of '%s') since %s after %u "
	    "attempts: %s.",
	    l->pod->n_events, e->topic, e->container, look_span(age / 1000), e->attempts,
	    reason);
}

/* SCHEMA.md, meta 'leaked' */
static void
why_leaked(const struct look *l, const char *subject, struct findings *out)
{
	if (l->pod->leaked != NULL && l->pod->leaked[0] != '\0')
		finding_add(out, FINDING_WARNING, "leaked", subject,
		    pod_is_run(l->pod)
			? "'podshimctl delete' of that container cleans up; the log and "
			  "'podshimctl crashes' say why it was given up"
			: "containerd's delete of that container cleans up; the log and "
			  "'podshimctl crashes' say why it was given up",
		    "A failed Create could not be undone, for doing so killed worker "
		    "after "
		    "worker; mounts, a cgroup or processes may be left of: %s.",
		    l->pod->leaked);
}

void
why_pod(const struct look *l, struct findings *out)
{
	AUTO_FREE char *subject = pod_subject(l->pod);

	why_keeper(l, subject, out);
	if (l->pod->keeper == KEEPER_ANSWERED || l->worker != 0)
		why_worker(l, subject, out);
	why_steps(l, subject, out);
	why_requests(l, subject, out);
	why_events(l, subject, out);
	why_leaked(l, subject, out);
	if (!l->pod->known)
		finding_add(out, FINDING_WARNING, "no-database", subject, NULL,
		    "The pod's database cannot be read: nothing is known of its "
		    "containers.");
}

/*
 * Names: candidates are counted for each way of matching, the strictest
 * first; the first way with a candidate decides, and two are one too many.
 */
#include "client/find.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/nearest.h"

static bool
find_them(struct ctl *ctl, struct pods *pods, bool ask, int *rc)
{
	struct err err = ERR_INIT;
	size_t i;
	int loaded = pods_find(ctl->root, ctl->ns, pods, &err);

	*rc = CTL_OK;
	if (loaded < 0) {
		*rc = ctl_fail_as(ctl, ctl_exit_of(loaded), "%s%s", err.text,
		    ctl_exit_of(loaded) == CTL_DENIED ? " (pods are root's)" : "");
		return false;
	}
	if (ask)
		pods_ask(pods, PODS_TIMEOUT_MS);
	for (i = 0; i < pods->n; i++) {
		loaded = pod_load(&pods->v[i], &err);
		if (loaded < 0 && loaded != -ENOENT)
			*rc = ctl_fail_as(ctl, ctl_exit_of(loaded), "pod '%s': %s",
			    pods->v[i].name, err.text);
	}
	return true;
}

bool
find_all(struct ctl *ctl, struct pods *pods, int *rc)
{
	return find_them(ctl, pods, true, rc);
}

bool
find_read(struct ctl *ctl, struct pods *pods, int *rc)
{
	return find_them(ctl, pods, false, rc);
}

enum how { EXACT, PREFIX };

static bool
name_matches(const char *have, const char *want, enum how how)
{
	return how == EXACT ? strcmp(have, want) == 0
			    : *want != '\0' && strncmp(have, want, strlen(want)) == 0;
}

struct search {
	struct found found;
	unsigned n;
	char *names; /* of the first few, for the message */
};

static void
search_hit(struct search *s, struct pod *pod, struct container_info *c)
{
	char *more;

	s->n++;
	if (s->n == 1)
		s->found = (struct found){.pod = pod, .container = c};
	if (s->n > 3)
		return;
	more = mem_printf("%s%s%s/%s%s%s", s->names == NULL ? "" : s->names,
	    s->names == NULL ? "" : ", ", pod->ns, pod->name, c == NULL ? "" : "/",
	    c == NULL ? "" : c->id);
	free(s->names);
	s->names = more;
}

static void
search_pods(struct search *s, struct pods *pods, const char *name, enum how how)
{
	size_t i;

	for (i = 0; i < pods->n; i++)
		if (name_matches(pods->v[i].group, name, how) ||
		    name_matches(pods->v[i].name, name, how))
			search_hit(s, &pods->v[i], NULL);
}

static void
search_containers(
    struct search *s, struct pod *pods, size_t n, const char *name, enum how how)
{
	size_t i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < pods[i].n_containers; j++)
			if (name_matches(pods[i].containers[j].id, name, how))
				search_hit(s, &pods[i], &pods[i].containers[j]);
}

enum { OF_PODS = 1, OF_CONTAINERS = 2 };

/* n pods, their containers, or both: which names are nearly this one? */
static char *
nearest_of(const struct pod *pods, size_t n, const char *name, unsigned of)
{
	struct nearest nearest = {.want = name};
	size_t i, j;

	for (i = 0; i < n; i++) {
		if ((of & OF_PODS) != 0)
			nearest_offer(&nearest, pods[i].group);
		for (j = 0; j < pods[i].n_containers; j++)
			if ((of & OF_CONTAINERS) != 0)
				nearest_offer(&nearest, pods[i].containers[j].id);
	}
	return nearest_text(&nearest);
}

/* Takes s->names. near: what to say behind "no such". */
static int
search_end(struct ctl *ctl, struct search *s, const char *what, const char *name,
    const char *near, struct found *out)
{
	AUTO_FREE char *names = s->names;

	if (s->n == 0)
		return ctl_fail_as(ctl, CTL_NOT_FOUND, "no %s '%s'%s", what, name, near);
	if (s->n > 1)
		return ctl_fail(
		    ctl, "'%s' is ambiguous: %s%s", name, names, s->n > 3 ? ", ..." : "");
	*out = s->found;
	return CTL_OK;
}

/* least: the least strict way that will do. */
static int
find_pod_as(struct ctl *ctl, struct pods *pods, const char *name, enum how least,
    struct found *out)
{
	AUTO_FREE char *near = nearest_of(pods->v, pods->n, name, OF_PODS);
	struct search s = {0};

	search_pods(&s, pods, name, EXACT);
	if (s.n == 0 && least == PREFIX)
		search_pods(&s, pods, name, PREFIX);
	return search_end(ctl, &s, "pod", name, near, out);
}

int
find_pod(struct ctl *ctl, struct pods *pods, const char *name, struct found *out)
{
	return find_pod_as(ctl, pods, name, PREFIX, out);
}

/* "POD/CONTAINER", cut at the slash. */
static int
find_in_pod(struct ctl *ctl, struct pods *pods, const char *name, const char *slash,
    enum how least, struct found *out)
{
	AUTO_FREE char *pod_name = mem_printf("%.*s", (int)(slash - name), name);
	AUTO_FREE char *near = NULL;
	struct search s = {0};
	struct found pod;
	int rc;

	rc = find_pod_as(ctl, pods, pod_name, least, &pod);
	if (rc != CTL_OK)
		return rc;
	search_containers(&s, pod.pod, 1, slash + 1, EXACT);
	if (s.n == 0 && least == PREFIX)
		search_containers(&s, pod.pod, 1, slash + 1, PREFIX);
	near = nearest_of(pod.pod, 1, slash + 1, OF_CONTAINERS);
	return search_end(ctl, &s, "container", name, near, out);
}

static int
find_container_as(struct ctl *ctl, struct pods *pods, const char *name, enum how least,
    struct found *out)
{
	AUTO_FREE char *near = nearest_of(pods->v, pods->n, name, OF_CONTAINERS);
	const char *slash = strrchr(name, '/');
	struct search s = {0};

	if (slash != NULL)
		return find_in_pod(ctl, pods, name, slash, least, out);
	search_containers(&s, pods->v, pods->n, name, EXACT);
	if (s.n == 0 && least == PREFIX)
		search_containers(&s, pods->v, pods->n, name, PREFIX);
	return search_end(ctl, &s, "container", name, near, out);
}

int
find_container(struct ctl *ctl, struct pods *pods, const char *name, struct found *out)
{
	return find_container_as(ctl, pods, name, PREFIX, out);
}

int
find_whole_name(struct ctl *ctl, struct pods *pods, const char *name, struct found *out)
{
	return find_container_as(ctl, pods, name, EXACT, out);
}

int
find_any(struct ctl *ctl, struct pods *pods, const char *name, struct found *out)
{
	AUTO_FREE char *near =
	    nearest_of(pods->v, pods->n, name, OF_PODS | OF_CONTAINERS);
	const enum how hows[] = {EXACT, PREFIX};
	const char *slash = strrchr(name, '/');
	struct search s = {0};
	size_t i;

	if (slash != NULL)
		return find_in_pod(ctl, pods, name, slash, PREFIX, out);
	/* a pod and its first container often bear one name: the pod has it in it */
	for (i = 0; i < ARRAY_LEN(hows) && s.n == 0; i++) {
		search_pods(&s, pods, name, hows[i]);
		if (s.n == 0)
			search_containers(&s, pods->v, pods->n, name, hows[i]);
	}
	return search_end(ctl, &s, "pod or container", name, near, out);
}

int
find_and_do(struct ctl *ctl, int (*act)(struct ctl *ctl, const struct found *f))
{
	struct pods pods = {0};
	struct found f;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = find_container(ctl, &pods, ctl->argv[0], &f);
	if (rc == CTL_OK)
		rc = act(ctl, &f);
	pods_fini(&pods);
	return rc;
}

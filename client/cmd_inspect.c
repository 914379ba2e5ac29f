/*
 * podshimctl inspect: all that is known of one pod or container. What is
 * printed is one JSON value either way; as a table it is laid out as indented
 * lines, so that the two never differ in what they tell.
 */
#include "client/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/find.h"
#include "client/process.h"
#include "client/text.h"

/* The keeper's lines of key=value, numbers as numbers. */
static json_t *
keeper_json(const struct pod *pod)
{
	AUTO_FREE char *text = mem_strdup(pod->status);
	json_t *obj;
	char *line, *eq, *save = NULL, *end;
	long long n;

	if (text == NULL)
		return json_null();
	obj = json_object();
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		AUTO_FREE char *key = NULL;

		eq = strchr(line, '=');
		if (eq == NULL)
			continue;
		*eq = '\0';
		key = text_utf8(line);
		n = strtoll(eq + 1, &end, 10);
		(void)json_object_set_new(obj, key,
		    eq[1] != '\0' && *end == '\0' ? json_integer(n) : js_text(eq + 1));
	}
	return obj;
}

static json_t *
options_json(const char *options)
{
	json_t *value =
	    *options == '\0' ? NULL : json_loads(options, JSON_DECODE_ANY, NULL);

	return value != NULL ? value : js_name(options);
}

static json_t *
container_json(const struct container_info *c)
{
	json_t *processes = json_array(), *one;
	const struct process_info *p;
	size_t i;

	for (i = 0; i < c->n_processes; i++) {
		p = &c->processes[i];
		one = process_json(c, p);
		(void)json_object_set_new(one, "terminal", json_boolean(p->terminal));
		(void)json_object_set_new(one, "stdin", js_name(p->stdin_path));
		(void)json_object_set_new(one, "stdout", js_name(p->stdout_path));
		(void)json_object_set_new(one, "stderr", js_name(p->stderr_path));
		(void)json_array_append_new(processes, one);
	}
	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o}",
	    "container", js_text(c->id), "status",
	    process_status(c, c->n_processes == 0 ? NULL : &c->processes[0]),
	    "created_at", js_time(c->created_at), "bundle", js_name(c->bundle), "runtime",
	    js_name(c->runtime), "runtime_root", js_name(c->runtime_root), "cgroup",
	    js_name(c->cgroup), "options", options_json(c->options), "own_pid_namespace",
	    c->own_pidns, "rootfs_mounted", c->rootfs_mounted, "oom_kills",
	    js_num((int64_t)c->oom_seen), "processes", processes);
}

/* Pending events of the pod, or of one container. */
static json_t *
events_json(const struct pod *pod, const char *container)
{
	json_t *array = json_array();
	const struct event_info *e;
	size_t i;

	for (i = 0; i < pod->n_events; i++) {
		e = &pod->events[i];
		if (container != NULL && strcmp(container, e->container) != 0)
			continue;
		(void)json_array_append_new(array,
		    json_pack("{s:I, s:o, s:o, s:o, s:o, s:i}", "seq", (json_int_t)e->seq,
			"container", js_text(e->container), "exec", js_name(e->exec_id),
			"topic", js_text(e->topic), "time", js_time(e->t), "attempts",
			(int)e->attempts));
	}
	return array;
}

static json_t *
pod_head(const struct pod *pod)
{
	AUTO_FREE char *state = pod_state(pod);

	return json_pack("{s:o, s:o, s:o, s:o}", "namespace", js_text(pod->ns), "pod",
	    js_text(pod->group), "state", js_text(state), "directory",
	    js_text(pod->path));
}

static json_t *
pod_whole(const struct pod *pod)
{
	json_t *obj = pod_head(pod), *containers = json_array();
	size_t i;

	(void)json_object_set_new(obj, "keeper", keeper_json(pod));
	(void)json_object_set_new(obj, "build", js_name(pod->build));
	(void)json_object_set_new(obj, "created_at", js_time(pod->created_at));
	for (i = 0; i < pod->n_containers; i++)
		(void)json_array_append_new(
		    containers, container_json(&pod->containers[i]));
	(void)json_object_set_new(obj, "containers", containers);
	(void)json_object_set_new(obj, "events_dropped",
	    js_num(pod->known ? (int64_t)pod->counts.events_dropped : -1));
	(void)json_object_set_new(obj, "events", events_json(pod, NULL));
	return obj;
}

static json_t *
container_whole(const struct pod *pod, const struct container_info *c)
{
	json_t *obj = pod_head(pod);

	(void)json_object_update_new(obj, container_json(c));
	(void)json_object_set_new(obj, "events", events_json(pod, c->id));
	return obj;
}

/* --- as indented lines ---------------------------------------------------- */

static void
lines_print(const char *key, const json_t *value, int depth, FILE *out)
{
	AUTO_FREE char *safe_key = text_safe(key);
	AUTO_FREE char *text = NULL;
	const char *k;
	json_t *v;
	size_t i;

	(void)fprintf(out, "%*s%s:", depth * 2, "", safe_key);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		(void)fputc('\n', out);
		json_object_foreach((json_t *)(uintptr_t)value, k, v)
		    lines_print(k, v, depth + 1, out);
		return;
	case JSON_ARRAY:
		if (json_array_size(value) == 0)
			break;
		(void)fputc('\n', out);
		json_array_foreach(value, i, v)
		{
			AUTO_FREE char *number = mem_printf("%zu", i + 1);

			lines_print(number, v, depth + 1, out);
		}
		return;
	case JSON_STRING: text = text_safe(json_string_value(value)); break;
	case JSON_INTEGER:
		text = mem_printf("%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL: text = mem_printf("%g", json_real_value(value)); break;
	case JSON_TRUE: text = mem_strdup("yes"); break;
	case JSON_FALSE: text = mem_strdup("no"); break;
	case JSON_NULL: break;
	}
	(void)fprintf(out, " %s\n", text == NULL || *text == '\0' ? "-" : text);
}

static int
cmd_inspect(struct ctl *ctl)
{
	struct pods pods = {0};
	struct found one;
	const char *key;
	json_t *value, *v;
	int rc, found;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	found = find_any(ctl, &pods, ctl->argv[0], &one);
	if (found != CTL_OK) {
		pods_fini(&pods);
		return found;
	}
	value = one.container == NULL ? pod_whole(one.pod)
				      : container_whole(one.pod, one.container);
	pods_fini(&pods);
	if (ctl_is_json(ctl)) {
		js_print(ctl, value);
		return rc;
	}
	json_object_foreach(value, key, v) lines_print(key, v, 0, ctl->out);
	json_decref(value);
	return rc;
}

const struct ctl_verb verb_inspect = {
    .name = "inspect",
    .group = GROUP_SEE,
    .args = "POD|CONTAINER",
    .summary = "all that is known of a pod or of a container",
    .examples = "  podshimctl inspect web\n"
		"  podshimctl inspect web/front -o json | jq .cgroup",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_inspect,
};

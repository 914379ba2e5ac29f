/*
 * podshimctl crashes: how the workers of a pod died, newest last.
 */
#include "client/verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "client/crash.h"
#include "client/find.h"
#include "client/json.h"
#include "client/text.h"
#include "ipc/msg.h"

static json_t *
crash_json(const struct crash *c)
{
	json_t *obj = json_object(), *frames = json_array(), *traces = json_array();
	size_t i;

	for (i = 0; i < c->n_fields; i++) {
		AUTO_FREE char *key = text_utf8(c->fields[i].key);

		(void)json_object_set_new(obj, key, js_text(c->fields[i].value));
	}
	(void)json_object_set_new(obj, "generation", js_num((int64_t)c->generation));
	(void)json_object_set_new(
	    obj, "time", js_time(strtoll(crash_field(c, "time_ns"), NULL, 10)));
	for (i = 0; i < c->n_frames; i++)
		(void)json_array_append_new(frames,
		    json_pack("{s:o, s:o, s:o}", "address", js_name(c->frames[i].address),
			"offset", js_name(c->frames[i].offset), "name",
			js_name(c->frames[i].resolved)));
	for (i = 0; i < c->traces.n; i++)
		(void)json_array_append_new(traces, js_text(c->traces.v[i]));
	(void)json_object_set_new(obj, "frames", frames);
	(void)json_object_set_new(obj, "trace", traces);
	return obj;
}

static void
say(FILE *out, const char *label, const char *value)
{
	AUTO_FREE char *safe = text_safe(value);

	if (*value != '\0')
		(void)fprintf(out, "  %-12s%s\n", label, safe);
}

static void
crash_print(const struct crash *c, FILE *out)
{
	AUTO_FREE char *when = text_time(strtoll(crash_field(c, "time_ns"), NULL, 10));
	AUTO_FREE char *ended = text_safe(crash_field(c, "ended"));
	AUTO_FREE char *verdict = text_safe(crash_field(c, "verdict"));
	uint64_t n = strtoull(crash_field(c, "in_hand"), NULL, 10);
	/* work that no request stands for has a name of the worker's own making */
	AUTO_FREE char *in_hand = n == 0 || key_is_internal(n)
	    ? mem_strdup(n == 0 ? "nothing" : crash_field(c, "what"))
	    : mem_printf("%s, request %" PRIu64, crash_field(c, "what"), n);
	size_t i;

	(void)fprintf(out, "worker generation %lu, %s: %s, %s\n", c->generation,
	    when == NULL ? "-" : when, ended, verdict);
	say(out, "more", crash_field(c, "more"));
	say(out, "process", crash_field(c, "worker"));
	say(out, "build", crash_field(c, "build"));
	say(out, "executable", crash_field(c, "exe"));
	say(out, "in hand", in_hand);
	if (strcmp(crash_field(c, "fatal_signal"), "0") != 0)
		say(out, "address", crash_field(c, "fatal_addr"));
	if (c->n_frames > 0)
		(void)fprintf(out, "  backtrace\n");
	for (i = 0; i < c->n_frames; i++) {
		const struct crash_frame *f = &c->frames[i];
		AUTO_FREE char *line =
		    mem_printf("%s  %s", f->offset != NULL ? f->offset : f->address,
			f->resolved != NULL ? f->resolved : "");
		AUTO_FREE char *safe = text_safe(line);

		(void)fprintf(out, "    %2zu  %s\n", i, safe);
	}
	if (c->traces.n > 0)
		(void)fprintf(
		    out, "  last words (microseconds since boot, request, text)\n");
	for (i = 0; i < c->traces.n; i++) {
		AUTO_FREE char *safe = text_safe(c->traces.v[i]);

		(void)fprintf(out, "    %s\n", safe);
	}
}

static int
cmd_crashes(struct ctl *ctl)
{
	struct crashes crashes = {0};
	struct err err = ERR_INIT;
	struct pods pods = {0};
	json_t *array = NULL;
	struct found one;
	size_t i;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = find_pod(ctl, &pods, ctl->argv[0], &one);
	if (rc == CTL_OK && crashes_load(one.pod->path, &crashes, &err) < 0)
		rc = ctl_fail(ctl, "%s", err.text);
	pods_fini(&pods);
	if (rc != CTL_OK)
		return rc;
	if (ctl_is_json(ctl))
		array = json_array();
	for (i = 0; i < crashes.n; i++) {
		crash_resolve(&crashes.v[i]);
		if (array != NULL) {
			(void)json_array_append_new(array, crash_json(&crashes.v[i]));
			continue;
		}
		if (i > 0)
			(void)fputc('\n', ctl->out);
		crash_print(&crashes.v[i], ctl->out);
	}
	if (array != NULL)
		js_print(ctl, array);
	else if (crashes.n == 0)
		(void)fprintf(ctl->out, "no worker of this pod has crashed\n");
	crashes_fini(&crashes);
	return CTL_OK;
}

const struct ctl_verb verb_crashes = {
    .name = "crashes",
    .group = GROUP_EXPLAIN,
    .args = "POD",
    .summary = "how the pod's workers died",
    .text = "The newest 8 crash records, the newest last. Addresses become names if\n"
	    "addr2line is installed and the executable is still the same.",
    .examples = "  podshimctl crashes web",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_crashes,
};

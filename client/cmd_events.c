/*
 * podshimctl events: what containerd was told, and what it still has to be
 * told, from the pods' outboxes.
 */
#include <string.h>

#include "client/past.h"
#include "client/sheet.h"
#include "client/verbs.h"

static const struct column columns[] = {
    {"TIME", "time", 0},
    {"NAMESPACE", "namespace", SHOW_WIDE},
    {"POD", "pod", 0},
    {"CONTAINER", "container", 0},
    {"EXEC", "exec", 0},
    {"TOPIC", "topic", 0},
    {"STATE", "state", 0},
    {"BY", "transport", 0},
    {"TRIES", "attempts", 0},
    {"DELIVERED", "delivered_at", SHOW_WIDE},
    {"SEQ", "seq", SHOW_WIDE},
    {0},
};

static void
event_row(struct sheet *s, const struct past_event *e)
{
	bool sent = e->transport != NULL;
	const char *slash = strrchr(e->topic, '/');
	const char *short_topic = slash == NULL ? e->topic : slash + 1;
	bool dropped = sent && strcmp(e->transport, "dropped") == 0;

	sheet_time(s, e->t);
	sheet_text(s, e->ns);
	sheet_text(s, e->pod);
	sheet_text(s, e->container);
	sheet_text(s, e->exec_id);
	sheet_text_as(s, *short_topic == '\0' ? e->topic : short_topic, e->topic);
	sheet_state(s,
	    dropped    ? "dropped"
		: sent ? "delivered"
		       : "pending",
	    dropped    ? LOOK_BAD
		: sent ? LOOK_PLAIN
		       : LOOK_WARN);
	sheet_text(s, dropped ? NULL : e->transport);
	/* the one that did it is not among those that were counted before it */
	sheet_num(s, e->attempts + (sent && !dropped ? 1 : 0));
	sheet_time(s, e->sent_at);
	sheet_num(s, (int64_t)e->seq);
}

static void
show(const struct past *past, void *arg)
{
	struct sheet *sheet = arg;
	size_t i;

	for (i = 0; i < past->n_events; i++)
		event_row(sheet, &past->events[i]);
	sheet_flush(sheet);
}

static int
cmd_events(struct ctl *ctl)
{
	bool follow = ctl_option(ctl, "follow") != NULL;
	struct sheet *sheet;
	int rc;

	if (follow && ctl->format == FORMAT_JSON)
		ctl->format = FORMAT_JSONL;
	sheet = sheet_new(ctl, columns);
	rc = past_run(ctl, PAST_EVENTS, follow, show, sheet);
	sheet_free(sheet);
	return rc;
}

static const struct ctl_option options[] = {
    {"follow", 'f', NULL, "go on with what comes; with -o json as with jsonl"},
    {0},
};

const struct ctl_verb verb_events = {
    .name = "events",
    .group = GROUP_SEE,
    .args = "[POD|CONTAINER]",
    .summary = "what containerd was told, and what it still has to be told",
    .text =
	"The last 64 delivered events of each pod, and those that are pending. BY is\n"
	"the way they went: publish-binary or ttrpc. With -f one that is pending is\n"
	"shown again when it has been delivered.",
    .options = options,
    .examples = "  podshimctl events -f\n"
		"  podshimctl events web -o jsonl | jq 'select(.state == \"pending\")'",
    .max_args = 1,
    .run = cmd_events,
};

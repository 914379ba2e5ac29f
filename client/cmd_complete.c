/*
 * podshimctl complete: what may stand at the end of a command line, for the
 * shells' completion. Its arguments are the words behind "podshimctl", the last
 * one (maybe "") being typed. The first line says how to go on: "words" (those
 * that follow, one per line), "files" or "dirs". Verbs and options come from
 * the table, pods and containers from their databases; no keeper is asked.
 */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "client/args.h"
#include "client/pods.h"
#include "client/verbs.h"

struct line {
	struct ctl *ctl;
	const char *word;	      /* the one that is typed */
	const struct ctl_verb *verb;  /* NULL: none yet */
	const struct ctl_option *due; /* whose value it is */
	int n_args;		      /* behind the verb */
	bool no_options;	      /* "--" or the beginning of another command line */
};

static void
offer(const struct line *l, const char *word)
{
	if (strncmp(word, l->word, strlen(l->word)) == 0)
		(void)fprintf(l->ctl->out, "%s\n", word);
}

/* Names with other characters would need quotes. */
static void
offer_name(const struct line *l, const char *name)
{
	const char *p = name;

	while (isalnum((unsigned char)*p) || (*p != '\0' && strchr("._-", *p) != NULL))
		p++;
	if (*p == '\0' && *name != '\0')
		offer(l, name);
}

static void
offer_parts(const struct line *l, const char *bars)
{
	AUTO_FREE char *copy = mem_strdup(bars);
	char *save = NULL, *word;

	for (word = strtok_r(copy, "|", &save); word != NULL;
	     word = strtok_r(NULL, "|", &save))
		offer(l, word);
}

static void
offer_options(const struct line *l, const struct ctl_option *o)
{
	for (; o != NULL && o->name != NULL; o++) {
		AUTO_FREE char *name = mem_printf("--%s", o->name);
		const char letter[] = {'-', o->letter, '\0'};

		offer(l, name);
		if (o->letter != 0)
			offer(l, letter);
	}
}

enum names { NAMES_NS = 1, NAMES_POD = 2, NAMES_CONTAINER = 4 };

static void
offer_pods(const struct line *l, unsigned names)
{
	struct pods pods = {0};
	size_t i, j;

	if (pods_find(l->ctl->root, l->ctl->ns, &pods, NULL) < 0)
		return;
	for (i = 0; i < pods.n; i++) {
		(void)pod_load(&pods.v[i], NULL);
		if ((names & NAMES_NS) != 0)
			offer_name(l, pods.v[i].ns);
		if ((names & NAMES_POD) != 0)
			offer_name(l, pods.v[i].group);
		for (j = 0; j < pods.v[i].n_containers; j++)
			if ((names & NAMES_CONTAINER) != 0)
				offer_name(l, pods.v[i].containers[j].id);
	}
	pods_fini(&pods);
}

static const struct ctl_verb *const *
line_verbs(const struct line *l)
{
	return l->verb == NULL ? ctl_verbs : l->verb->subs;
}

static void
offer_verbs(const struct line *l, const struct ctl_verb *const *v)
{
	for (; *v != NULL; v++)
		offer(l, (*v)->name);
}

/* What the args of the verb call the i-th one: "[POD|CONTAINER]"; "" if nothing. */
static char *
arg_name(const struct ctl_verb *v, int i)
{
	const char *p = v->args, *end;

	while (i-- > 0) {
		end = strchr(p, ' ');
		if (end == NULL)
			return mem_strdup(strstr(p, "...") != NULL ? p : "");
		p = end + 1;
	}
	return mem_printf("%.*s", (int)strcspn(p, " "), p);
}

/* By the word for it: POD, CONTAINER, FILE, DIR, COMMAND, or alternatives. */
static void
complete_value(const struct line *l, const char *kind)
{
	unsigned names = (strstr(kind, "POD") != NULL ? (unsigned)NAMES_POD : 0) |
	    (strstr(kind, "CONTAINER") != NULL ? (unsigned)NAMES_CONTAINER : 0);

	if (strstr(kind, "FILE") != NULL || strstr(kind, "DIR") != NULL) {
		(void)fprintf(
		    l->ctl->out, "%s\n", strstr(kind, "FILE") != NULL ? "files" : "dirs");
		return;
	}
	(void)fprintf(l->ctl->out, "words\n");
	if (names != 0)
		offer_pods(l, names);
	else if (strstr(kind, "COMMAND") != NULL && l->verb == &verb_help)
		offer_verbs(l, ctl_verbs);
	else if (strchr(kind, '|') != NULL)
		offer_parts(l, kind);
}

/* --- reading the line ------------------------------------------------------ */

static const struct ctl_option *
option_in(const struct ctl_option *o, const char *word)
{
	for (; o != NULL && o->name != NULL; o++)
		if ((word[1] == '-' && strcmp(word + 2, o->name) == 0) ||
		    (word[1] != '-' && word[1] == o->letter && word[2] == '\0'))
			return o;
	return NULL;
}

static void
line_option(struct line *l, const char *word)
{
	const struct ctl_option *o = option_in(ctl_global_options, word);

	if (o == NULL && l->verb != NULL)
		o = option_in(l->verb->options, word);
	if (o != NULL && o->value != NULL)
		l->due = o;
}

static void
line_value(struct line *l, const char *word)
{
	if (strcmp(l->due->name, "namespace") == 0)
		l->ctl->ns = word;
	else if (strcmp(l->due->name, "state-root") == 0)
		l->ctl->root = word;
	l->due = NULL;
}

static void
line_word(struct line *l, const char *word)
{
	const struct ctl_verb *const *v;

	if (strcmp(word, "=") == 0) /* bash splits "--name=value" in three */
		return;
	if (l->due != NULL) {
		line_value(l, word);
		return;
	}
	if (!l->no_options && *word == '-') {
		l->no_options = strcmp(word, "--") == 0;
		line_option(l, word);
		return;
	}
	for (v = line_verbs(l); v != NULL && *v != NULL; v++) {
		if (strcmp((*v)->name, word) == 0) {
			l->verb = *v;
			return;
		}
	}
	l->n_args++;
	if (l->verb != NULL && l->verb->order == ORDER_FIRST)
		l->no_options = true;
}

static int
cmd_complete(struct ctl *ctl)
{
	struct line l = {.ctl = ctl};
	int i;

	for (i = 0; i + 1 < ctl->argc; i++)
		line_word(&l, ctl->argv[i]);
	l.word = ctl->argv[ctl->argc - 1];
	if (strcmp(l.word, "=") == 0)
		l.word = "";
	if (l.due != NULL && strcmp(l.due->name, "namespace") == 0) {
		(void)fprintf(ctl->out, "words\n");
		offer_pods(&l, NAMES_NS);
	} else if (l.due != NULL) {
		complete_value(&l, l.due->value);
	} else if (*l.word == '-' && !l.no_options) {
		(void)fprintf(ctl->out, "words\n");
		offer_options(&l, l.verb == NULL ? NULL : l.verb->options);
		offer_options(&l, ctl_global_options);
	} else if (line_verbs(&l) != NULL) {
		(void)fprintf(ctl->out, "words\n");
		if (l.n_args == 0) /* else it is no verb of ours */
			offer_verbs(&l, line_verbs(&l));
	} else {
		AUTO_FREE char *kind = arg_name(l.verb, l.n_args);

		complete_value(&l, kind);
	}
	return CTL_OK;
}

const struct ctl_verb verb_complete = {
    .name = "complete",
    .group = GROUP_SELF,
    .args = "WORD...",
    .summary = "for the shell: how a command line may go on",
    .order = ORDER_NONE,
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_complete,
};

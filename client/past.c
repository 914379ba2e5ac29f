/*
 * A mark remembers, per pod's directory, the last numbers seen and when the
 * database was written; numbers begin anew with a new directory only.
 */
#include "client/past.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/find.h"

#define FOLLOW_MS  250
/* A file's time moves in ticks: one that was written so lately may be written again at the same time. */
#define SETTLED_NS (NS_PER_S / 10)

struct past_mark {
	char *path;
	ino_t ino;		 /* of the directory */
	struct timespec written; /* and settled by then; else not remembered */
	uint64_t pending;	 /* highest seq seen as pending */
	uint64_t sent;
	uint64_t line;
	char *complaint; /* the last, if it could not be read; NULL */
	bool met;	 /* in this round */
};

struct past_marks {
	struct past_mark *v;
	size_t n;
	char *complaint; /* the last, if there was nothing to be read at all; NULL */
};

/* Of what is to be told. */
struct scope {
	char *path;	 /* of the pod's directory; NULL: all */
	char *container; /* NULL: all */
	int rc;		 /* if nothing is known of it: this, */
	char *complaint; /* and why */
};

struct reading {
	const struct pod *pod;
	char *group; /* as the database knows it */
	const struct scope *scope;
	struct past_mark *mark;
	struct past *out;
};

/* --- marks ----------------------------------------------------------------- */

static struct past_mark *
mark_of(struct past_marks *marks, const char *path, ino_t ino)
{
	struct past_mark *m;
	size_t i;

	for (i = 0; i < marks->n; i++) {
		m = &marks->v[i];
		if (strcmp(m->path, path) != 0)
			continue;
		if (m->ino != ino) { /* another pod by that name */
			free(m->complaint);
			*m = (struct past_mark){.path = m->path, .ino = ino};
		}
		return m;
	}
	marks->v = mem_realloc(marks->v, (marks->n + 1) * sizeof *marks->v);
	m = &marks->v[marks->n++];
	*m = (struct past_mark){.path = mem_strdup(path), .ino = ino};
	return m;
}

/* Forget those of pods that are gone. */
static void
marks_sweep(struct past_marks *marks)
{
	size_t i, n = 0;

	for (i = 0; i < marks->n; i++) {
		struct past_mark m = marks->v[i];

		if (m.met) {
			m.met = false;
			marks->v[n++] = m;
			continue;
		}
		free(m.path);
		free(m.complaint);
	}
	marks->n = n;
}

static void
marks_fini(struct past_marks *marks)
{
	marks_sweep(marks); /* none is met */
	free(marks->v);
	free(marks->complaint);
}

/* What is complained about in each round is said once. NULL: it is well. */
static void
complain(struct ctl *ctl, char **last, const char *text)
{
	if (text != NULL && (*last == NULL || strcmp(*last, text) != 0))
		(void)ctl_fail(ctl, "%s", text);
	free(*last);
	*last = mem_strdup(text);
}

/* When log or database were written last. */
static struct timespec
written(const char *dir)
{
	static const char *const files[] = {"state.db-wal", "state.db"};
	struct timespec last = {0};
	struct stat sb;
	size_t i;

	for (i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, files[i]);

		if (stat(path, &sb) == 0 &&
		    (sb.st_mtim.tv_sec > last.tv_sec ||
			(sb.st_mtim.tv_sec == last.tv_sec &&
			    sb.st_mtim.tv_nsec > last.tv_nsec)))
			last = sb.st_mtim;
	}
	return last;
}

static bool
settled(struct timespec t, int64_t now_ns)
{
	return now_ns - (t.tv_sec * NS_PER_S + t.tv_nsec) > SETTLED_NS;
}

/* --- rows ------------------------------------------------------------------ */

static bool
wanted(const struct reading *r, const char *container)
{
	return r->scope->container == NULL || strcmp(r->scope->container, container) == 0;
}

static void
event_add(struct reading *r, struct past_event e)
{
	struct past *p = r->out;

	e.ns = mem_strdup(r->pod->ns);
	e.pod = mem_strdup(r->group);
	p->events = mem_realloc(p->events, (p->n_events + 1) * sizeof *p->events);
	p->events[p->n_events++] = e;
}

static bool
on_pending(const struct row_event *row, void *arg)
{
	struct reading *r = arg;

	r->mark->pending = row->seq;
	if (wanted(r, row->container))
		event_add(r,
		    (struct past_event){.seq = row->seq,
			.container = mem_strdup(row->container),
			.exec_id = mem_strdup(row->exec_id),
			.topic = mem_strdup(row->topic),
			.t = row->t,
			.attempts = row->attempts});
	return true;
}

static void
on_sent(const struct row_sent *row, void *arg)
{
	struct reading *r = arg;

	r->mark->sent = row->n;
	if (wanted(r, row->container))
		event_add(r,
		    (struct past_event){.seq = row->seq,
			.container = mem_strdup(row->container),
			.exec_id = mem_strdup(row->exec_id),
			.topic = mem_strdup(row->topic),
			.t = row->t,
			.attempts = row->attempts,
			.transport = mem_strdup(row->transport),
			.sent_at = row->sent_at});
}

static void
on_line(const struct row_audit *row, void *arg)
{
	struct reading *r = arg;
	struct past *p = r->out;

	r->mark->line = row->n;
	if (!wanted(r, row->container))
		return;
	p->lines = mem_realloc(p->lines, (p->n_lines + 1) * sizeof *p->lines);
	p->lines[p->n_lines++] = (struct past_line){.ns = mem_strdup(r->pod->ns),
	    .pod = mem_strdup(r->group),
	    .n = row->n,
	    .t = row->t,
	    .container = mem_strdup(row->container),
	    .exec_id = mem_strdup(row->exec_id),
	    .what = mem_strdup(row->what),
	    .detail = mem_strdup(row->detail)};
}

/* --- reading --------------------------------------------------------------- */

static int
read_pod(struct reading *r, enum past_what what, struct err *err)
{
	struct store *st = NULL;
	int rc = store_open_readonly(r->pod->path, &st, err);

	if (rc == -ENOENT)
		return 0;
	r->group = rc == 0 ? store_get_meta(st, "group") : NULL;
	if (r->group == NULL)
		r->group = mem_strdup(r->pod->group);
	if (rc == 0 && what == PAST_LINES)
		rc = store_each_audit(st, r->mark->line, on_line, r, err);
	/* one that is delivered between the two is told twice rather than never */
	if (rc == 0 && what == PAST_EVENTS)
		rc = store_each_event(st, r->mark->pending, on_pending, r, err);
	if (rc == 0 && what == PAST_EVENTS)
		rc = store_each_sent(st, r->mark->sent, on_sent, r, err);
	store_close(st);
	free(r->group);
	return rc < 0 ? err_wrap(err, rc, "pod '%s'", r->pod->name) : 0;
}

static int
event_compare(const void *a, const void *b)
{
	const struct past_event *x = a, *y = b;

	return x->t != y->t ? (x->t < y->t ? -1 : 1)
			    : (x->seq > y->seq) - (x->seq < y->seq);
}

static int
line_compare(const void *a, const void *b)
{
	const struct past_line *x = a, *y = b;

	return x->t != y->t ? (x->t < y->t ? -1 : 1) : (x->n > y->n) - (x->n < y->n);
}

static int
read_pods(struct ctl *ctl, const struct pods *pods, const struct scope *scope,
    enum past_what what, struct past_marks *marks, struct past *out)
{
	int rc = CTL_OK, one;
	size_t i;

	for (i = 0; i < pods->n; i++) {
		struct reading r = {.pod = &pods->v[i], .scope = scope, .out = out};
		int64_t began = clock_real_ns();
		struct err err = ERR_INIT;
		struct timespec now;
		struct stat sb;

		if ((scope->path != NULL && strcmp(scope->path, r.pod->path) != 0) ||
		    stat(r.pod->path, &sb) == -1)
			continue;
		now = written(r.pod->path); /* before reading, not after */
		r.mark = mark_of(marks, r.pod->path, sb.st_ino);
		r.mark->met = true;
		if (memcmp(&r.mark->written, &now, sizeof now) == 0)
			continue;
		one = read_pod(&r, what, &err);
		complain(ctl, &r.mark->complaint, one < 0 ? err.text : NULL);
		if (one < 0)
			rc = (int)ctl_exit_of(one);
		else if (settled(now, began))
			r.mark->written = now;
	}
	marks_sweep(marks);
	if (out->n_events > 1)
		qsort(out->events, out->n_events, sizeof *out->events, event_compare);
	if (out->n_lines > 1)
		qsort(out->lines, out->n_lines, sizeof *out->lines, line_compare);
	return rc;
}

static void
past_fini(struct past *past)
{
	size_t i;

	for (i = 0; i < past->n_events; i++) {
		free(past->events[i].ns);
		free(past->events[i].pod);
		free(past->events[i].container);
		free(past->events[i].exec_id);
		free(past->events[i].topic);
		free(past->events[i].transport);
	}
	for (i = 0; i < past->n_lines; i++) {
		free(past->lines[i].ns);
		free(past->lines[i].pod);
		free(past->lines[i].container);
		free(past->lines[i].exec_id);
		free(past->lines[i].what);
		free(past->lines[i].detail);
	}
	free(past->events);
	free(past->lines);
	*past = (struct past){0};
}

/* --- scope ----------------------------------------------------------------- */

/* By name, without complaining yet. */
static int
find_quietly(struct ctl *ctl, struct pods *pods, const char *name, struct found *out,
    char **complaint)
{
	struct ctl quiet = *ctl;
	size_t len;
	int rc;

	free(*complaint);
	*complaint = NULL;
	quiet.err = open_memstream(complaint, &len);
	if (quiet.err == NULL)
		return ctl_fail(ctl, "%s", strerror(errno));
	rc = find_any(&quiet, pods, name, out);
	(void)fclose(quiet.err);
	return rc;
}

/* "POD/CONTAINER" or CONTAINER, of one that has no row any more. */
static void
scope_of_deleted(struct scope *s, struct pods *pods, const char *name)
{
	const char *slash = strrchr(name, '/');
	size_t i;

	s->container = mem_strdup(slash == NULL ? name : slash + 1);
	for (i = 0; slash != NULL && i < pods->n; i++)
		if (strlen(pods->v[i].group) == (size_t)(slash - name) &&
		    strncmp(pods->v[i].group, name, (size_t)(slash - name)) == 0)
			s->path = mem_strdup(pods->v[i].path);
}

static int
scope_find(struct ctl *ctl, struct scope *s)
{
	struct pods pods = {0};
	struct found one;
	int rc;

	if (ctl->argc == 0)
		return CTL_OK;
	if (!find_read(ctl, &pods, &rc))
		return rc;
	s->rc = find_quietly(ctl, &pods, ctl->argv[0], &one, &s->complaint);
	if (s->rc == CTL_OK) {
		s->path = mem_strdup(one.pod->path);
		s->container =
		    one.container == NULL ? NULL : mem_strdup(one.container->id);
	} else if (s->rc == CTL_NOT_FOUND) {
		scope_of_deleted(s, &pods, ctl->argv[0]);
	} else {
		(void)fputs(s->complaint, ctl->err);
	}
	pods_fini(&pods);
	return s->rc == CTL_NOT_FOUND ? CTL_OK : s->rc;
}

/* --- following ------------------------------------------------------------- */

/* Pods come and go. Their keepers are not asked. */
static int
next_round(struct ctl *ctl, const struct scope *scope, enum past_what what,
    struct past_marks *marks, struct past *out)
{
	struct err err = ERR_INIT;
	struct pods pods = {0};
	int rc;

	*out = (struct past){0};
	rc = pods_find(ctl->root, ctl->ns, &pods, &err);
	complain(ctl, &marks->complaint, rc < 0 ? err.text : NULL);
	if (rc < 0)
		return (int)ctl_exit_of(rc);
	rc = read_pods(ctl, &pods, scope, what, marks, out);
	pods_fini(&pods);
	return rc;
}

static int
first_round(struct ctl *ctl, const struct scope *scope, enum past_what what,
    struct past_marks *marks, past_show show, void *arg)
{
	struct past past;
	int rc = next_round(ctl, scope, what, marks, &past);

	if (scope->rc != CTL_OK && past.n_events == 0 && past.n_lines == 0) {
		(void)fputs(scope->complaint, ctl->err);
		rc = scope->rc;
	} else {
		show(&past, arg);
	}
	past_fini(&past);
	return rc;
}

int
past_run(struct ctl *ctl, enum past_what what, bool follow, past_show show, void *arg)
{
	struct past_marks marks = {0};
	struct scope scope = {0};
	struct past past;
	int rc;

	rc = scope_find(ctl, &scope);
	if (rc == CTL_OK)
		rc = first_round(ctl, &scope, what, &marks, show, arg);
	while (
	    follow && rc != CTL_NOT_FOUND && rc != CTL_DENIED && fflush(ctl->out) == 0) {
		(void)poll(NULL, 0, FOLLOW_MS);
		rc = next_round(ctl, &scope, what, &marks, &past);
		if (past.n_events > 0 || past.n_lines > 0)
			show(&past, arg);
		past_fini(&past);
	}
	marks_fini(&marks);
	free(scope.path);
	free(scope.container);
	free(scope.complaint);
	return rc;
}

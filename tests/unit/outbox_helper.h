/*
 * For the tests of worker/outbox: transports that the test plays, a real store,
 * a clock that it turns. The module's insides are seen, so that its timer can be
 * looked at and fired without waiting.
 */
#ifndef PODSHIM_TESTS_OUTBOX_HELPER_H
#define PODSHIM_TESTS_OUTBOX_HELPER_H

#include <event2/event.h>

#include "worker/outbox_int.h"

#include "store_helper.h"

/* --- a transport that the test plays --------------------------------------------- */

struct sent {
	uint64_t seq;
	char body[16];
	transport_cb cb; /* NULL: ended */
	void *arg;
};

struct fake {
	struct transport tr; /* first */
	struct sent sent[256];
	unsigned n;
	unsigned under_way, most;
	uint64_t surviving; /* what resume knows; 0: nothing */
	bool resume_ended, freed;
};

static inline void
fake_send(struct transport *tr, const struct outbox_event *ev, transport_cb cb, void *arg)
{
	struct fake *f = (struct fake *)tr;
	struct sent *s = &f->sent[f->n++];

	assert_true(f->n < 256);
	s->seq = ev->seq;
	(void)snprintf(
	    s->body, sizeof s->body, "%.*s", (int)ev->len, (const char *)ev->body);
	assert_true(ev->t_ns > 0);
	assert_memory_equal(ev->topic, "/tasks/", 7);
	s->cb = cb;
	s->arg = arg;
	if (++f->under_way > f->most)
		f->most = f->under_way;
	assert_true(f->under_way <= f->tr.max_in_flight);
}

static inline bool
fake_resume(struct transport *tr, uint64_t seq, transport_cb cb, void *arg)
{
	struct fake *f = (struct fake *)tr;
	const struct outbox_event ev = {
	    .seq = seq, .topic = "/tasks/", .body = "again", .len = 5, .t_ns = 1};

	if (seq != f->surviving)
		return false;
	fake_send(tr, &ev, cb, arg);
	return true;
}

static inline void
fake_resume_end(struct transport *tr)
{
	((struct fake *)tr)->resume_ended = true;
}

static inline void
fake_free(struct transport *tr)
{
	((struct fake *)tr)->freed = true;
}

/* --- the scene ------------------------------------------------------------------------ */

static struct fake publish, ttrpc;
static struct loop *loop;
static struct store *st;
static struct outbox *ob;
static const char *dir;
static boot_us_t now;

static inline void
fake_init(struct fake *f, const char *name, unsigned most)
{
	*f = (struct fake){.tr = {.name = name,
			       .max_in_flight = most,
			       .send = fake_send,
			       .resume = fake_resume,
			       .resume_end = fake_resume_end,
			       .free = fake_free}};
}

static inline void
make_outbox(enum conf_transport how, bool has_publish, bool has_ttrpc)
{
	const struct conf conf = {.events_transport = how};

	fake_init(&publish, "publish-binary", 1);
	fake_init(&ttrpc, "ttrpc", 4);
	ob = outbox_new_with(loop, st, &conf, has_publish ? &publish.tr : NULL,
	    has_ttrpc ? &ttrpc.tr : NULL);
}

static inline int
setup(void **state)
{
	if (dir_setup(state) != 0)
		return -1;
	dir = *state;
	loop = loop_new();
	st = open_expect(dir, STORE_CREATED);
	now = 1000 * US_PER_S;
	clock_set_for_test(now);
	return loop == NULL || st == NULL;
}

static inline int
teardown(void **state)
{
	outbox_free(ob);
	ob = NULL;
	loop_once(loop, 1);
	store_close(st);
	loop_free(loop);
	clock_set_for_test(0);
	return dir_teardown(state);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static inline void
passes(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		loop_once(loop, 1);
}

/* One event, committed. Its body names it. */
static inline void
add(const char *container, const char *exec_id, const char *body)
{
	store_begin(st);
	outbox_add(ob, container, exec_id, "/tasks/x", "containerd.events.X", body,
	    strlen(body));
	commit_ok(st);
	outbox_kick(ob);
	passes();
}

/* The only one under way; fails if there are none or several. */
static inline struct sent *
flying(struct fake *f)
{
	struct sent *found = NULL;
	unsigned i;

	for (i = 0; i < f->n; i++) {
		if (f->sent[i].cb == NULL)
			continue;
		assert_null(found);
		found = &f->sent[i];
	}
	assert_non_null(found);
	return found;
}

static inline void
end(struct fake *f, struct sent *s, int rc)
{
	transport_cb cb = s->cb;

	assert_non_null(cb);
	s->cb = NULL;
	f->under_way--;
	cb(rc, s->arg);
	passes();
}

static inline void
end_of(struct fake *f, const char *body, int rc)
{
	unsigned i;

	for (i = 0; i < f->n; i++) {
		if (f->sent[i].cb != NULL && strcmp(f->sent[i].body, body) == 0) {
			end(f, &f->sent[i], rc);
			return;
		}
	}
	fail_msg("%s is not under way", body);
}

static inline void
expect_bodies(const struct fake *f, const char *want)
{
	char got[1024] = "";
	size_t len = 0;
	unsigned i;

	for (i = 0; i < f->n; i++)
		len += (size_t)snprintf(
		    got + len, sizeof got - len, "%s%s", i ? " " : "", f->sent[i].body);
	assert_string_equal(got, want);
}

static inline uint64_t
pending(void)
{
	struct store_counts counts;

	assert_int_equal(store_count(st, &counts, NULL), 0);
	return counts.events_pending;
}

/* Seconds until the timer; -1: none is set. */
static inline int
timer_in(void)
{
	struct timeval tv, t0;

	if (!event_pending(ob->timer, EV_TIMEOUT, &tv))
		return -1;
	(void)event_base_gettimeofday_cached(loop_base(loop), &t0);
	return (int)(((double)(tv.tv_sec - t0.tv_sec) * 1e6 +
			 (double)(tv.tv_usec - t0.tv_usec)) /
		1e6 +
	    0.5);
}

/* Let time pass; the timer fires if it is due. */
static inline void
later(unsigned s)
{
	int in = timer_in();

	now += s * US_PER_S;
	clock_set_for_test(now);
	if (in >= 0 && in <= (int)s)
		event_active(ob->timer, EV_TIMEOUT, 0);
	passes();
}

#endif

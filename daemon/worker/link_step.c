/*
 * Steps: what the keeper does for us once per key. Owns a record of each key
 * that the keeper knows, from the snapshot or because we asked, until its request is
 * answered (the keeper forgets then, too) or, for internal keys, acknowledged.
 *
 * What can surprise: a callback may answer its request and so forget the very
 * step it was called with; records are therefore buried, not freed.
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/link_int.h"

#define LINK_STEPS_PER_REQUEST 16 /* op.h uses fewer */

static void
link_step_free(void *obj)
{
	struct link_step *s = obj;

	free(s->tag);
	free(s->text);
	free(s);
}

static struct link_step *
link_step_find(struct link *lk, uint64_t key)
{
	struct link_step *s;

	HASH_FIND(hh, lk->steps, &key, sizeof key, s);
	return s;
}

static struct link_step *
link_step_new(struct link *lk, uint64_t key, enum step_kind kind)
{
	struct link_step *s = mem_zalloc(sizeof *s);

	s->step.key = key;
	s->step.kind = kind;
	s->step.state = STEP_RUNNING;
	s->step.text = "";
	HASH_ADD(hh, lk->steps, step.key, sizeof s->step.key, s);
	return s;
}

static bool
link_step_ended(const struct link_step *s)
{
	return s->step.state != STEP_RUNNING;
}

/* Run its callback from the loop: the one who asks is still in his call. */
static void
link_step_make_due(struct link *lk, struct link_step *s)
{
	if (s->due)
		return;
	s->due = true;
	s->due_next = NULL;
	*lk->due_tail = s;
	lk->due_tail = &s->due_next;
	event_active(lk->due_ev, 0, 0);
}

static void
link_step_run(struct link *lk, struct link_step *s)
{
	link_step_cb cb = s->cb;
	void *arg = s->arg;
	uint64_t key = s->step.key;

	if (cb == NULL)
		return;
	s->cb = NULL;
	(void)link_in_hand(lk, key_is_internal(key) ? 0 : key_request(key), "step");
	cb(&s->step, arg);
	(void)link_in_hand(lk, 0, NULL);
}

static void
link_on_due(evutil_socket_t fd, short what, void *arg)
{
	struct link *lk = arg;
	struct link_step *s;

	(void)fd;
	(void)what;
	while ((s = lk->due) != NULL) {
		lk->due = s->due_next;
		if (lk->due == NULL)
			lk->due_tail = &lk->due;
		s->due = false;
		link_step_run(lk, s);
	}
}

void
link_steps_init(struct link *lk)
{
	lk->due_tail = &lk->due;
	lk->due_ev = event_new(loop_base(lk->loop), -1, 0, link_on_due, lk);
	if (lk->due_ev == NULL)
		abort();
}

static void
link_step_drop(struct link *lk, struct link_step *s)
{
	struct link_step **at;

	HASH_DEL(lk->steps, s);
	if (s->due) {
		for (at = &lk->due; *at != s; at = &(*at)->due_next)
			;
		*at = s->due_next;
		if (*at == NULL)
			lk->due_tail = at;
	}
	s->cb = NULL;
	loop_bury(lk->loop, &s->grave, link_step_free, s);
}

void
link_steps_fini(struct link *lk)
{
	struct link_step *s, *next;

	HASH_ITER (hh, lk->steps, s, next)
		link_step_drop(lk, s);
	if (lk->due_ev != NULL)
		event_free(lk->due_ev);
}

/* Does the keeper keep it for a process whose exit is not acknowledged yet? */
static bool
link_step_adopted(const struct link_step *s)
{
	return s->step.state == STEP_DONE && s->step.child_pid > 0 && !s->exit_acked;
}

void
link_steps_forget(struct link *lk, uint64_t n)
{
	struct link_step *s;
	unsigned i;

	if (lk->steps == NULL)
		return;
	for (i = 1; i < LINK_STEPS_PER_REQUEST; i++) {
		s = link_step_find(lk, key_of_step(n, i));
		/* one that still runs has turned internal; so has its key's meaning */
		if (s == NULL || !link_step_ended(s))
			continue;
		if (link_step_adopted(s))
			s->answered = true;
		else
			link_step_drop(lk, s);
	}
}

void
link_steps_exited(struct link *lk, uint64_t key)
{
	struct link_step *s = link_step_find(lk, key);

	if (s == NULL)
		return;
	s->exit_acked = true;
	if (s->answered)
		link_step_drop(lk, s);
}

void
link_on_step(struct link *lk, const struct packet *p)
{
	struct msg_step m;
	struct err err = ERR_INIT;
	struct link_step *s;

	if (msg_decode_step(&p->head, p->payload, &m, &err) < 0) {
		log_errx("from the keeper: %s", err.text);
		return;
	}
	s = link_step_find(lk, m.key);
	if (s == NULL) {
		if (!m.snapshot)
			return; /* of a request that we have answered since */
		s = link_step_new(lk, m.key, m.kind);
	}
	if (link_step_ended(s))
		return; /* a repetition */
	free(s->tag);
	free(s->text);
	s->tag = mem_dup(m.tag.p, m.tag.len);
	s->text = mem_strdup(m.text != NULL ? m.text : "");
	s->step = m;
	s->step.tag.p = s->tag;
	s->step.text = s->text;
	if (link_step_ended(s))
		link_step_run(lk, s);
}

/* The step could not even be asked for. */
static void
link_step_fail(struct link *lk, struct link_step *s, int code, const char *text)
{
	s->step.state = STEP_FAILED;
	s->step.error = code;
	free(s->text);
	s->text = mem_strdup(text);
	s->step.text = s->text;
	link_step_make_due(lk, s);
}

static int
link_send_spawn(struct link *lk, const struct msg_spawn *spawn)
{
	size_t cap = MSG_PACKET_MAX;
	struct msg_head head;
	int rc;

	for (;;) {
		AUTO_FREE uint64_t *buf = mem_zalloc(cap);

		rc = msg_encode_spawn(&head, buf, cap, spawn);
		if (rc == -EMSGSIZE && cap < (8u << 20)) {
			cap *= 4;
			continue;
		}
		if (rc < 0)
			return rc;
		return link_send(lk, &head, buf, spawn->fds, spawn->n_fds);
	}
}

void
link_spawn(struct link *lk, const struct msg_spawn *spawn, link_step_cb cb, void *arg)
{
	struct link_step *s = link_step_find(lk, spawn->key);
	int rc;

	if (s != NULL) {
		s->cb = cb;
		s->arg = arg;
		if (link_step_ended(s))
			link_step_make_due(lk, s);
		return;
	}
	s = link_step_new(lk, spawn->key, STEP_SPAWN);
	s->cb = cb;
	s->arg = arg;
	rc = link_send_spawn(lk, spawn);
	if (rc < 0 && rc != -EPIPE)
		link_step_fail(lk, s, -rc, "cannot ask the keeper");
}

/* Nobody wants to know: then nobody acknowledges it either, but us. */
static void
link_step_ignored(const struct msg_step *step, void *arg)
{
	if (key_is_internal(step->key))
		link_ack(arg, step->key);
}

void
link_signal(
    struct link *lk, uint64_t key, uint64_t target, int signo, link_step_cb cb, void *arg)
{
	struct link_step *s = link_step_find(lk, key);
	struct msg_head head = {
	    .type = MSG_SIGNAL, .key = key, .a = target, .b = (uint64_t)signo};

	if (cb == NULL) {
		cb = link_step_ignored;
		arg = lk;
	}
	if (s != NULL) {
		s->cb = cb;
		s->arg = arg;
		if (link_step_ended(s))
			link_step_make_due(lk, s);
		return;
	}
	s = link_step_new(lk, key, STEP_SIGNAL);
	s->cb = cb;
	s->arg = arg;
	(void)link_send(lk, &head, NULL, NULL, 0);
}

/* Its end says nothing; it stays until link_ack(). */
static void
link_on_memo(const struct msg_step *step, void *arg)
{
	(void)step;
	(void)arg;
}

uint64_t
link_memo(struct link *lk, const struct msg_bytes *tag)
{
	_Alignas(8) char buf[MSG_TAG_MAX + 64];
	struct msg_head head = {.type = MSG_SIGNAL, .key = link_internal_key(lk)};
	struct link_step *s = link_step_new(lk, head.key, STEP_SIGNAL);
	size_t len = 0;

	s->cb = link_on_memo;
	(void)msg_put(buf, sizeof buf, &len, MF_TAG, tag->p, tag->len);
	head.len = (uint32_t)len;
	(void)link_send(lk, &head, buf, NULL, 0);
	return head.key;
}

const struct msg_step *
link_step_known(struct link *lk, uint64_t key)
{
	struct link_step *s = link_step_find(lk, key);

	return s == NULL ? NULL : &s->step;
}

void
link_step_watch(struct link *lk, uint64_t key, link_step_cb cb, void *arg)
{
	struct link_step *s = link_step_find(lk, key);

	if (s == NULL)
		return;
	s->cb = cb;
	s->arg = arg;
	if (link_step_ended(s))
		link_step_make_due(lk, s);
}

void
link_step_unwatch(struct link *lk, uint64_t key)
{
	struct link_step *s = link_step_find(lk, key);

	if (s != NULL)
		s->cb = NULL;
}

void
link_each_step(
    struct link *lk, void (*cb)(const struct msg_step *step, void *arg), void *arg)
{
	struct link_step *s, *next;

	HASH_ITER (hh, lk->steps, s, next) {
		if (s->cb == NULL && !s->due)
			cb(&s->step, arg);
	}
}

uint64_t
link_internal_key(struct link *lk)
{
	return KEY_INTERNAL | (uint64_t)lk->gen << 32 | ++lk->n_internal;
}

void
link_ack(struct link *lk, uint64_t key)
{
	struct msg_head head = {.type = MSG_ACK, .key = key, .a = ACK_STEP};
	struct link_step *s = link_step_find(lk, key);

	(void)link_send(lk, &head, NULL, NULL, 0);
	if (s != NULL)
		link_step_drop(lk, s);
}

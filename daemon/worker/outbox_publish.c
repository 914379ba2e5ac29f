/*
 * Events by containerd's own command, `containerd publish`: a child of the
 * keeper per event, the event on its stdin.
 *
 * The child's key is internal, so it survives this worker; its tag names the
 * event, so the next worker finds it again and does not send the event twice.
 * What it printed lies in a bounded memfd, which is in the keeper's store for
 * the same reason.
 *
 * What surprises: the keeper kills a child at its deadline, but one that waits in the kernel
 * (its binary's disk is gone) does not end by that. It is given up, so that its event
 * and those behind it can go the other way: it will send nothing any more.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "proto/any.pb-c.h"
#include "proto/status.h"
#include "proto/wire.h"
#include "worker/link.h"
#include "worker/outbox.h"

#define PUBLISH_DEADLINE_US (10 * US_PER_S)
#define PUBLISH_STARVED_US  (60 * US_PER_S)
#define PUBLISH_DYING_US    (2 * US_PER_S) /* from its deadline on */
#define PUBLISH_STRAYS_MAX  4u		   /* given up, and still there */
#define PUBLISH_PRINTED_MAX 4096u

struct publish {
	struct transport tr; /* first */
	struct loop *loop;
	struct link *lk;
	char *binary, *address, *ns;
	unsigned flags; /* of the spawn */
	bool starved;	/* the last child had no time to finish */
	unsigned strays;
	/* the one delivery under way */
	uint64_t key; /* 0: none */
	transport_cb done_cb;
	void *arg;
	struct loop_timer late;
	int out_fd; /* what the child prints; -1 if another worker has begun it */
	struct msg_step ended;	/* while out_fd is being fetched for such a one */
	struct event *early_ev; /* a delivery that never got as far as a child */
};

/* --- the tag --------------------------------------------------------------------- */

#define PUBLISH_TAG "p\nseq="

static size_t
publish_tag_write(char *out, size_t cap, uint64_t seq)
{
	return (size_t)snprintf(out, cap, PUBLISH_TAG "%" PRIu64, seq);
}

/* The event a step publishes; 0: it is no publish child. */
static uint64_t
publish_tag_read(const struct msg_bytes *tag)
{
	char text[40];
	char *end;
	uint64_t seq;

	if (tag->len < sizeof PUBLISH_TAG || tag->len >= sizeof text ||
	    memcmp(tag->p, PUBLISH_TAG, sizeof PUBLISH_TAG - 1) != 0)
		return 0;
	memcpy(text, tag->p, tag->len);
	text[tag->len] = '\0';
	seq = strtoull(text + sizeof PUBLISH_TAG - 1, &end, 10);
	return *end == '\0' ? seq : 0;
}

static void
publish_out_name(char out[32], uint64_t key)
{
	(void)snprintf(out, 32, "out/%" PRIx64, key);
}

/* --- the end of a child ------------------------------------------------------------- */

bool
outbox_publish_is_rejection(const char *text)
{
	/*
	 * containerd ends such a refusal with the name of its error class (1.x) or
	 * gRPC's (2.x). connect(2) has an EINVAL, too: then it was never asked.
	 */
	if (strstr(text, "dial") != NULL)
		return false;
	return strstr(text, "invalid argument") != NULL ||
	    strstr(text, "code = InvalidArgument") != NULL;
}

/* What the child printed, as one line. */
static void
publish_printed(int fd, char out[PUBLISH_PRINTED_MAX + 1])
{
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
	ssize_t n;
	size_t len;

	out[0] = '\0';
	if (end <= 0)
		return;
	n = pread(fd, out,
	    (size_t)end < PUBLISH_PRINTED_MAX ? (size_t)end : PUBLISH_PRINTED_MAX, 0);
	if (n <= 0)
		return;
	out[n] = '\0';
	utf8_sanitize(out);
	len = strlen(out);
	while (len > 0 && out[len - 1] == '\n')
		out[--len] = '\0';
	for (; len > 0; len--) {
		if (out[len - 1] == '\n')
			out[len - 1] = ' ';
	}
}

static int
publish_result(const struct msg_step *step, int out_fd)
{
	char printed[PUBLISH_PRINTED_MAX + 1];

	if (step->state == STEP_FAILED) {
		log_debug(
		    "events: publish binary: %s: %s", step->text, strerror(step->error));
		return -EHOSTDOWN;
	}
	if (WIFEXITED(step->wait_status) && WEXITSTATUS(step->wait_status) == 0)
		return 0;
	if (step->timed_out || !WIFEXITED(step->wait_status))
		return -EHOSTDOWN;
	publish_printed(out_fd, printed);
	log_debug("events: publish binary: status %d: %s", WEXITSTATUS(step->wait_status),
	    printed);
	if (outbox_publish_is_rejection(printed))
		return -EINVAL;
	return strstr(printed, "dial") != NULL || printed[0] == '\0' ? -EHOSTDOWN : -EIO;
}

static void
publish_done(struct publish *p, int rc)
{
	transport_cb done_cb = p->done_cb;
	void *arg = p->arg;

	loop_timer_stop(p->loop, &p->late);
	fd_close(&p->out_fd);
	p->key = 0;
	p->done_cb = NULL;
	if (done_cb != NULL)
		done_cb(rc, arg);
}

/* Forget the step and its descriptor. step is gone afterwards. */
static void
publish_forget(struct link *lk, uint64_t key)
{
	char name[32];

	publish_out_name(name, key);
	link_fd_drop(lk, name, false);
	link_ack(lk, key);
}

static void
publish_finish(struct publish *p, const struct msg_step *step)
{
	int rc = publish_result(step, p->out_fd);
	struct link *lk = p->lk;
	uint64_t key = p->key;

	p->starved = step->timed_out;
	/* first the row, then the step: who dies between the two finds the step */
	publish_done(p, rc);
	publish_forget(lk, key);
}

static void
publish_on_out(int fd, void *arg)
{
	struct publish *p = arg;

	p->out_fd = fd < 0 ? -1 : fd;
	publish_finish(p, &p->ended);
}

static void
publish_on_step(const struct msg_step *step, void *arg)
{
	struct publish *p = arg;
	char name[32];

	loop_timer_stop(p->loop, &p->late);
	publish_out_name(name, p->key);
	if (p->out_fd == -1 && step->state == STEP_DONE && step->wait_status != 0 &&
	    link_fd_known(p->lk, name)) {
		p->ended = *step;
		p->ended.text = "";
		p->ended.tag = (struct msg_bytes){0};
		link_fd_get(p->lk, name, publish_on_out, p);
		return;
	}
	publish_finish(p, step);
}

/* --- one that does not end --------------------------------------------------------- */

/* The end of a child for whose event nobody waits, here. */
static void
publish_on_stray(const struct msg_step *step, void *arg)
{
	struct publish *p = arg;

	p->strays--;
	p->starved |= step->timed_out; /* it did end: it was slow */
	publish_forget(p->lk, step->key);
}

static void
publish_watch(struct publish *p, uint64_t key)
{
	p->strays++;
	link_step_watch(p->lk, key, publish_on_stray, p);
}

static void
publish_on_late(void *arg)
{
	struct publish *p = arg;

	log_warnx("events: publish binary cannot be killed, going on without it");
	publish_watch(p, p->key);
	publish_done(p, -EHOSTDOWN);
}

/* --- sending ------------------------------------------------------------------------- */

static int
publish_event_fd(const struct outbox_event *ev)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	AUTO_FREE char *type = mem_strdup(ev->type);
	AUTO_FREE uint8_t *body = mem_dup(ev->body, ev->len);
	AUTO_FREE void *bytes = NULL;
	size_t len;

	any.type_url = type;
	any.value.data = body;
	any.value.len = ev->len;
	wire_pack(&any.base, &bytes, &len);
	return memfd_sealed("event", bytes, len);
}

static void
publish_spawn(struct publish *p, const struct outbox_event *ev, int event_fd)
{
	static const uint32_t nums[] = {0, 1, 2};
	const int fds[] = {event_fd, p->out_fd, p->out_fd};
	uint64_t limit_us = p->starved ? PUBLISH_STARVED_US : PUBLISH_DEADLINE_US;
	AUTO_STRV struct strv argv = {0};
	char tag[40], name[32];
	struct msg_spawn spawn = {.fd_nums = nums, .fds = fds, .n_fds = ARRAY_LEN(fds)};

	strv_add(&argv, p->binary);
	strv_add(&argv, "--address");
	strv_add(&argv, p->address);
	strv_add(&argv, "publish");
	strv_add(&argv, "--topic");
	strv_add(&argv, ev->topic);
	strv_add(&argv, "--namespace");
	strv_add(&argv, p->ns);
	spawn.key = p->key;
	spawn.argv = argv.v;
	/* on a node without idle time a nice one may never get far enough: an event must leave */
	spawn.flags = p->starved ? 0 : p->flags;
	spawn.deadline = clock_boot_us() + limit_us;
	spawn.tag.len = publish_tag_write(tag, sizeof tag, ev->seq);
	spawn.tag.p = tag;
	publish_out_name(name, p->key);
	link_fd_put(p->lk, name, p->out_fd);
	link_spawn(p->lk, &spawn, publish_on_step, p);
	loop_timer_set(p->loop, &p->late, limit_us + PUBLISH_DYING_US);
}

static void
publish_send(
    struct transport *tr, const struct outbox_event *ev, transport_cb done_cb, void *arg)
{
	struct publish *p = (struct publish *)tr;
	AUTO_CLOSE int event_fd = publish_event_fd(ev);

	p->done_cb = done_cb;
	p->arg = arg;
	p->out_fd = memfd_bounded("publish", PUBLISH_PRINTED_MAX);
	if (event_fd < 0 || p->out_fd < 0 || p->strays >= PUBLISH_STRAYS_MAX) {
		/* no descriptors, say: the callback comes from the loop all the same */
		event_active(p->early_ev, 0, 0);
		return;
	}
	p->key = link_internal_key(p->lk);
	publish_spawn(p, ev, event_fd);
}

static void
publish_on_early(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	publish_done(arg, -EHOSTDOWN);
}

/* --- after a worker restart ----------------------------------------------------------- */

struct publish_search {
	uint64_t seq;
	uint64_t key; /* 0: not found */
};

/* The newest of all: any other has been given up, or there would be no newer one. */
static void
publish_search_one(const struct msg_step *step, void *arg)
{
	struct publish_search *s = arg;
	uint64_t seq = publish_tag_read(&step->tag);

	if (key_is_internal(step->key) && seq != 0 && step->key > s->key)
		*s = (struct publish_search){.seq = seq, .key = step->key};
}

static bool
publish_resume(struct transport *tr, uint64_t seq, transport_cb done_cb, void *arg)
{
	struct publish *p = (struct publish *)tr;
	struct publish_search newest = {0};

	if (p->done_cb != NULL)
		return false;
	link_each_step(p->lk, publish_search_one, &newest);
	if (newest.key == 0 || newest.seq != seq)
		return false;
	p->key = newest.key;
	p->done_cb = done_cb;
	p->arg = arg;
	link_step_watch(p->lk, p->key, publish_on_step, p);
	/* it may have had less time, never more */
	loop_timer_set(p->loop, &p->late, PUBLISH_STARVED_US + PUBLISH_DYING_US);
	return true;
}

static void
publish_watch_stray(const struct msg_step *step, void *arg)
{
	struct publish *p = arg;

	if (key_is_internal(step->key) && publish_tag_read(&step->tag) != 0)
		publish_watch(p, step->key);
}

static void
publish_resume_end(struct transport *tr)
{
	struct publish *p = (struct publish *)tr;

	link_each_step(p->lk, publish_watch_stray, p);
}

static void
publish_free(struct transport *tr)
{
	struct publish *p = (struct publish *)tr;

	if (p->key != 0)
		link_step_unwatch(p->lk, p->key);
	link_fd_forget(p->lk, p);
	loop_timer_stop(p->loop, &p->late);
	event_free(p->early_ev);
	fd_close(&p->out_fd);
	free(p->binary);
	free(p->address);
	free(p->ns);
	free(p);
}

struct transport *
transport_publish_new(
    struct loop *loop, struct link *lk, const struct outbox_target *target)
{
	struct publish *p;

	if (target->publish_binary == NULL || target->publish_binary[0] == '\0')
		return NULL;
	p = mem_zalloc(sizeof *p);
	p->tr = (struct transport){.name = "publish-binary",
	    .max_in_flight = 1,
	    .send = publish_send,
	    .resume = publish_resume,
	    .resume_end = publish_resume_end,
	    .free = publish_free};
	p->loop = loop;
	p->lk = lk;
	loop_timer_init(&p->late, publish_on_late, p);
	p->binary = mem_strdup(target->publish_binary);
	p->address = mem_strdup(target->grpc_address);
	/* without containerd it is podshimctl, which is small, and whose exit files are waited for */
	p->flags = strchr(target->grpc_address, '/') != NULL ? SPAWN_NICE : 0;
	p->ns = mem_strdup(target->ns);
	p->out_fd = -1;
	p->early_ev = event_new(loop_base(loop), -1, 0, publish_on_early, p);
	if (p->early_ev == NULL)
		abort();
	return &p->tr;
}

/*
 * The worker's end of the channel to its keeper: connects, opens the black box,
 * hands each message to its owner. Steps are in link_step.c, stored descriptors
 * in link_fd.c.
 *
 * What can surprise: before GO nothing but HELLO and READY leaves. An exit may
 * be acknowledged, an answer be shown, only when the row it rests on cannot be
 * rolled back with an uncommitted migration (recovery.md 1.14).
 */
#include "worker/link.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/blackbox.h"
#include "state/store.h"
#include "worker/link_int.h"

#define LINK_WELCOME_MS 10000

static struct blackbox *link_bb; /* for link_trace(), which has no link at hand */

/* --- sending --------------------------------------------------------------- */

static void
link_keep(struct link *lk, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds)
{
	struct link_kept *k = mem_zalloc(sizeof *k);
	size_t i;

	k->head = *head;
	if (payload != NULL)
		k->payload = mem_dup(payload, head->len);
	for (i = 0; i < n_fds && i < MSG_FDS_MAX; i++)
		k->fds[i] = fd_dup(fds[i]);
	k->n_fds = n_fds;
	*lk->kept_tail = k;
	lk->kept_tail = &k->next;
}

int
link_send(struct link *lk, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds)
{
	int rc;

	if (lk->ended)
		return -EPIPE;
	if (lk->held && head->type != MSG_READY) {
		link_keep(lk, head, payload, fds, n_fds);
		return 0;
	}
	rc = channel_send(lk->ch, head, payload, fds, n_fds);
	if (rc < 0 && rc != -EPIPE)
		log_errx("send %s: %s", msg_name(head->type), strerror(-rc));
	return rc;
}

void
link_send_text(
    struct link *lk, struct msg_head *head, enum msg_field field, const char *text)
{
	uint64_t buf[(MSG_PACKET_MAX - sizeof *head) / 8];
	size_t len = 0;

	if (msg_put_str(buf, sizeof buf, &len, field, text) < 0) {
		log_errx("%s: text too long, ignoring", msg_name(head->type));
		return;
	}
	head->len = (uint32_t)len;
	(void)link_send(lk, head, buf, NULL, 0);
}

void
link_release(struct link *lk)
{
	struct link_kept *k;
	size_t i;

	lk->held = false;
	while ((k = lk->kept) != NULL) {
		lk->kept = k->next;
		(void)link_send(lk, &k->head, k->payload, k->fds, k->n_fds);
		for (i = 0; i < k->n_fds; i++)
			fd_close(&k->fds[i]);
		free(k->payload);
		free(k);
	}
	lk->kept_tail = &lk->kept;
}

static void
link_send_plain(struct link *lk, enum msg_type type, uint64_t key, uint64_t a, uint64_t b)
{
	struct msg_head head = {.type = (uint16_t)type, .key = key, .a = a, .b = b};

	(void)link_send(lk, &head, NULL, NULL, 0);
}

void
link_ready(struct link *lk)
{
	link_send_plain(lk, MSG_READY, 0, 0, 0);
}

void
link_idle(struct link *lk, uint64_t highest_n)
{
	link_send_plain(lk, MSG_IDLE, 0, highest_n, 0);
}

void
link_mark(struct link *lk, const char *text)
{
	struct msg_head head = {.type = MSG_MARK};

	link_send_text(lk, &head, MF_TEXT, text);
}

void
link_log(struct link *lk, const char *path)
{
	struct msg_head head = {.type = MSG_LOG};

	link_send_text(lk, &head, MF_TEXT, path);
}

void
link_unpin(struct link *lk, const char *id)
{
	struct msg_head head = {.type = MSG_UNPIN};

	link_send_text(lk, &head, MF_NAME, id);
}

void
link_answer(struct link *lk, uint64_t n, const void *response, size_t len)
{
	struct msg_head head = {.type = MSG_ANSWER,
	    .len = (uint32_t)len,
	    .a = n,
	    .b = response == NULL ? ANSWER_NONE : ANSWER_MESSAGE};

	(void)link_send(lk, &head, len == 0 ? NULL : response, NULL, 0);
	link_steps_forget(lk, n);
}

void
link_ack_exit(struct link *lk, uint64_t key)
{
	link_send_plain(lk, MSG_ACK, key, ACK_EXIT, 0);
	link_steps_exited(lk, key);
}

size_t
link_queued(struct link *lk)
{
	return lk->ended ? 0 : channel_queued(lk->ch) + (lk->kept != NULL ? 1 : 0);
}

/* --- receiving -------------------------------------------------------------- */

static void
link_on_request(struct link *lk, const struct packet *p)
{
	struct msg_request req;
	struct err err = ERR_INIT;

	if (msg_decode_request(&p->head, p->payload, &req, &err) < 0) {
		log_errx("from the keeper: %s", err.text);
		return;
	}
	(void)link_in_hand(lk, req.n, "request");
	lk->ops.on_request(&req, lk->arg);
}

static void
link_on_exit(struct link *lk, const struct packet *p)
{
	struct msg_exit ex;
	struct err err = ERR_INIT;

	if (msg_decode_exit(&p->head, p->payload, &ex, &err) < 0) {
		log_errx("from the keeper: %s", err.text);
		return;
	}
	lk->ops.on_exit(&ex, lk->arg);
}

static void
link_dispatch(struct link *lk, struct packet *p)
{
	const char *name;

	switch ((enum msg_type)p->head.type) {
	case MSG_STEP: link_on_step(lk, p); break;
	case MSG_EXIT: link_on_exit(lk, p); break;
	case MSG_FDNAME: link_on_fdname(lk, p); break;
	case MSG_FD: link_on_fd(lk, p); break;
	case MSG_PINNED:
		name = msg_get_str(&p->head, p->payload, MF_NAME);
		if (name != NULL)
			lk->ops.on_pinned(name, lk->arg);
		break;
	case MSG_REQUEST: link_on_request(lk, p); break;
	case MSG_CANCEL:
		(void)link_in_hand(lk, p->head.a, "cancel");
		lk->ops.on_cancel(p->head.a, lk->arg);
		break;
	case MSG_SYNC: lk->ops.on_sync(lk->arg); break;
	case MSG_GO: lk->ops.on_go(lk->arg); break;
	case MSG_QUIESCE: lk->ops.on_quiesce((enum quiesce_why)p->head.a, lk->arg); break;
	case MSG_TELL:
		if (p->n_fds == 1)
			lk->ops.on_tell(p->fds[0], lk->arg);
		link_send_plain(lk, MSG_TOLD, 0, 0, 0);
		break;
	case MSG_REFUSED:
		/* The keeper is older than we are, and we rely on that message. */
		log_errx("the keeper does not know message %llu, leaving",
		    (unsigned long long)p->head.a);
		_exit(78);
	case MSG_HELLO:
	case MSG_WELCOME:
	case MSG_READY:
	case MSG_ANSWER:
	case MSG_SPAWN:
	case MSG_SIGNAL:
	case MSG_ACK:
	case MSG_FD_PUT:
	case MSG_FD_GET:
	case MSG_FD_DROP:
	case MSG_UNPIN:
	case MSG_IDLE:
	case MSG_MARK:
	case MSG_TOLD:
	case MSG_FRAMES:
	case MSG_LOG:
	case MSG_PIN:
	case MSG_STATUS:
	case MSG_UPGRADE:
	case MSG_RESTART:
	case MSG_DUMP:
	case MSG_DETAIL:
	case MSG_END:
	case MSG_REPLY:
		log_warnx("%s from the keeper, ignoring", msg_name(p->head.type));
		break;
	}
}

static void
link_on_packet(struct packet *p, void *arg)
{
	struct link *lk = arg;

	link_dispatch(lk, p);
	(void)link_in_hand(lk, 0, NULL);
}

static void
link_on_end(int rc, void *arg)
{
	struct link *lk = arg;

	if (rc < 0)
		log_errx("channel to the keeper: %s", strerror(-rc));
	lk->ended = true;
	lk->ops.on_end(lk->arg);
}

/* --- opening ---------------------------------------------------------------- */

static int
link_say_hello(int fd, const char *build, struct err *err)
{
	uint64_t buf[512];
	struct msg_head head;
	const struct msg_hello hello = {
	    .proto_min = IPC_PROTO_MIN,
	    .proto_max = IPC_PROTO_MAX,
	    .schema_min = STORE_SCHEMA_MIN_READER,
	    .schema_max = STORE_SCHEMA_VERSION,
	    .build = build,
	};
	int rc = msg_encode_hello(&head, buf, sizeof buf, &hello);

	if (rc >= 0)
		rc = packet_send(fd, &head, buf, NULL, 0);
	return rc < 0 ? err_set(err, -rc, "HELLO") : 0;
}

static int
link_map_blackbox(struct link *lk, int fd, struct err *err)
{
	void *p = mmap(NULL, BLACKBOX_SIZE, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_POPULATE, fd, 0);

	if (p == MAP_FAILED)
		return err_set(err, errno, "map the black box");
	lk->bb = p;
	lk->bb->magic = BLACKBOX_MAGIC;
	lk->bb->size = BLACKBOX_SIZE;
	link_bb = lk->bb;
	return 0;
}

static int
link_take_welcome(struct link *lk, int fd, struct msg_welcome *welcome, struct err *err)
{
	AUTO_FREE uint64_t *buf = mem_zalloc(MSG_PACKET_MAX);
	int fds[MSG_FDS_MAX];
	struct msg_head head;
	size_t n_fds = 0, i;
	int rc;

	rc = packet_recv(fd, LINK_WELCOME_MS, &head, buf, MSG_PACKET_MAX, fds, &n_fds);
	if (rc < 0)
		return err_set(err, -rc, "wait for WELCOME");
	if (head.type != MSG_WELCOME || n_fds != 1)
		rc = err_setx(err, EBADMSG, "%s instead of WELCOME", msg_name(head.type));
	if (rc == 0)
		rc = msg_decode_welcome(&head, buf, welcome, err);
	if (rc == 0 && (welcome->proto < IPC_PROTO_MIN || welcome->proto > IPC_PROTO_MAX))
		rc = err_setx(
		    err, EPROTO, "the keeper speaks protocol %u", welcome->proto);
	if (rc == 0) {
		lk->dir_alias = mem_strdup(welcome->dir_alias);
		welcome->dir_alias = lk->dir_alias;
		lk->gen = welcome->gen;
		rc = link_map_blackbox(lk, fds[0], err);
	}
	for (i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	return rc;
}

int
link_open(struct loop *loop, int channel_fd, const char *build,
    const struct link_ops *ops, void *arg, struct link **out, struct msg_welcome *welcome,
    struct err *err)
{
	static const struct channel_ops channel_ops = {link_on_packet, link_on_end};
	struct link *lk = mem_zalloc(sizeof *lk);
	int rc;

	lk->loop = loop;
	lk->ops = *ops;
	lk->arg = arg;
	lk->held = true;
	lk->kept_tail = &lk->kept;
	link_steps_init(lk);
	rc = link_say_hello(channel_fd, build, err);
	if (rc == 0)
		rc = link_take_welcome(lk, channel_fd, welcome, err);
	if (rc == 0) {
		lk->ch = channel_new(loop, channel_fd, &channel_ops, lk);
		if (lk->ch == NULL)
			rc = err_setx(err, ENOMEM, "channel");
	}
	if (rc < 0) {
		link_free(lk);
		return rc;
	}
	*out = lk;
	return 0;
}

void
link_free(struct link *lk)
{
	if (lk == NULL)
		return;
	lk->ended = true; /* what is kept goes nowhere */
	link_release(lk);
	link_steps_fini(lk);
	link_fds_fini(lk);
	channel_free(lk->ch);
	if (lk->bb != NULL)
		(void)munmap(lk->bb, BLACKBOX_SIZE);
	link_bb = NULL;
	free(lk->dir_alias);
	free(lk);
}

/* --- the black box ----------------------------------------------------------- */

struct blackbox *
link_blackbox(struct link *lk)
{
	return lk->bb;
}

uint64_t
link_in_hand(struct link *lk, uint64_t n, const char *what)
{
	uint64_t was;

	if (lk->bb == NULL)
		return 0;
	was = lk->bb->in_hand;
	if (what != NULL) {
		size_t len = strlen(what);

		if (len >= sizeof lk->bb->what)
			len = sizeof lk->bb->what - 1;
		memcpy(lk->bb->what, what, len);
		lk->bb->what[len] = '\0';
	}
	lk->bb->in_hand = n;
	return was;
}

void
link_loop_pass(struct link *lk)
{
	if (lk->bb != NULL)
		lk->bb->loops = lk->bb->loops + 1;
}

void
link_trace(const char *text)
{
	struct blackbox_trace *t;
	size_t len = strlen(text);

	if (link_bb == NULL)
		return;
	t = &link_bb->trace[link_bb->n_traces % BLACKBOX_TRACES];
	t->t_boot_us = clock_boot_us();
	t->n = link_bb->in_hand;
	if (len >= sizeof t->text)
		len = sizeof t->text - 1;
	memcpy(t->text, text, len);
	t->text[len] = '\0';
	link_bb->n_traces = link_bb->n_traces + 1;
}

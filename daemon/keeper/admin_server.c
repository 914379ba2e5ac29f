/*
 * Questions from people and pins from launchers. Each connection brings one
 * packet and gets one REPLY; only a replacement of the worker takes longer
 * than the packet's own callback.
 */
#include "keeper/admin_server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "ipc/channel.h"
#include "ipc/msg.h"
#include "keeper/blame.h"
#include "keeper/conn.h"
#include "keeper/dump.h"
#include "keeper/end.h"
#include "keeper/fdstore.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/request.h"
#include "keeper/step.h"
#include "keeper/upgrade.h"

#define PAUSE_US   (100 * US_PER_MS)
#define STATUS_MAX (LIMIT_MARK + 4096)
#define DETAIL_MAX (MSG_PACKET_MAX - 4096)

struct asker {
	LIST_ENTRY(asker) link;
	struct admin_server *as;
	struct channel *ch;
};

struct admin_server {
	struct pod *pod;
	int listen_fd;
	struct event *ev;
	struct loop_timer retry; /* listen again after a pause */
	LIST_HEAD(, asker) askers;
	unsigned n;
};

/* Text that grows in a buffer of somebody's; what does not fit is cut. */
struct text {
	char *buf;
	size_t cap;
	size_t len;
};

static void __attribute__((format(printf, 2, 3)))
text_add(struct text *t, const char *fmt, ...)
{
	size_t left = t->cap - t->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, left, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < left ? (size_t)n : left - 1;
}

/* A line with what others chose. */
static void
text_add_value(struct text *t, const char *key, const char *value)
{
	size_t at;

	text_add(t, "%s=", key);
	at = t->len;
	text_add(t, "%s", value);
	admin_clean(t->buf + at);
	text_add(t, "\n");
}

/* Out of descriptors or memory: leave it in the backlog for a while. */
static void
admin_pause(struct admin_server *as)
{
	(void)event_del(as->ev);
	loop_timer_set(as->pod->loop, &as->retry, PAUSE_US);
}

static void
admin_listen(void *arg)
{
	struct admin_server *as = arg;

	if (as->ev != NULL && event_add(as->ev, NULL) == -1)
		loop_timer_set(as->pod->loop, &as->retry, PAUSE_US);
}

/* --- answers --------------------------------------------------------------- */

static void
asker_close(struct asker *a)
{
	life_forget_asker(a->as->pod->life, a);
	upgrade_forget_asker(a->as->pod, a);
	dump_forget_asker(a->as->pod, a);
	channel_free(a->ch);
	LIST_REMOVE(a, link);
	if (a->as->n-- == LIMIT_ADMIN_CONNS)
		admin_listen(a->as);
	free(a);
}

/* The asker closes when it has read it. */
static void
asker_reply(struct asker *a, int error, const char *text)
{
	static _Alignas(8) char buf[MSG_PACKET_MAX]; /* sent, or copied, at once */
	struct msg_head head = {.type = MSG_REPLY, .a = (uint64_t)error};
	size_t len = 0;

	(void)msg_put_str(buf, sizeof buf, &len, MF_TEXT, text);
	head.len = (uint32_t)len;
	(void)channel_send(a->ch, &head, buf, NULL, 0);
}

static void
asker_reply_to(int error, const char *text, void *arg)
{
	asker_reply(arg, error, text);
}

static void
asker_on_replaced(int rc, const char *text, void *arg)
{
	asker_reply(arg, -rc, text);
}

/* --- questions ------------------------------------------------------------- */

static void
on_pin(struct asker *a, const struct packet *packet)
{
	const char *id = msg_get_str(&packet->head, packet->payload, MF_NAME);
	int rc = id == NULL ? -EINVAL : end_pin(a->as->pod->end, id);

	asker_reply(a, -rc, rc == 0 ? "" : strerror(-rc));
}

static void
status_text(struct pod *pod, struct text *t)
{
	struct life_status ls;
	const char *p;
	size_t at;

	life_status(pod->life, &ls);
	text_add(t, "keeper_pid=%ld\n", (long)getpid());
	text_add(t, "worker_pid=%ld\n", (long)ls.pid);
	text_add(t, "worker_state=%s%s\n", ls.state, ls.held);
	text_add(t, "worker_restarts=%u\n", ls.restarts);
	text_add(t, "failed_boots=%u\n", ls.failed_boots);
	text_add(t, "deaths=%u\n", ls.deaths);
	text_add(t, "left_behind=%u\n", ls.left_behind);
	text_add(t, "version=%s\n", PACKAGE_VERSION);
	text_add(t, "build=%s\n", ls.build);
	text_add(t, "since_us=%" PRIu64 "\n", pod->born);
	text_add_value(t, "namespace", pod->args->ns);
	text_add_value(t, "group", pod->args->id);
	text_add_value(t, "socket", pod->args->socket_path);
	text_add(t, "requests=%zu\n", requests_count(pod->requests));
	text_add(t, "highest_request=%" PRIu64 "\n", requests_highest(pod->requests));
	text_add(t, "request_bytes=%zu\n", conns_charged(pod->conns));
	text_add(t, "children=%zu\n", steps_children(pod->steps));
	text_add(t, "steps=%zu\n", steps_count(pod->steps));
	text_add(t, "connections=%zu\n", conns_count(pod->conns));
	text_add(t, "fds=%zu\n", fdstore_count(pod->fds));
	text_add(t, "pins=%zu\n", end_pins(pod->end));
	text_add(t, "unread=%zu\n", ls.unread);
	text_add(t, "in_hand=%" PRIu64 "\n", blame_in_hand(pod->blame));
	/* last, for it may be long, and one line, for the others' sake */
	text_add(t, "mark=");
	at = t->len;
	for (p = pod->mark != NULL ? pod->mark : ""; *p != '\0'; p++)
		text_add(t, "%c", *p == '\n' ? ';' : *p);
	admin_clean(t->buf + at);
	text_add(t, "\n");
}

void
admin_status_text(struct pod *pod, char *buf, size_t cap)
{
	struct text t = {.buf = buf, .cap = cap};

	status_text(pod, &t);
}

/* Whole lines only: a cut one would say something else. */
static void
detail_line(const char *line, void *arg)
{
	struct text *t = arg;

	if (t->len + strlen(line) + 1 < t->cap)
		text_add(t, "%s\n", line);
}

static void
detail_fd(const char *name, int fd, void *arg)
{
	char line[MSG_NAME_MAX + 32];

	(void)snprintf(line, sizeof line, "stored %s = %d", name, fd);
	admin_clean(line);
	detail_line(line, arg);
}

static void
on_detail(struct asker *a)
{
	struct text t = {.buf = malloc(DETAIL_MAX), .cap = DETAIL_MAX};

	if (t.buf == NULL) {
		asker_reply(a, ENOMEM, strerror(ENOMEM));
		return;
	}
	t.buf[0] = '\0';
	/* steps first: there are few, and they tell what the requests wait for */
	steps_each(a->as->pod->steps, detail_line, &t);
	requests_each(a->as->pod->requests, detail_line, &t);
	fdstore_each(a->as->pod->fds, detail_fd, &t);
	asker_reply(a, 0, t.buf);
	free(t.buf);
}

static void
on_end(struct asker *a)
{
	int rc = end_ask(a->as->pod->end);

	asker_reply(a, -rc, rc == 0 ? "" : "the pod lives");
}

static void
on_replace(struct asker *a, struct packet *packet)
{
	struct err err = ERR_INIT;
	int rc, fd = packet->n_fds > 0 ? packet->fds[0] : -1;

	if (packet->fds_lost)
		rc = err_set(&err, EMFILE, "receive the executable");
	else if (packet->head.type == MSG_UPGRADE && fd != -1)
		rc = upgrade_begin(a->as->pod, fd, asker_on_replaced, a, &err);
	else
		rc = life_replace(a->as->pod->life, -1, asker_on_replaced, a, &err);
	if (rc < 0)
		asker_reply(a, -rc, err.text);
	else if (fd != -1 && packet->head.type == MSG_UPGRADE)
		packet->fds[0] = -1;
}

static void
asker_on_packet(struct packet *packet, void *arg)
{
	struct asker *a = arg;
	char buf[STATUS_MAX];
	struct text t = {.buf = buf, .cap = sizeof buf};

	switch (packet->head.type) {
	case MSG_PIN: on_pin(a, packet); break;
	case MSG_STATUS:
		status_text(a->as->pod, &t);
		asker_reply(a, 0, t.buf);
		break;
	case MSG_UPGRADE:
	case MSG_RESTART: on_replace(a, packet); break;
	case MSG_DUMP: dump_begin(a->as->pod, asker_reply_to, a); break;
	case MSG_DETAIL: on_detail(a); break;
	case MSG_END: on_end(a); break;
	default: /* a number from the wire */
		asker_reply(a, ENOSYS, "the keeper does not know that question");
		break;
	}
}

static void
asker_on_end(int rc, void *arg)
{
	(void)rc;
	asker_close(arg);
}

static const struct channel_ops asker_ops = {asker_on_packet, asker_on_end};

/* --- connections ----------------------------------------------------------- */

static bool
peer_is_ours(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	    cred.uid == geteuid();
}

/* Memory first: who has been accepted cannot be asked to come again. */
static void
admin_on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct admin_server *as = arg;
	AUTO_FREE struct asker *a = calloc(1, sizeof *a);
	AUTO_CLOSE int fd = -1;

	(void)what;
	if (a != NULL)
		a->ch = channel_new(as->pod->loop, -1, &asker_ops, a);
	if (a != NULL && a->ch != NULL)
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	else
		errno = ENOMEM;
	if (fd == -1 || !peer_is_ours(fd)) {
		if (fd == -1 && errno != EAGAIN && errno != EINTR &&
		    errno != ECONNABORTED)
			admin_pause(as);
		channel_free(a == NULL ? NULL : a->ch);
		return;
	}
	channel_open(a->ch, steal_fd(&fd));
	a->as = as;
	LIST_INSERT_HEAD(&as->askers, a, link);
	(void)steal_ptr(&a);
	if (++as->n == LIMIT_ADMIN_CONNS)
		(void)event_del(as->ev); /* until one closes */
}

struct admin_server *
admin_server_new(struct pod *pod, int listen_fd)
{
	struct admin_server *as = calloc(1, sizeof *as);

	if (as == NULL) {
		fd_close(&listen_fd);
		return NULL;
	}
	as->pod = pod;
	as->listen_fd = listen_fd;
	LIST_INIT(&as->askers);
	loop_timer_init(&as->retry, admin_listen, as);
	as->ev = event_new(
	    loop_base(pod->loop), listen_fd, EV_READ | EV_PERSIST, admin_on_accept, as);
	if (as->ev == NULL || event_add(as->ev, NULL) == -1) {
		admin_server_free(as);
		return NULL;
	}
	return as;
}

void
admin_server_close(struct admin_server *as)
{
	if (as->ev != NULL)
		event_free(as->ev);
	as->ev = NULL;
	loop_timer_stop(as->pod->loop, &as->retry);
	fd_close(&as->listen_fd);
}

void
admin_server_free(struct admin_server *as)
{
	if (as == NULL)
		return;
	while (!LIST_EMPTY(&as->askers))
		asker_close(LIST_FIRST(&as->askers));
	admin_server_close(as);
	free(as);
}

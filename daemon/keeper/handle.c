/*
 * Messages from the worker, and the snapshot for it. The worker may be corrupt:
 * what does not decode costs the worker its life, and nobody else anything.
 */
#include "keeper/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/msg.h"
#include "keeper/dump.h"
#include "keeper/end.h"
#include "keeper/fdstore.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/request.h"
#include "keeper/spare.h"
#include "keeper/step.h"

/* --- to the worker --------------------------------------------------------- */

void
handle_tell_step(struct pod *pod, const struct msg_step *step)
{
	_Alignas(8) char buf[2048];
	struct msg_head head;

	if (msg_encode_step(&head, buf, sizeof buf, step) >= 0)
		life_send(pod->life, &head, buf, NULL, 0);
}

void
handle_tell_exit(struct pod *pod, const struct msg_exit *exit)
{
	_Alignas(8) char buf[1024];
	struct msg_head head;

	if (msg_encode_exit(&head, buf, sizeof buf, exit) >= 0)
		life_send(pod->life, &head, buf, NULL, 0);
}

static void
snapshot_fd(const char *name, int fd, void *arg)
{
	_Alignas(8) char buf[MSG_NAME_MAX + 32];
	struct msg_head head = {.type = MSG_FDNAME};
	struct pod *pod = arg;
	size_t len = 0;

	(void)fd;
	(void)msg_put_str(buf, sizeof buf, &len, MF_NAME, name);
	head.len = (uint32_t)len;
	life_send(pod->life, &head, buf, NULL, 0);
}

void
handle_snapshot(struct pod *pod)
{
	_Alignas(8) char buf[128];
	struct msg_head head = {.type = MSG_SYNC};
	size_t len = 0, steps, exits;
	uint64_t n[5];

	steps_snapshot(pod->steps, &steps, &exits);
	n[0] = steps;
	n[1] = exits;
	n[2] = fdstore_count(pod->fds);
	fdstore_each(pod->fds, snapshot_fd, pod);
	n[3] = end_tell_pins(pod->end);
	n[4] = requests_redeliver(pod->requests);
	end_on_worker(pod->end);
	(void)msg_put(buf, sizeof buf, &len, MF_NUM, n, sizeof n);
	head.len = (uint32_t)len;
	life_send(pod->life, &head, buf, NULL, 0);
}

static void
tell_fd(
    struct pod *pod, const struct msg_head *asked, const char *name, int error, int fd)
{
	_Alignas(8) char buf[MSG_NAME_MAX + 32];
	struct msg_head head = {.type = MSG_FD,
	    .key = asked->type == MSG_FD_PUT,
	    .a = asked->a,
	    .b = (uint64_t)error};
	size_t len = 0;

	(void)msg_put_str(buf, sizeof buf, &len, MF_NAME, name);
	head.len = (uint32_t)len;
	life_send(pod->life, &head, buf, &fd, error == 0 ? 1 : 0);
}

/* --- from the worker ------------------------------------------------------- */

static void
on_hello(struct pod *pod, struct packet *packet)
{
	struct msg_hello hello;
	struct err err = ERR_INIT;

	if (msg_decode_hello(&packet->head, packet->payload, &hello, &err) < 0)
		life_on_garbage(pod->life, err.text);
	else
		life_on_hello(pod->life, &hello);
}

static void
on_spawn(struct pod *pod, struct packet *packet)
{
	struct msg_spawn m;
	struct err err = ERR_INIT;
	int rc = msg_decode_spawn(&packet->head, packet->payload, &m, &err);

	if (rc == -ENOMEM) {
		/* not remembered: it may be asked again */
		struct msg_step step = {.key = packet->head.key,
		    .kind = STEP_SPAWN,
		    .state = STEP_FAILED,
		    .error = ENOMEM,
		    .t = clock_boot_us(),
		    .text = "the keeper has no memory"};

		handle_tell_step(pod, &step);
		return;
	}
	if (rc < 0 || (!packet->fds_lost && m.n_fds != packet->n_fds)) {
		life_on_garbage(
		    pod->life, rc < 0 ? err.text : "SPAWN: wrong number of descriptors");
	} else {
		m.fds = packet->fds;
		steps_spawn(pod->steps, &m, packet->fds_lost ? EMFILE : 0);
	}
	if (rc == 0) {
		free((void *)(uintptr_t)m.argv);
		free((void *)(uintptr_t)m.envp);
	}
}

static void
on_signal(struct pod *pod, struct packet *packet)
{
	const struct msg_head *h = &packet->head;
	struct msg_bytes tag = {NULL, 0};

	tag.p = msg_get(h, packet->payload, MF_TAG, &tag.len);
	if (h->b > (uint64_t)SIGRTMAX || tag.len > MSG_TAG_MAX) {
		life_on_garbage(pod->life, "SIGNAL: bad number");
		return;
	}
	steps_signal(pod->steps, h->key, h->a, (int)h->b, &tag);
}

/* The name a message is about; NULL: it was garbage. */
static const char *
name_of(struct pod *pod, struct packet *packet, enum msg_field field, size_t max)
{
	const char *name = msg_get_str(&packet->head, packet->payload, field);

	if (name != NULL && strlen(name) <= max)
		return name;
	life_on_garbage(pod->life, "a message without its name");
	return NULL;
}

/*
 * Turn the O_PATH descriptor of a FIFO into one of its ends. Opening a FIFO
 * without waiting cannot hang; anything else is not opened. 0 or -errno.
 */
static int
open_fifo_end(int *fd, uint64_t how)
{
	const int mode = how == FD_PUT_OPEN_READ ? O_RDONLY : O_WRONLY;
	char path[64];
	struct stat st;
	int end;

	if (fstat(*fd, &st) == -1)
		return -errno;
	if (!S_ISFIFO(st.st_mode))
		return -EINVAL;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
	end = spare_openat(AT_FDCWD, path, mode | O_NONBLOCK | O_CLOEXEC);
	if (end == -1)
		return -errno;
	fd_close(fd);
	spare_fill();
	*fd = end;
	return 0;
}

static void
on_fd_put(struct pod *pod, struct packet *packet)
{
	const char *name = name_of(pod, packet, MF_NAME, MSG_NAME_MAX);
	uint64_t how = packet->head.a;
	int rc = 0;

	if (name == NULL)
		return;
	if (packet->fds_lost) {
		tell_fd(pod, &packet->head, name, EMFILE, -1);
		return;
	}
	if (packet->n_fds != 1 || how > FD_PUT_OPEN_WRITE) {
		life_on_garbage(
		    pod->life, "FD_PUT: wrong number of descriptors, or unknown mode");
		return;
	}
	if (how != FD_PUT_AS_IS)
		rc = open_fifo_end(&packet->fds[0], how);
	if (rc == 0)
		rc = fdstore_put(pod->fds, name, packet->fds[0]);
	if (rc < 0) {
		log_errx("descriptor '%s' is not stored: %s", name, strerror(-rc));
		tell_fd(pod, &packet->head, name, -rc, -1);
	} else {
		packet->fds[0] = -1;
	}
}

static void
on_fd_get(struct pod *pod, struct packet *packet)
{
	const char *name = name_of(pod, packet, MF_NAME, MSG_NAME_MAX);
	int fd;

	if (name == NULL)
		return;
	fd = fdstore_get(pod->fds, name);
	tell_fd(pod, &packet->head, name, fd < 0 ? -fd : 0, fd);
}

static void
on_fd_drop(struct pod *pod, struct packet *packet)
{
	const char *name = name_of(pod, packet, MF_NAME, MSG_NAME_MAX);

	if (name != NULL)
		(void)fdstore_drop(pod->fds, name, packet->head.b != 0);
}

static void
on_mark(struct pod *pod, struct packet *packet)
{
	const char *text = name_of(pod, packet, MF_TEXT, LIMIT_MARK);
	char *copy = text == NULL ? NULL : strdup(text);

	if (copy == NULL)
		return; /* the old one is better than none */
	free(pod->mark);
	pod->mark = copy;
}

static void
on_log(struct pod *pod, struct packet *packet)
{
	const char *path = name_of(pod, packet, MF_TEXT, LIMIT_PATH);

	if (path != NULL)
		log_set_path(path);
}

static void
on_unpin(struct pod *pod, struct packet *packet)
{
	const char *id = name_of(pod, packet, MF_NAME, MSG_NAME_MAX);

	if (id != NULL)
		end_unpin(pod->end, id);
}

static void
on_unknown(struct pod *pod, struct packet *packet)
{
	struct msg_head head = {
	    .type = MSG_REFUSED, .key = packet->head.key, .a = packet->head.type};

	log_debug("worker sends message %u, ignoring", packet->head.type);
	if ((packet->head.flags & MSG_F_MUST) != 0)
		life_send(pod->life, &head, NULL, NULL, 0);
}

void
handle_packet(struct pod *pod, struct packet *packet)
{
	const struct msg_head *h = &packet->head;

	switch (h->type) {
	case MSG_HELLO: on_hello(pod, packet); break;
	case MSG_READY: life_on_ready(pod->life); break;
	case MSG_ANSWER:
		requests_answer(pod->requests, h->a, h->b, packet->payload, h->len);
		break;
	case MSG_SPAWN: on_spawn(pod, packet); break;
	case MSG_SIGNAL: on_signal(pod, packet); break;
	case MSG_ACK: steps_ack(pod->steps, h->key, h->a); break;
	case MSG_FD_PUT: on_fd_put(pod, packet); break;
	case MSG_FD_GET: on_fd_get(pod, packet); break;
	case MSG_FD_DROP: on_fd_drop(pod, packet); break;
	case MSG_UNPIN: on_unpin(pod, packet); break;
	case MSG_IDLE: end_on_idle(pod->end, h->a); break;
	case MSG_MARK: on_mark(pod, packet); break;
	case MSG_LOG: on_log(pod, packet); break;
	case MSG_TOLD: dump_on_told(pod); break;
	case MSG_FRAMES: dump_on_frames(pod, h->a); break;
	default: /* a number from the wire, not one of our enums */
		on_unknown(pod, packet);
		break;
	}
}

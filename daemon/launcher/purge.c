/*
 * A ttrpc client for one request: write a frame, read frames until the answer
 * is among them or the time is up.
 */
#include "launcher/purge.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

#define PURGE_STREAM	 1u
#define PURGE_ANSWER_MAX 65536u
#define CONNECT_RETRY_MS 5

static int
wait_for(int fd, short events, boot_us_t end)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	boot_us_t now;
	int n;

	for (;;) {
		now = clock_boot_us();
		if (now >= end)
			return -ETIMEDOUT;
		n = poll(&pfd, 1, (int)((end - now) / US_PER_MS) + 1);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -errno;
	}
}

static int
write_until(int fd, const void *buf, size_t len, boot_us_t end)
{
	const char *p = buf;
	ssize_t n;
	int rc;

	while (len > 0) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = wait_for(fd, POLLOUT, end);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* -EPIPE at end of file. */
static int
read_until(int fd, void *buf, size_t len, boot_us_t end)
{
	char *p = buf;
	ssize_t n;
	int rc;

	while (len > 0) {
		n = recv(fd, p, len, 0);
		if (n == 0)
			return -EPIPE;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = wait_for(fd, POLLIN, end);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
purge_connect(const char *path, boot_us_t end)
{
	AUTO_CLOSE int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (fd == -1)
		return -errno;
	if (strlen(path) >= sizeof sa.sun_path)
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	while (connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		/* EAGAIN: the backlog is full, and nothing tells when it is not */
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (clock_boot_us() >= end)
			return -ETIMEDOUT;
		(void)poll(NULL, 0, CONNECT_RETRY_MS);
	}
	return steal_fd(&fd);
}

static int
purge_send(int fd, const char *id, boot_us_t end)
{
	char service[] = "podshim.v1.Admin", method[] = "Purge";
	Podshim__V1__PurgeRequest purge = PODSHIM__V1__PURGE_REQUEST__INIT;
	Ttrpc__Request request = TTRPC__REQUEST__INIT;
	AUTO_FREE char *own_id = mem_strdup(id);
	AUTO_FREE void *payload = NULL;
	AUTO_FREE void *body = NULL;
	AUTO_FREE uint8_t *frame = NULL;
	struct frame_head head = {.stream = PURGE_STREAM, .type = FRAME_REQUEST};
	boot_us_t now = clock_boot_us();
	size_t len;

	purge.id = own_id;
	wire_pack(&purge.base, &payload, &len);
	request.service = service;
	request.method = method;
	request.payload.data = payload;
	request.payload.len = len;
	request.timeout_nano = now < end ? (int64_t)(end - now) * 1000 : 1;
	wire_pack(&request.base, &body, &len);
	head.len = (uint32_t)len;
	frame = mem_zalloc(FRAME_HEAD_LEN + len);
	frame_head_encode(frame, &head);
	memcpy(frame + FRAME_HEAD_LEN, body, len);
	return write_until(fd, frame, FRAME_HEAD_LEN + len, end);
}

/* The Response, once it is there. */
static int
purge_receive(int fd, boot_us_t end, Ttrpc__Response **out)
{
	uint8_t raw[FRAME_HEAD_LEN];
	struct frame_head head;
	int rc;

	for (;;) {
		AUTO_FREE uint8_t *body = NULL;

		rc = read_until(fd, raw, sizeof raw, end);
		if (rc < 0)
			return rc;
		frame_head_decode(&head, raw);
		if (head.len > PURGE_ANSWER_MAX)
			return -EMSGSIZE;
		body = mem_zalloc(head.len);
		rc = read_until(fd, body, head.len, end);
		if (rc < 0)
			return rc;
		if (head.type != FRAME_RESPONSE || head.stream != PURGE_STREAM)
			continue;
		*out = ttrpc__response__unpack(NULL, head.len, body);
		return *out == NULL ? -EBADMSG : 0;
	}
}

static enum purge_result
purge_decode(const Ttrpc__Response *r, struct purge_answer *out, struct err *err)
{
	Podshim__V1__PurgeResponse *p;
	enum purge_result result;

	if (r->status != NULL && r->status->code != STATUS_OK) {
		(void)err_setx(err, EPROTO, "%s: %s", status_name(r->status->code),
		    r->status->message);
		return PURGE_SILENT;
	}
	p = podshim__v1__purge_response__unpack(NULL, r->payload.len, r->payload.data);
	if (p == NULL) {
		(void)err_setx(err, EBADMSG, "the answer makes no sense");
		return PURGE_SILENT;
	}
	result = p->known ? PURGE_DONE : PURGE_UNKNOWN;
	out->pid = p->pid;
	out->exit_status = p->exit_status;
	out->exited_at = wire_timestamp_ns(p->exited_at);
	if (out->exited_at < 0)
		out->exited_at = 0;
	podshim__v1__purge_response__free_unpacked(p, NULL);
	return result;
}

enum purge_result
purge_ask(const char *socket_path, const char *id, boot_us_t end,
    struct purge_answer *out, struct err *err)
{
	Ttrpc__Response *response = NULL;
	AUTO_CLOSE int fd = purge_connect(socket_path, end);
	enum purge_result result;
	int rc = fd;

	if (fd == -ENOENT || fd == -ECONNREFUSED || fd == -ENAMETOOLONG ||
	    fd == -ENOTDIR) {
		(void)err_set(err, -fd, "connect to '%s'", socket_path);
		return PURGE_NO_KEEPER;
	}
	if (fd >= 0)
		rc = purge_send(fd, id, end);
	if (rc >= 0)
		rc = purge_receive(fd, end, &response);
	if (rc < 0) {
		(void)err_set(err, -rc, "ask the keeper at '%s'", socket_path);
		/* it closed: it has ended since we connected */
		return rc == -EPIPE || rc == -ECONNRESET ? PURGE_NO_KEEPER : PURGE_SILENT;
	}
	result = purge_decode(response, out, err);
	ttrpc__response__free_unpacked(response, NULL);
	return result;
}

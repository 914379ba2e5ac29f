/*
 * The channel: packets over a SOCK_SEQPACKET socket on the loop.
 *
 * What can surprise: a peer that died with our messages unread makes the first
 * receive fail with ECONNRESET, and its own last words come after that; so
 * only a receive of 0 bytes is the end. A payload above the packet limit
 * travels in a sealed memfd and is read back into memory here: never mapped,
 * for a mapping of a corrupt peer's file could raise SIGBUS.
 */
#include "ipc/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"

#define INLINE_MAX (MSG_PACKET_MAX - sizeof(struct msg_head))
/* one more than callers may pass: the payload's memfd */
#define FDS_MAX	   (MSG_FDS_MAX + 1)
/* packets taken per pass of the loop, so that one peer cannot hold it */
#define PASS_MAX   32
/* the kernel is short of memory or of descriptors in flight */
#define RETRY_US   20000

struct out {
	struct out *next;
	struct msg_head head;
	size_t n_fds;
	int fds[FDS_MAX];
	size_t len; /* of data */
	char data[];
};

struct channel {
	struct loop *loop;
	int fd;
	const struct channel_ops *ops;
	void *arg;
	struct event ev_read;
	struct event ev_write;
	struct loop_timer retry; /* both, by time */
	struct out *head, **tail;
	size_t queued;
	bool ended; /* on_end was called */
	bool dead;  /* freed under its own callback */
	struct grave grave;
};

union cmsg_buf {
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* --- one packet ------------------------------------------------------------ */

/* 0, or -errno. -EAGAIN: would block. */
static int
packet_write(int fd, const struct msg_head *head, const void *data, size_t len,
    const int *fds, size_t n_fds)
{
	struct iovec iov[2] = {
	    {.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof *head},
	    {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1};
	union cmsg_buf control;

	if (n_fds > 0) {
		struct cmsghdr *cm;

		memset(&control, 0, sizeof control);
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		/* its last words may still be there to be read */
		if (errno == ECONNRESET)
			return -EPIPE;
		return -errno;
	}
}

/* Fit for one packet as it is, or move the payload to a memfd: *memfd >= 0. */
static int
packet_prepare(struct msg_head *head, const void *payload, size_t n_fds, int *memfd)
{
	*memfd = -1;
	if (n_fds > MSG_FDS_MAX || head->len > CHANNEL_PAYLOAD_MAX)
		return -EMSGSIZE;
	if ((head->flags & MSG_F_MEMFD) != 0 || head->len <= INLINE_MAX)
		return 0;
	*memfd = memfd_sealed("podshim-packet", payload, head->len);
	if (*memfd < 0)
		return *memfd;
	head->flags |= MSG_F_MEMFD;
	return 0;
}

static void
take_fds(struct msghdr *mh, int *fds, size_t *n_fds)
{
	struct cmsghdr *cm;

	*n_fds = 0;
	for (cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cm), *n_fds * sizeof(int));
	}
}

static void
close_fds(int *fds, size_t n_fds)
{
	size_t i;

	for (i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
}

/*
 * Receive one packet into buf of cap bytes and a NUL. 1 and the packet, 0 at
 * end of file, -errno (-EAGAIN, or -EBADMSG for what is no packet).
 */
static int
packet_read(int fd, struct packet *packet, int fds[FDS_MAX], void *buf, size_t cap)
{
	struct iovec iov[2] = {
	    {.iov_base = &packet->head, .iov_len = sizeof packet->head},
	    {.iov_base = buf, .iov_len = cap},
	};
	union cmsg_buf control;
	struct msghdr mh = {.msg_iov = iov,
	    .msg_iovlen = 2,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof control.buf};
	ssize_t n;
	size_t body;

	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n <= 0)
		return n == 0 ? 0 : -errno;
	take_fds(&mh, fds, &packet->n_fds);
	packet->fds = fds;
	packet->fds_lost = (mh.msg_flags & MSG_CTRUNC) != 0;
	packet->payload = buf;
	body = (size_t)n - sizeof packet->head;
	if ((size_t)n < sizeof packet->head || (mh.msg_flags & MSG_TRUNC) != 0 ||
	    packet->head.len > CHANNEL_PAYLOAD_MAX ||
	    body != ((packet->head.flags & MSG_F_MEMFD) != 0 ? 0 : packet->head.len)) {
		close_fds(fds, packet->n_fds);
		return -EBADMSG;
	}
	((char *)buf)[body] = '\0';
	return 1;
}

/* The payload rides in the last descriptor: read it. *out is the caller's. */
static int
packet_load(struct packet *packet, char **out)
{
	size_t done = 0, len = packet->head.len;
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *buf = NULL;
	struct stat st;

	if (packet->fds_lost)
		return -EMFILE; /* the last one, so that one for sure */
	if (packet->n_fds == 0)
		return -EBADMSG;
	fd = packet->fds[--packet->n_fds];
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size != (off_t)len)
		return -EBADMSG;
	buf = malloc(len + 1);
	if (buf == NULL)
		return -ENOMEM;
	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EBADMSG : -errno;
		done += (size_t)n;
	}
	buf[len] = '\0';
	packet->head.flags &= (uint16_t)~MSG_F_MEMFD;
	packet->payload = buf;
	*out = steal_ptr(&buf);
	return 0;
}

/* --- the channel ----------------------------------------------------------- */

int
channel_pair(int fds[2])
{
	return socketpair(
		   AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1
	    ? -errno
	    : 0;
}

/* One packet from the socket to on_packet. As packet_read(). */
static int
channel_take(struct channel *ch)
{
	/* on the stack: an idle channel owns no buffer */
	_Alignas(8) char buf[INLINE_MAX + 1];
	AUTO_FREE char *big = NULL;
	struct packet packet = {0};
	int fds[FDS_MAX];
	int rc;

	rc = packet_read(ch->fd, &packet, fds, buf, INLINE_MAX);
	if (rc != 1)
		return rc;
	if ((packet.head.flags & MSG_F_MEMFD) != 0) {
		rc = packet_load(&packet, &big);
		if (rc < 0) {
			close_fds(fds, packet.n_fds);
			return rc;
		}
	}
	ch->ops->on_packet(&packet, ch->arg);
	close_fds(fds, packet.n_fds);
	return 1;
}

static void
channel_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	int i, rc = 1;

	(void)fd;
	(void)what;
	for (i = 0; i < PASS_MAX && rc == 1 && !ch->dead; i++)
		rc = channel_take(ch);
	if (ch->dead || rc == 1 || rc == -EAGAIN)
		return;
	ch->ended = true;
	(void)event_del(&ch->ev_read);
	ch->ops->on_end(rc, ch->arg);
}

static void
out_free(struct out *out)
{
	close_fds(out->fds, out->n_fds);
	free(out);
}

static bool
is_shortage(int rc)
{
	return rc == -ENOBUFS || rc == -ENOMEM || rc == -ETOOMANYREFS;
}

/* Wait until the socket takes more, or a little while if that is not the point. */
static void
channel_arm(struct channel *ch, int rc)
{
	if (is_shortage(rc) || event_add(&ch->ev_write, NULL) == -1)
		loop_timer_set(ch->loop, &ch->retry, RETRY_US);
}

/* With no memory for that, in a little while. */
static void
channel_listen(struct channel *ch)
{
	if (!ch->ended && event_add(&ch->ev_read, NULL) == -1)
		loop_timer_set(ch->loop, &ch->retry, RETRY_US);
}

static void
channel_drop_queue(struct channel *ch)
{
	struct out *out;

	while ((out = ch->head) != NULL) {
		ch->head = out->next;
		out_free(out);
	}
	ch->tail = &ch->head;
	ch->queued = 0;
}

static void
channel_flush(void *arg)
{
	struct channel *ch = arg;
	struct out *out;
	int rc;

	if (!event_pending(&ch->ev_read, EV_READ, NULL))
		channel_listen(ch);
	while ((out = ch->head) != NULL) {
		rc = packet_write(
		    ch->fd, &out->head, out->data, out->len, out->fds, out->n_fds);
		if (rc == -EAGAIN || is_shortage(rc)) {
			channel_arm(ch, rc);
			return;
		}
		if (rc < 0) {
			channel_drop_queue(ch); /* the reading side sees the end */
			return;
		}
		ch->head = out->next;
		if (ch->head == NULL)
			ch->tail = &ch->head;
		ch->queued -= sizeof out->head + out->len;
		out_free(out);
	}
}

static void
channel_on_write(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	channel_flush(arg);
}

static void
channel_release(void *arg)
{
	free(arg);
}

/* The events and the descriptor go at once, the struct after the pass. */
void
channel_free(struct channel *ch)
{
	if (ch == NULL || ch->dead)
		return;
	ch->dead = true;
	channel_drop_queue(ch);
	if (ch->fd != -1) {
		(void)event_del(&ch->ev_read);
		(void)event_del(&ch->ev_write);
	}
	loop_timer_stop(ch->loop, &ch->retry);
	fd_close(&ch->fd);
	loop_bury(ch->loop, &ch->grave, channel_release, ch);
}

struct channel *
channel_new(struct loop *loop, int fd, const struct channel_ops *ops, void *arg)
{
	struct channel *ch = calloc(1, sizeof *ch);

	if (ch == NULL)
		return NULL;
	ch->loop = loop;
	ch->fd = -1;
	ch->ops = ops;
	ch->arg = arg;
	ch->tail = &ch->head;
	loop_timer_init(&ch->retry, channel_flush, ch);
	if (fd != -1)
		channel_open(ch, fd);
	return ch;
}

void
channel_open(struct channel *ch, int fd)
{
	struct event_base *base = loop_base(ch->loop);

	ch->fd = fd;
	(void)event_assign(
	    &ch->ev_read, base, fd, EV_READ | EV_PERSIST, channel_on_read, ch);
	(void)event_assign(&ch->ev_write, base, fd, EV_WRITE, channel_on_write, ch);
	channel_listen(ch);
}

static int
channel_queue(struct channel *ch, const struct msg_head *head, const void *data,
    size_t len, const int *fds, size_t n_fds)
{
	struct out *out = calloc(1, sizeof *out + len);
	size_t i;

	if (out == NULL)
		return -ENOMEM;
	for (i = 0; i < n_fds; i++) {
		int copy = fd_dup(fds[i]);

		if (copy < 0) {
			out_free(out);
			return copy;
		}
		out->fds[out->n_fds++] = copy;
	}
	out->head = *head;
	out->len = len;
	if (len > 0)
		memcpy(out->data, data, len);
	*ch->tail = out;
	ch->tail = &out->next;
	ch->queued += sizeof out->head + len;
	return 0;
}

int
channel_send(struct channel *ch, const struct msg_head *orig, const void *payload,
    const int *fds, size_t n_fds)
{
	struct msg_head head = *orig;
	AUTO_CLOSE int memfd = -1;
	int all[FDS_MAX];
	size_t len;
	int rc;

	rc = packet_prepare(&head, payload, n_fds, &memfd);
	if (rc < 0)
		return rc;
	if (n_fds > 0)
		memcpy(all, fds, n_fds * sizeof *fds);
	if (memfd >= 0)
		all[n_fds++] = memfd;
	len = (head.flags & MSG_F_MEMFD) != 0 ? 0 : head.len;
	if (ch->dead)
		return -EPIPE;
	rc = -EAGAIN;
	if (ch->head == NULL)
		rc = packet_write(ch->fd, &head, payload, len, all, n_fds);
	if (rc != -EAGAIN && !is_shortage(rc))
		return rc;
	if (ch->head == NULL)
		channel_arm(ch, rc);
	return channel_queue(ch, &head, payload, len, all, n_fds);
}

size_t
channel_unread(struct channel *ch)
{
	int n = 0;

	if (ch->dead || ioctl(ch->fd, SIOCOUTQ, &n) == -1 || n < 0)
		n = 0;
	return ch->queued + (size_t)n;
}

size_t
channel_queued(struct channel *ch)
{
	return ch->queued;
}

void
channel_drain(struct channel *ch)
{
	int rc = 1;

	/* a message that we had no room for is no reason to lose the others */
	while (!ch->dead && (rc == 1 || rc == -ENOMEM || rc == -EMFILE))
		rc = channel_take(ch);
}

/* --- blocking -------------------------------------------------------------- */

int
packet_send(int fd, const struct msg_head *orig, const void *payload, const int *fds,
    size_t n_fds)
{
	struct msg_head head = *orig;
	AUTO_CLOSE int memfd = -1;
	int all[FDS_MAX];
	size_t len;
	int rc;

	rc = packet_prepare(&head, payload, n_fds, &memfd);
	if (rc < 0)
		return rc;
	if (n_fds > 0)
		memcpy(all, fds, n_fds * sizeof *fds);
	if (memfd >= 0)
		all[n_fds++] = memfd;
	len = (head.flags & MSG_F_MEMFD) != 0 ? 0 : head.len;
	while ((rc = packet_write(fd, &head, payload, len, all, n_fds)) == -EAGAIN ||
	    is_shortage(rc)) {
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};

		/* a shortage does not show in poll: look again soon */
		if (poll(&pfd, rc == -EAGAIN ? 1 : 0, rc == -EAGAIN ? -1 : 20) == -1 &&
		    errno != EINTR)
			return -errno;
	}
	return rc;
}

/* 0 when fd is readable; -ETIMEDOUT. */
static int
wait_readable(int fd, int timeout_ms, boot_us_t end)
{
	for (;;) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		boot_us_t now = clock_boot_us();
		int left = timeout_ms < 0 ? -1
		    : now >= end	  ? 0
					  : (int)((end - now + 999) / 1000);
		int n = poll(&pfd, 1, left);

		if (n == 1)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int
packet_recv(int fd, int timeout_ms, struct msg_head *head, void *buf, size_t cap,
    int *fds, size_t *n_fds)
{
	boot_us_t end =
	    clock_boot_us() + (boot_us_t)(timeout_ms < 0 ? 0 : timeout_ms) * US_PER_MS;
	AUTO_FREE char *big = NULL;
	struct packet packet = {0};
	int all[FDS_MAX];
	int rc;

	if (cap == 0)
		return -EINVAL;
	while ((rc = packet_read(fd, &packet, all, buf, cap - 1)) == -EAGAIN) {
		rc = wait_readable(fd, timeout_ms, end);
		if (rc < 0)
			return rc;
	}
	if (rc <= 0)
		return rc == 0 ? -EPIPE : rc;
	rc = 0;
	if ((packet.head.flags & MSG_F_MEMFD) != 0)
		rc = packet_load(&packet, &big);
	if (rc == 0 && (packet.fds_lost || packet.n_fds > MSG_FDS_MAX))
		rc = -EMFILE;
	if (rc == 0 && big != NULL && packet.head.len >= cap)
		rc = -EMSGSIZE;
	if (rc < 0) {
		close_fds(all, packet.n_fds);
		return rc;
	}
	if (big != NULL)
		memcpy(buf, big, packet.head.len + 1);
	*head = packet.head;
	memcpy(fds, all, packet.n_fds * sizeof *all);
	*n_fds = packet.n_fds;
	return 0;
}

/*
 * ipc/channel: order, descriptors and big payloads arrive, what the socket
 * does not take is queued, and a dead peer's last words are all heard.
 */
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/loop.h"
#include "ipc/msg.h"

struct side {
	struct channel *ch;
	unsigned packets;
	uint64_t keys[4096];
	size_t last_len;
	uint64_t sum;
	size_t n_fds;
	int kept_fd;
	int ends, end_rc;
	bool free_in_packet;
};

struct fixture {
	struct loop *loop;
	int fds[2];
	struct side a, b;
};

static void
side_on_packet(struct packet *packet, void *arg)
{
	struct side *s = arg;
	const unsigned char *p = packet->payload;
	size_t i;

	assert_int_equal(p[packet->head.len], 0);
	if (s->packets < 4096)
		s->keys[s->packets] = packet->head.key;
	s->packets++;
	s->last_len = packet->head.len;
	for (i = 0; i < packet->head.len; i++)
		s->sum += p[i];
	s->n_fds += packet->n_fds;
	if (packet->n_fds > 0 && s->kept_fd == -1)
		s->kept_fd = steal_fd(&packet->fds[0]);
	if (s->free_in_packet) {
		channel_free(s->ch);
		s->ch = NULL;
	}
}

static void
side_on_end(int rc, void *arg)
{
	struct side *s = arg;

	s->ends++;
	s->end_rc = rc;
}

static const struct channel_ops ops = {side_on_packet, side_on_end};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->a.kept_fd = f->b.kept_fd = -1;
	f->loop = loop_new();
	assert_non_null(f->loop);
	assert_int_equal(channel_pair(f->fds), 0);
	f->a.ch = channel_new(f->loop, f->fds[0], &ops, &f->a);
	assert_non_null(f->a.ch);
	*state = f;
	return 0;
}

static void
open_b(struct fixture *f)
{
	f->b.ch = channel_new(f->loop, f->fds[1], &ops, &f->b);
	assert_non_null(f->b.ch);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	channel_free(f->a.ch);
	channel_free(f->b.ch);
	fd_close(&f->a.kept_fd);
	fd_close(&f->b.kept_fd);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void
run_until_packets(struct fixture *f, const struct side *s, unsigned n)
{
	int i;

	for (i = 0; i < 100000 && s->packets < n; i++)
		loop_once(f->loop, 0);
	assert_int_equal(s->packets, n);
}

static int
send_one(struct channel *ch, uint64_t key, const void *p, size_t len, const int *fds,
    size_t n_fds)
{
	struct msg_head head = {.type = MSG_MARK, .len = (uint32_t)len, .key = key};

	return channel_send(ch, &head, p, fds, n_fds);
}

static void
test_channel_queues_and_keeps_order(void **state)
{
	static char body[20000];
	struct fixture *f = *state;
	unsigned i;

	open_b(f);
	memset(body, 1, sizeof body);
	for (i = 0; i < 200; i++)
		assert_int_equal(
		    send_one(f->a.ch, i, body, i % 3 == 0 ? sizeof body : i, NULL, 0), 0);
	assert_true(channel_queued(f->a.ch) > 0);
	assert_true(channel_unread(f->a.ch) >= channel_queued(f->a.ch));
	run_until_packets(f, &f->b, 200);
	for (i = 0; i < 200; i++)
		assert_int_equal(f->b.keys[i], i);
	assert_int_equal(channel_queued(f->a.ch), 0);
	assert_int_equal(channel_unread(f->a.ch), 0);
}

static void
test_channel_passes_descriptors_even_queued(void **state)
{
	static char body[50000];
	struct fixture *f = *state;
	int pipe_fds[2];
	unsigned i;
	char c;

	open_b(f);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	for (i = 0; i < 20; i++)
		assert_int_equal(send_one(f->a.ch, i, body, sizeof body, NULL, 0), 0);
	assert_true(channel_queued(f->a.ch) > 0);
	assert_int_equal(send_one(f->a.ch, 20, NULL, 0, &pipe_fds[1], 1), 0);
	(void)close(pipe_fds[1]);
	run_until_packets(f, &f->b, 21);
	assert_int_equal(f->b.n_fds, 1);
	assert_int_equal(fcntl(f->b.kept_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(f->b.kept_fd, "x", 1), 1);
	fd_close(&f->b.kept_fd);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	/* ours, the queue's and theirs are closed */
	assert_int_equal(read(pipe_fds[0], &c, 1), 0);
	(void)close(pipe_fds[0]);
}

static void
test_channel_big_payload_rides_in_a_memfd(void **state)
{
	struct fixture *f = *state;
	size_t len = 5u << 20;
	char *big = malloc(len);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_non_null(big);
	memset(big, 2, len);
	open_b(f);
	assert_int_equal(send_one(f->a.ch, 1, big, len, &null, 1), 0);
	run_until_packets(f, &f->b, 1);
	assert_int_equal(f->b.last_len, len);
	assert_int_equal(f->b.sum, 2 * len);
	assert_int_equal(f->b.n_fds, 1); /* without the memfd */
	assert_int_equal(
	    send_one(f->a.ch, 1, big, CHANNEL_PAYLOAD_MAX + 1, NULL, 0), -EMSGSIZE);
	free(big);
	(void)close(null);
}

static void
test_channel_takes_the_callers_memfd(void **state)
{
	struct fixture *f = *state;
	struct msg_head head = {
	    .type = MSG_REQUEST, .flags = MSG_F_MEMFD, .len = 5, .key = 3};
	int memfd = memfd_sealed("test", "\1\1\1\1\1", 5);

	assert_true(memfd >= 0);
	open_b(f);
	assert_int_equal(channel_send(f->a.ch, &head, NULL, &memfd, 1), 0);
	run_until_packets(f, &f->b, 1);
	assert_int_equal(f->b.sum, 5);
	/* one that lies about its length is refused */
	head.len = 6;
	assert_int_equal(channel_send(f->a.ch, &head, NULL, &memfd, 1), 0);
	while (f->b.ends == 0)
		loop_once(f->loop, 0);
	assert_int_equal(f->b.end_rc, -EBADMSG);
	(void)close(memfd);
}

/* recovery.md 1.1: unread input of the dead makes ECONNRESET come first. */
static void
test_channel_drains_through_econnreset(void **state)
{
	struct fixture *f = *state;
	struct msg_head head = {.type = MSG_ANSWER};
	struct pollfd pfd = {.fd = f->fds[0], .events = POLLIN};
	uint64_t i;
	pid_t pid;
	int status;

	for (i = 0; i < 5; i++)
		assert_int_equal(send_one(f->a.ch, i, "unread", 6, NULL, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (i = 0; i < 3; i++) {
			head.key = 100 + i;
			if (packet_send(f->fds[1], &head, NULL, NULL, 0) < 0)
				_exit(1);
		}
		_exit(0);
	}
	(void)close(f->fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_true((pfd.revents & POLLERR) != 0); /* the error is really there */
	channel_drain(f->a.ch);
	assert_int_equal(f->a.packets, 3);
	assert_int_equal(f->a.keys[2], 102);
	assert_int_equal(f->a.ends, 0);
	/* and by the loop: nothing more, then the end */
	while (f->a.ends == 0)
		loop_once(f->loop, 0);
	assert_int_equal(f->a.end_rc, 0);
	assert_int_equal(send_one(f->a.ch, 9, "x", 1, NULL, 0), -EPIPE);
}

static void
test_channel_loop_reads_through_econnreset(void **state)
{
	struct fixture *f = *state;
	struct msg_head head = {.type = MSG_ANSWER};

	assert_int_equal(send_one(f->a.ch, 1, "unread", 6, NULL, 0), 0);
	head.key = 55;
	assert_int_equal(packet_send(f->fds[1], &head, NULL, NULL, 0), 0);
	(void)close(f->fds[1]);
	while (f->a.ends == 0)
		loop_once(f->loop, 0);
	assert_int_equal(f->a.end_rc, 0);
	assert_int_equal(f->a.packets, 1);
	assert_int_equal(f->a.keys[0], 55);
}

static void
test_channel_refuses_garbage(void **state)
{
	struct fixture *f = *state;
	struct msg_head head = {.type = MSG_MARK, .len = 400};

	/* says 400, brings 5 */
	assert_int_equal(send(f->fds[1], &head, sizeof head, 0), sizeof head);
	while (f->a.ends == 0)
		loop_once(f->loop, 0);
	assert_int_equal(f->a.end_rc, -EBADMSG);
	assert_int_equal(f->a.packets, 0);
	(void)close(f->fds[1]);
}

static void
test_channel_may_be_freed_in_its_callback(void **state)
{
	struct fixture *f = *state;
	int i;

	open_b(f);
	f->b.free_in_packet = true;
	for (i = 0; i < 4; i++)
		assert_int_equal(send_one(f->a.ch, 1, "x", 1, NULL, 0), 0);
	for (i = 0; i < 100 && f->a.ends == 0; i++)
		loop_once(f->loop, 0);
	assert_int_equal(f->b.packets, 1);
	assert_int_equal(f->a.ends, 1);
}

static void
test_channel_says_when_descriptors_were_lost(void **state)
{
	struct fixture *f = *state;
	_Alignas(8) char buf[256];
	struct msg_head head = {.type = MSG_FD_PUT};
	struct rlimit old, low;
	int fds[MSG_FDS_MAX], many[64], used = 0, rc;
	size_t n_fds = 0;
	int null;

	if (getenv("PODSHIM_VALGRIND") != NULL) {
		print_message("valgrind lets no descriptor be the last\n");
		skip();
	}
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(packet_send(f->fds[1], &head, NULL, &null, 1), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (used < 64 && (many[used] = dup(null)) != -1)
		used++;
	rc = packet_recv(f->fds[0], 1000, &head, buf, sizeof buf, fds, &n_fds);
	while (used > 0)
		(void)close(many[--used]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(
	    packet_recv(f->fds[0], 10, &head, buf, sizeof buf, fds, &n_fds), -ETIMEDOUT);
	(void)close(null);
	(void)close(f->fds[1]);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_channel_queues_and_keeps_order),
	    T(test_channel_passes_descriptors_even_queued),
	    T(test_channel_big_payload_rides_in_a_memfd),
	    T(test_channel_takes_the_callers_memfd),
	    T(test_channel_drains_through_econnreset),
	    T(test_channel_loop_reads_through_econnreset),
	    T(test_channel_refuses_garbage),
	    T(test_channel_may_be_freed_in_its_callback),
	    T(test_channel_says_when_descriptors_were_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The worker's end of the channel, against a keeper's end in this test: what
 * leaves when, what is remembered of steps, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "ipc/blackbox.h"
#include "ipc/channel.h"
#include "ipc/msg.h"
#include "worker/fatal.h"
#include "worker/link.h"

static struct {
	struct loop *loop;
	struct link *lk;
	int keeper;  /* its end */
	int channel; /* ours; the link has it */
	unsigned syncs, gos, requests, ends;
	uint64_t in_hand_at_request;
	struct msg_step got;
	unsigned n_got;
	int got_fd;
} t;

static uint64_t buf[MSG_PACKET_MAX / 8];

/* --- the worker's callbacks -------------------------------------------------------- */

static void
on_request(const struct msg_request *req, void *arg)
{
	(void)arg;
	t.requests++;
	assert_int_equal(req->frame.len, 3);
	t.in_hand_at_request = link_blackbox(t.lk)->in_hand;
}

static void
on_n(uint64_t n, void *arg)
{
	(void)n;
	(void)arg;
}

static void
on_exit_(const struct msg_exit *ex, void *arg)
{
	(void)ex;
	(void)arg;
}

static void
on_pinned(const char *id, void *arg)
{
	(void)id;
	(void)arg;
}

static void
on_sync(void *arg)
{
	(void)arg;
	t.syncs++;
}

static void
on_go(void *arg)
{
	(void)arg;
	t.gos++;
}

static void
on_quiesce(enum quiesce_why why, void *arg)
{
	(void)why;
	(void)arg;
}

static void
on_tell(int fd, void *arg)
{
	(void)arg;
	assert_int_equal(write(fd, "told", 4), 4);
}

static void
on_end(void *arg)
{
	(void)arg;
	t.ends++;
}

static void
on_step(const struct msg_step *step, void *arg)
{
	(void)arg;
	t.got = *step;
	t.n_got++;
}

static void
on_fd(int fd, void *arg)
{
	(void)arg;
	t.got_fd = fd;
}

/* --- the keeper's side ---------------------------------------------------------------- */

static void
keeper_send(
    enum msg_type type, uint64_t key, uint64_t a, uint64_t b, const char *name, int fd)
{
	struct msg_head h = {.type = (uint16_t)type, .key = key, .a = a, .b = b};
	size_t len = 0;

	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_NAME, name), 0);
	h.len = (uint32_t)len;
	assert_int_equal(packet_send(t.keeper, &h, buf, &fd, fd >= 0 ? 1 : 0), 0);
}

static void
keeper_step(uint64_t key, enum step_state state, int child, bool snapshot)
{
	const struct msg_step m = {.key = key,
	    .kind = STEP_SPAWN,
	    .state = state,
	    .child_pid = child,
	    .snapshot = snapshot,
	    .text = "",
	    .tag = {"tag", 3}};
	struct msg_head h;

	assert_true(msg_encode_step(&h, buf, sizeof buf, &m) >= 0);
	assert_int_equal(packet_send(t.keeper, &h, buf, NULL, 0), 0);
}

/* The next message of the worker's; 0: none. */
static unsigned
keeper_recv(struct msg_head *h, int *fd)
{
	int fds[MSG_FDS_MAX];
	size_t n = 0;
	int rc = packet_recv(t.keeper, 0, h, buf, sizeof buf, fds, &n);

	if (rc == -ETIMEDOUT)
		return 0;
	assert_int_equal(rc, 0);
	if (fd != NULL)
		*fd = n > 0 ? fds[0] : -1;
	else
		assert_int_equal(n, 0);
	return h->type;
}

static void
settle(void)
{
	int i;

	for (i = 0; i < 10; i++)
		loop_once(t.loop, 1);
}

static int
setup(void **state)
{
	static const struct link_ops ops = {on_request, on_n, on_exit_, on_pinned,
	    on_sync, on_go, on_quiesce, on_tell, on_end};
	const struct msg_welcome welcome = {.proto = 1, .gen = 3, .dir_alias = "/d"};
	struct msg_welcome got;
	struct msg_head h;
	struct err err = ERR_INIT;
	int fds[2], box, len;

	(void)state;
	memset(&t, 0, sizeof t);
	t.loop = loop_new();
	assert_int_equal(channel_pair(fds), 0);
	t.keeper = fds[0];
	t.channel = fds[1];
	box = memfd_create("box", MFD_CLOEXEC);
	assert_int_equal(ftruncate(box, BLACKBOX_SIZE), 0);
	len = msg_encode_welcome(&h, buf, sizeof buf, &welcome);
	assert_true(len >= 0);
	assert_int_equal(packet_send(t.keeper, &h, buf, &box, 1), 0);
	(void)close(box);
	assert_int_equal(
	    link_open(t.loop, fds[1], "test", &ops, NULL, &t.lk, &got, &err), 0);
	assert_int_equal(got.gen, 3);
	assert_string_equal(got.dir_alias, "/d");
	assert_int_equal(keeper_recv(&h, NULL), MSG_HELLO);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	link_free(t.lk);
	loop_free(t.loop);
	(void)close(t.keeper);
	return 0;
}

static void
go(void)
{
	struct msg_head h;

	keeper_send(MSG_SYNC, 0, 0, 0, NULL, -1);
	settle();
	assert_int_equal(t.syncs, 1);
	link_ready(t.lk);
	assert_int_equal(keeper_recv(&h, NULL), MSG_READY);
	keeper_send(MSG_GO, 0, 0, 0, NULL, -1);
	settle();
	assert_int_equal(t.gos, 1);
	link_release(t.lk);
}

static void
spawn(uint64_t key)
{
	char *argv[] = {(char *)(uintptr_t) "true", NULL};
	const struct msg_spawn m = {.key = key, .argv = argv};

	link_spawn(t.lk, &m, on_step, NULL);
}

/* --- tests ------------------------------------------------------------------------------- */

static void
test_link_nothing_leaves_before_go(void **state)
{
	struct msg_head h;
	int fd = -1;

	(void)state;
	link_answer(t.lk, 7, "x", 1);
	link_ack_exit(t.lk, 0x702);
	link_fd_put(t.lk, "io/a", STDIN_FILENO);
	settle();
	assert_int_equal(keeper_recv(&h, &fd), 0);
	assert_true(link_queued(t.lk) > 0);
	go();
	assert_int_equal(keeper_recv(&h, NULL), MSG_ANSWER);
	assert_int_equal(h.a, 7);
	assert_int_equal(h.b, ANSWER_MESSAGE);
	assert_int_equal(keeper_recv(&h, NULL), MSG_ACK);
	assert_int_equal(h.a, ACK_EXIT);
	assert_int_equal(keeper_recv(&h, &fd), MSG_FD_PUT);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(link_queued(t.lk), 0);
}

static void
test_link_nobody_and_nothing_are_two(void **state)
{
	struct msg_head h;

	(void)state;
	go();
	link_answer(t.lk, 1, "", 0);
	link_answer(t.lk, 2, NULL, 0);
	assert_int_equal(keeper_recv(&h, NULL), MSG_ANSWER);
	assert_int_equal(h.b, ANSWER_MESSAGE);
	assert_int_equal(keeper_recv(&h, NULL), MSG_ANSWER);
	assert_int_equal(h.b, ANSWER_NONE);
}

static void
test_link_known_step_is_not_asked_for_again(void **state)
{
	struct msg_head h;

	(void)state;
	keeper_step(0x101, STEP_DONE, 0, true);
	keeper_step(0x201, STEP_RUNNING, 0, true);
	go();
	spawn(0x101);
	assert_int_equal(t.n_got, 0); /* not from the call itself */
	settle();
	assert_int_equal(t.n_got, 1);
	assert_int_equal(t.got.key, 0x101);
	spawn(0x201);
	settle();
	assert_int_equal(keeper_recv(&h, NULL), 0);
	keeper_step(0x201, STEP_DONE, 0, false);
	settle();
	assert_int_equal(t.n_got, 2);
	spawn(0x301);
	assert_int_equal(keeper_recv(&h, NULL), MSG_SPAWN);
	assert_int_equal(h.key, 0x301);
}

static void
test_link_forgets_with_the_keeper(void **state)
{
	(void)state;
	keeper_step(0x101, STEP_DONE, 0, true);
	keeper_step(0x102, STEP_DONE, 4242, true); /* adopted a process */
	keeper_step(0x103, STEP_RUNNING, 0, true);
	go();
	link_answer(t.lk, 1, NULL, 0);
	assert_null(link_step_known(t.lk, 0x101));
	assert_non_null(link_step_known(t.lk, 0x103)); /* turned internal */
	assert_non_null(link_step_known(t.lk, 0x102)); /* as long as its process */
	link_ack_exit(t.lk, 0x102);
	assert_null(link_step_known(t.lk, 0x102));
	/* the other way round: exited first, answered then */
	keeper_step(0x202, STEP_DONE, 4243, true);
	settle();
	link_ack_exit(t.lk, 0x202);
	assert_non_null(link_step_known(t.lk, 0x202));
	link_answer(t.lk, 2, NULL, 0);
	assert_null(link_step_known(t.lk, 0x202));
}

static void
test_link_signal_without_a_reader_is_acked(void **state)
{
	uint64_t key;
	struct msg_head h;

	(void)state;
	go();
	key = link_internal_key(t.lk);
	assert_true(key_is_internal(key));
	link_signal(t.lk, key, 0x102, 9, NULL, NULL);
	assert_int_equal(keeper_recv(&h, NULL), MSG_SIGNAL);
	assert_int_equal(h.a, 0x102);
	assert_int_equal(h.b, 9);
	keeper_step(key, STEP_DONE, 0, false);
	settle();
	assert_int_equal(keeper_recv(&h, NULL), MSG_ACK);
	assert_int_equal(h.a, ACK_STEP);
	assert_null(link_step_known(t.lk, key));
}

static void
test_link_descriptors(void **state)
{
	struct msg_head h;

	(void)state;
	keeper_send(MSG_FDNAME, 0, 0, 0, "io/a/-/out", -1);
	keeper_send(MSG_FDNAME, 0, 0, 0, "io/ab/-/out", -1);
	go();
	assert_true(link_fd_known(t.lk, "io/a/-/out"));
	link_fd_get(t.lk, "io/a/-/out", on_fd, NULL);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FD_GET);
	keeper_send(MSG_FD, 0, h.a, 0, "io/a/-/out", STDIN_FILENO);
	settle();
	assert_true(t.got_fd > 2);
	(void)close(t.got_fd);
	link_fd_get(t.lk, "x", on_fd, &t);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FD_GET);
	keeper_send(MSG_FD, 0, h.a, ENOENT, "x", -1);
	settle();
	assert_int_equal(t.got_fd, -ENOENT);
	link_fd_get(t.lk, "x", on_fd, &t);
	link_fd_forget(t.lk, &t);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FD_GET);
	t.got_fd = 77;
	keeper_send(MSG_FD, 0, h.a, 0, "x", STDIN_FILENO);
	settle();
	assert_int_equal(t.got_fd, 77);
	link_fd_drop(t.lk, "io/a/", true);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FD_DROP);
	assert_int_equal(h.b, 1);
	assert_false(link_fd_known(t.lk, "io/a/-/out"));
	assert_true(link_fd_known(t.lk, "io/ab/-/out"));
	/* the keeper stores terminals under names that nobody told us */
	link_fd_drop(t.lk, "unheard of", false);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FD_DROP);
}

static void
test_link_black_box(void **state)
{
	const struct msg_request req = {.n = 12, .frame = {"abc", 3}};
	struct blackbox *bb = link_blackbox(t.lk);
	struct msg_head h;

	(void)state;
	go();
	msg_head_request(&h, &req);
	h.len = 3;
	assert_int_equal(packet_send(t.keeper, &h, "abc", NULL, 0), 0);
	settle();
	assert_int_equal(t.requests, 1);
	assert_int_equal(t.in_hand_at_request, 12);
	assert_int_equal(bb->in_hand, 0);
	link_trace("one");
	assert_string_equal(bb->trace[(bb->n_traces - 1) % BLACKBOX_TRACES].text, "one");
	link_loop_pass(t.lk);
	assert_int_equal(bb->loops, 1);
}

/* Its part of a dump, and where it is, which a signal handler says by itself. */
static void
test_link_tells(void **state)
{
	struct blackbox *bb = link_blackbox(t.lk);
	int file = memfd_create("dump", MFD_CLOEXEC);
	struct msg_head h;

	(void)state;
	go();
	keeper_send(MSG_TELL, 0, 0, 0, NULL, file);
	settle();
	assert_int_equal(keeper_recv(&h, NULL), MSG_TOLD);
	assert_int_equal(lseek(file, 0, SEEK_END), 4);
	(void)close(file);
	keeper_send(MSG_TELL, 0, 0, 0, NULL, -1); /* lost on its way */
	settle();
	assert_int_equal(keeper_recv(&h, NULL), MSG_TOLD);

	assert_int_equal(bb->ask_ready, 0);
	fatal_init(bb, t.channel);
	assert_int_equal(bb->ask_ready, 1);
	errno = 7;
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(errno, 7);
	assert_int_equal(keeper_recv(&h, NULL), MSG_FRAMES);
	assert_int_equal(h.a, 0);
	assert_int_equal(h.len, 0);
	assert_true(bb->n_ask_frames > 1 && bb->n_ask_frames <= BLACKBOX_FRAMES);
	assert_int_equal(bb->n_frames, 0);
	(void)signal(SIGUSR1, SIG_DFL);
}

static void
test_link_keeper_gone(void **state)
{
	(void)state;
	go();
	(void)close(t.keeper);
	t.keeper = open("/dev/null", O_RDONLY | O_CLOEXEC);
	settle();
	assert_int_equal(t.ends, 1);
	link_answer(t.lk, 1, "x", 1); /* into the void */
	assert_int_equal(link_queued(t.lk), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    T(test_link_nothing_leaves_before_go),
	    T(test_link_nobody_and_nothing_are_two),
	    T(test_link_known_step_is_not_asked_for_again),
	    T(test_link_forgets_with_the_keeper),
	    T(test_link_signal_without_a_reader_is_acked),
	    T(test_link_descriptors),
	    T(test_link_black_box),
	    T(test_link_tells),
	    T(test_link_keeper_gone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The rig; see keeper_rig.h. The worker that the keeper starts is
 * keeper_worker.c, which sends its channel here.
 */
#include "keeper_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "ipc/admin.h"
#include "ipc/channel.h"
#include "proto/frame.h"

static _Alignas(8) char recv_buf[MSG_PACKET_MAX];

/* --- the keeper ------------------------------------------------------------ */

static void
sibling_path(char *out, size_t cap, const char *name)
{
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	assert_true(snprintf(out, cap, "%s/%s", self, name) < (int)cap);
}

static int
listen_at(const char *path, int type)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd != -1);
	strncpy(sa.sun_path, path, sizeof sa.sun_path - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static _Noreturn void
exec_keeper(struct rig *rig, const int from[3], const char *pin)
{
	char exe[320];
	const char *argv[] = {"podshim-keeper", "-namespace", "test", "-id", "pod",
	    "-address", "/run/none", "-publish-binary", "/bin/true", "-socket",
	    rig->socket_path, "-dir", rig->pod_dir, "-lock", rig->lock_path, "-log",
	    "/dev/null", pin != NULL ? "-pin" : NULL, pin, NULL};
	char log[128];
	int high[3], i;

	if (getenv("KEEPER_TEST_LOG") != NULL) {
		(void)snprintf(log, sizeof log, "%s", getenv("KEEPER_TEST_LOG"));
		argv[16] = log;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < 3; i++)
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 100);
	for (i = 0; i < 3; i++)
		(void)dup2(high[i], 3 + i);
	sibling_path(exe, sizeof exe,
	    getenv("KEEPER_TEST_HASTY") != NULL ? "keeper_hasty"
						: "../../podshim-keeper");
	(void)execv(exe, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static void
make_dirs(struct rig *rig)
{
	char worker[320], link[128];

	(void)snprintf(rig->dir, sizeof rig->dir, "/tmp/keeper-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	(void)snprintf(rig->pod_dir, sizeof rig->pod_dir, "%s/root/ns/pod", rig->dir);
	(void)snprintf(rig->socket_path, sizeof rig->socket_path, "%s/ttrpc", rig->dir);
	(void)snprintf(
	    rig->lock_path, sizeof rig->lock_path, "%s/root/ns/pod.lock", rig->dir);
	(void)snprintf(
	    rig->control_path, sizeof rig->control_path, "%s/control", rig->dir);
	(void)snprintf(rig->libexec, sizeof rig->libexec, "%s/libexec", rig->dir);
	assert_int_equal(dir_make(rig->pod_dir, 0700, NULL), 0);
	assert_int_equal(dir_make(rig->libexec, 0700, NULL), 0);
	sibling_path(worker, sizeof worker, "keeper_worker");
	(void)snprintf(link, sizeof link, "%s/podshim-worker", rig->libexec);
	assert_int_equal(symlink(worker, link), 0);
}

struct rig *
rig_new(const char *pin)
{
	struct rig *rig = calloc(1, sizeof *rig);
	int from[3], ok[2];
	char c = 0;

	assert_non_null(rig);
	rig->ctl = rig->ch = -1;
	make_dirs(rig);
	rig->control_fd = listen_at(rig->control_path, SOCK_SEQPACKET);
	assert_int_equal(setenv("KEEPER_TEST_CONTROL", rig->control_path, 1), 0);
	assert_int_equal(setenv("PODSHIM_LIBEXECDIR", rig->libexec, 1), 0);
	rig->pod_dir_fd = open(rig->pod_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	from[0] = listen_at(rig->socket_path, SOCK_STREAM);
	from[1] = unix_listen_at(rig->pod_dir_fd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
	assert_int_equal(pipe2(ok, O_CLOEXEC), 0);
	from[2] = ok[1];
	rig->keeper = fork();
	assert_true(rig->keeper >= 0);
	if (rig->keeper == 0)
		exec_keeper(rig, from, pin);
	(void)close(from[0]);
	(void)close(from[1]);
	(void)close(ok[1]);
	assert_int_equal(read(ok[0], &c, 1), 1);
	assert_int_equal(c, 'K');
	(void)close(ok[0]);
	return rig;
}

static void
forget_worker(struct rig *rig)
{
	fd_close(&rig->ctl);
	fd_close(&rig->ch);
	if (rig->box != NULL)
		(void)munmap(rig->box, BLACKBOX_SIZE);
	rig->box = NULL;
	rig->worker = 0;
}

static void
wait_pid(pid_t pid)
{
	boot_us_t end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 5);
	}
}

void
rig_wait_keeper_gone(struct rig *rig)
{
	wait_pid(rig->keeper);
	rig->keeper = 0;
}

void
rig_free(struct rig *rig)
{
	char command[160];
	pid_t pid;

	if (rig->keeper != 0) {
		(void)kill(rig->keeper, SIGKILL);
		wait_pid(rig->keeper);
	}
	if (rig->worker != 0)
		(void)kill(rig->worker, SIGKILL);
	forget_worker(rig);
	fd_close(&rig->pod_dir_fd);
	fd_close(&rig->control_fd);
	(void)snprintf(command, sizeof command, "%s", rig->dir);
	pid = fork();
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", command, (char *)NULL);
		_exit(127);
	}
	wait_pid(pid);
	free(rig);
}

/* --- the worker ------------------------------------------------------------ */

static void
wait_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, RIG_WAIT_MS), 1);
}

void
rig_take_worker(struct rig *rig)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&rig->worker, sizeof rig->worker};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof control.buf};
	struct pollfd pfd = {.fd = rig->control_fd, .events = POLLIN};

	wait_readable(rig->control_fd);
	forget_worker(rig);
	do { /* of those before the last one the keeper has killed each for its lateness */
		fd_close(&rig->ctl);
		rig->ctl = accept4(rig->control_fd, NULL, NULL, SOCK_CLOEXEC);
		assert_true(rig->ctl >= 0);
	} while (poll(&pfd, 1, 0) == 1);
	wait_readable(rig->ctl);
	assert_int_equal(recvmsg(rig->ctl, &mh, MSG_CMSG_CLOEXEC), sizeof rig->worker);
	assert_non_null(CMSG_FIRSTHDR(&mh));
	memcpy(&rig->ch, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof rig->ch);
}

void
rig_send(struct rig *rig, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds)
{
	assert_int_equal(packet_send(rig->ch, head, payload, fds, n_fds), 0);
}

void
rig_send_name(struct rig *rig, enum msg_type type, const char *name, uint64_t b, int fd)
{
	_Alignas(8) char buf[512];
	struct msg_head head = {.type = (uint16_t)type, .b = b};
	size_t len = 0;

	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_NAME, name), 0);
	head.len = (uint32_t)len;
	rig_send(rig, &head, buf, &fd, fd >= 0 ? 1 : 0);
}

void
rig_recv(struct rig *rig, struct rig_packet *p)
{
	int rc = packet_recv(
	    rig->ch, RIG_WAIT_MS, &p->head, recv_buf, sizeof recv_buf, p->fds, &p->n_fds);

	if (rc < 0)
		fail_msg("packet_recv: %s", strerror(-rc));
	p->payload = recv_buf;
	if (rig->box != NULL)
		rig->box->loops++; /* as one whose loop goes round */
}

void
rig_recv_type(struct rig *rig, enum msg_type type, struct rig_packet *p)
{
	size_t i;

	for (;;) {
		rig_recv(rig, p);
		if (p->head.type == type)
			return;
		for (i = 0; i < p->n_fds; i++)
			(void)close(p->fds[i]);
	}
}

void
rig_recv_nothing(struct rig *rig, int ms)
{
	struct rig_packet p;
	int rc =
	    packet_recv(rig->ch, ms, &p.head, recv_buf, sizeof recv_buf, p.fds, &p.n_fds);

	if (rc != -ETIMEDOUT)
		fail_msg("unexpected %s", rc < 0 ? strerror(-rc) : msg_name(p.head.type));
}

void
rig_hello(struct rig *rig)
{
	_Alignas(8) char buf[256];
	struct msg_hello hello = {IPC_PROTO_MIN, IPC_PROTO_MAX, 1, 1, "test build"};
	struct msg_head head;
	struct rig_packet p;

	assert_true(msg_encode_hello(&head, buf, sizeof buf, &hello) > 0);
	rig_send(rig, &head, buf, NULL, 0);
	rig_recv(rig, &p);
	assert_int_equal(p.head.type, MSG_WELCOME);
	assert_int_equal(msg_decode_welcome(&p.head, p.payload, &rig->welcome, NULL), 0);
	rig->welcome.dir_alias = NULL; /* lay in the packet */
	assert_int_equal(p.n_fds, 1);
	rig->box =
	    mmap(NULL, BLACKBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p.fds[0], 0);
	assert_true(rig->box != MAP_FAILED);
	(void)close(p.fds[0]);
}

void
rig_ready(struct rig *rig)
{
	struct msg_head head = {.type = MSG_READY};
	struct rig_packet p;

	rig_send(rig, &head, NULL, NULL, 0);
	rig_recv_type(rig, MSG_GO, &p);
}

void
rig_boot(struct rig *rig)
{
	struct rig_packet p;

	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv_type(rig, MSG_SYNC, &p);
	rig_ready(rig);
}

void
rig_kill_worker(struct rig *rig)
{
	assert_int_equal(kill(rig->worker, SIGKILL), 0);
	forget_worker(rig);
}

void
rig_end_worker(struct rig *rig, const char *command)
{
	assert_true(send(rig->ctl, command, 2, MSG_NOSIGNAL) == 2);
	forget_worker(rig);
}

void
rig_answer(struct rig *rig, uint64_t n, const char *text)
{
	struct msg_head head = {.type = MSG_ANSWER,
	    .len = text == NULL ? 0 : (uint32_t)strlen(text),
	    .a = n,
	    .b = text == NULL ? ANSWER_NONE : ANSWER_MESSAGE};

	rig_send(rig, &head, text, NULL, 0);
}

void
rig_spawn_sh(struct rig *rig, uint64_t key, unsigned flags, const char *pid_file,
    const char *script)
{
	_Alignas(8) char buf[8192];
	char sh[] = "sh", c[] = "-c", *copy = strdup(script);
	char *argv[] = {sh, c, copy, NULL};
	struct msg_spawn m = {.key = key,
	    .flags = flags,
	    .argv = argv,
	    .cwd = rig->pod_dir,
	    .pid_file = pid_file,
	    .tag = {"tag", 3}};
	struct msg_head head;

	assert_true(msg_encode_spawn(&head, buf, sizeof buf, &m) > 0);
	rig_send(rig, &head, buf, NULL, 0);
	free(copy);
}

void
rig_recv_step(struct rig *rig, struct msg_step *step)
{
	struct rig_packet p;

	rig_recv_type(rig, MSG_STEP, &p);
	assert_int_equal(msg_decode_step(&p.head, p.payload, step, NULL), 0);
}

void
rig_recv_exit(struct rig *rig, struct msg_exit *ex)
{
	struct rig_packet p;

	rig_recv_type(rig, MSG_EXIT, &p);
	assert_int_equal(msg_decode_exit(&p.head, p.payload, ex, NULL), 0);
}

void
rig_expect_request(struct rig *rig, uint64_t n, unsigned flags)
{
	struct msg_request req;
	struct rig_packet p;

	rig_recv_type(rig, MSG_REQUEST, &p);
	assert_int_equal(msg_decode_request(&p.head, p.payload, &req, NULL), 0);
	assert_int_equal(req.n, n);
	assert_int_equal(req.flags, flags);
}

void
rig_expect_quiesce(struct rig *rig, enum quiesce_why why)
{
	struct rig_packet p;

	rig_recv_type(rig, MSG_QUIESCE, &p);
	assert_int_equal(p.head.a, why);
	rig_end_worker(rig, "x\0");
}

void
rig_ack(struct rig *rig, uint64_t key, enum ack_what what)
{
	struct msg_head head = {.type = MSG_ACK, .key = key, .a = (uint64_t)what};

	rig_send(rig, &head, NULL, NULL, 0);
}

unsigned
rig_lines(struct rig *rig, const char *file)
{
	char *text = NULL;
	size_t len = 0, i;
	unsigned n = 0;

	if (file_read(rig->pod_dir_fd, file, 65536, &text, &len, NULL) < 0)
		return 0;
	for (i = 0; i < len; i++)
		n += text[i] == '\n';
	free(text);
	return n;
}

void
rig_wait_lines(struct rig *rig, const char *file, unsigned n)
{
	boot_us_t end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;

	while (rig_lines(rig, file) < n) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 5);
	}
}

/* --- the client ------------------------------------------------------------ */

int
rig_connect(struct rig *rig)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd != -1);
	strncpy(sa.sun_path, rig->socket_path, sizeof sa.sun_path - 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

void
client_frame(int fd, uint32_t stream, uint8_t type, const void *p, size_t len)
{
	struct frame_head head = {.len = (uint32_t)len, .stream = stream, .type = type};
	uint8_t buf[FRAME_HEAD_LEN];

	frame_head_encode(buf, &head);
	assert_int_equal(fd_write_all(fd, buf, sizeof buf), 0);
	assert_int_equal(fd_write_all(fd, p, len), 0);
}

void
client_request(int fd, uint32_t stream, const char *text)
{
	client_frame(fd, stream, FRAME_REQUEST, text, strlen(text));
}

static void
read_exactly(int fd, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		wait_readable(fd);
		n = read(fd, (char *)out + done, len - done);
		assert_true(n > 0);
		done += (size_t)n;
	}
}

size_t
client_response(int fd, uint32_t *stream, const char **text)
{
	static char buf[FRAME_PAYLOAD_MAX + 1];
	uint8_t raw[FRAME_HEAD_LEN];
	struct frame_head head;

	read_exactly(fd, raw, sizeof raw);
	frame_head_decode(&head, raw);
	assert_int_equal(head.type, FRAME_RESPONSE);
	assert_true(head.len <= FRAME_PAYLOAD_MAX);
	read_exactly(fd, buf, head.len);
	buf[head.len] = '\0';
	*stream = head.stream;
	*text = buf;
	return head.len;
}

void
client_expect_status(int fd, uint32_t stream, int code)
{
	uint32_t got;
	const char *text;
	size_t len = client_response(fd, &got, &text);

	assert_int_equal(got, stream);
	assert_true(len > 4);
	/* Response.status { code = … } */
	assert_int_equal(text[0], 0x0a);
	assert_non_null(memchr(text, 0x08, 4));
	assert_int_equal(((const char *)memchr(text, 0x08, 4))[1], code);
}

void
client_expect_text(int fd, uint32_t stream, const char *text)
{
	uint32_t got;
	const char *said;

	assert_int_equal(client_response(fd, &got, &said), strlen(text));
	assert_int_equal(got, stream);
	assert_string_equal(said, text);
}

void
client_expect_nothing(int fd, int ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, ms), 0);
}

void
client_expect_closed(int fd)
{
	char c;

	wait_readable(fd);
	assert_true(read(fd, &c, 1) <= 0);
}

long
rig_status(struct rig *rig, const char *key)
{
	struct err err = ERR_INIT;
	char *text = NULL, *value;
	long n;
	int rc = admin_status(rig->pod_dir_fd, RIG_WAIT_MS, &text, &err);

	if (rc < 0)
		fail_msg("status: %s", err.text);
	value = admin_status_get(text, key);
	assert_non_null(value);
	n = strtol(value, NULL, 10);
	free(value);
	free(text);
	return n;
}

static void
rig_wait_within(struct rig *rig, const char *key, long least, long most)
{
	boot_us_t end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;
	long now;

	while ((now = rig_status(rig, key)) < least || now > most) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 2);
	}
}

void
rig_wait_status(struct rig *rig, const char *key, long n)
{
	rig_wait_within(rig, key, n, n);
}

void
rig_wait_status_from(struct rig *rig, const char *key, long n)
{
	rig_wait_within(rig, key, n, LONG_MAX);
}

/* --- fixtures ---------------------------------------------------------------- */

int
rig_setup(void **state)
{
	*state = rig_new(NULL);
	return 0;
}

int
rig_setup_hasty(void **state)
{
	assert_int_equal(setenv("KEEPER_TEST_HASTY", "60", 1), 0);
	return rig_setup(state);
}

int
rig_setup_hasty_boot(void **state)
{
	assert_int_equal(setenv("KEEPER_TEST_HASTY", "1", 1), 0);
	return rig_setup(state);
}

int
rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}

int
rig_setup_logged(void **state)
{
	char path[] = "/tmp/keeper-log-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(setenv("KEEPER_TEST_LOG", path, 1), 0);
	return rig_setup(state);
}

int
rig_teardown_logged(void **state)
{
	assert_int_equal(unlink(getenv("KEEPER_TEST_LOG")), 0);
	(void)unsetenv("KEEPER_TEST_LOG");
	return rig_teardown(state);
}

unsigned
rig_log_says(const char *what)
{
	char *text = NULL, *p;
	size_t len;
	unsigned n = 0;

	assert_int_equal(
	    file_read(AT_FDCWD, getenv("KEEPER_TEST_LOG"), 1 << 20, &text, &len, NULL),
	    0);
	for (p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	free(text);
	return n;
}

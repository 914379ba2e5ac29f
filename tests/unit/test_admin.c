/*
 * ipc/admin: sockets in directories of any length, questions with a limit in
 * time, answers that make no sense.
 */
#include "ipc/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "ipc/channel.h"

struct fixture {
	char base[32];
	char dir[256]; /* longer than sun_path */
	int dir_fd;
	int listen_fd;
	pid_t server;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	(void)snprintf(f->base, sizeof f->base, "/tmp/admin-XXXXXX");
	assert_non_null(mkdtemp(f->base));
	(void)snprintf(f->dir, sizeof f->dir, "%s/%0150d", f->base, 1);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir_fd >= 0);
	f->listen_fd = -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	if (f->server > 0) {
		(void)kill(f->server, SIGKILL);
		(void)waitpid(f->server, NULL, 0);
	}
	fd_close(&f->listen_fd);
	(void)unlinkat(f->dir_fd, ADMIN_SOCKET, 0);
	(void)close(f->dir_fd);
	(void)rmdir(f->dir);
	(void)rmdir(f->base);
	free(f);
	return 0;
}

/* Answer one question with these header fields and this text. */
static void
serve(struct fixture *f, const struct msg_head *answer, const char *text)
{
	_Alignas(8) char buf[1024];
	struct msg_head head;
	int fd, fds[MSG_FDS_MAX];
	size_t n_fds, len = 0;

	f->listen_fd = unix_listen_at(f->dir_fd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
	assert_true(f->listen_fd >= 0);
	f->server = fork();
	assert_true(f->server >= 0);
	if (f->server > 0)
		return;
	(void)fd_set_nonblock(f->listen_fd, false);
	fd = accept(f->listen_fd, NULL, NULL);
	if (packet_recv(fd, 10000, &head, buf, sizeof buf, fds, &n_fds) < 0)
		_exit(1);
	if (answer != NULL) {
		head = *answer;
		(void)msg_put_str(buf, sizeof buf, &len, MF_TEXT, text);
		head.len = (uint32_t)len;
		(void)packet_send(fd, &head, buf, NULL, 0);
	}
	if (text != NULL)
		(void)pause(); /* else: close without a word */
	_exit(0);
}

static void
test_admin_socket_modes_and_long_paths(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	f->listen_fd = unix_listen_at(f->dir_fd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
	assert_true(f->listen_fd >= 0);
	assert_int_equal(fstatat(f->dir_fd, ADMIN_SOCKET, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(
	    unix_listen_at(f->dir_fd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL), -EADDRINUSE);
}

static void
test_admin_nobody_there(void **state)
{
	struct fixture *f = *state;
	char *text;

	assert_int_equal(admin_status(f->dir_fd, 100, &text, NULL), -ENOENT);
	f->listen_fd = unix_listen_at(f->dir_fd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
	/* there, but it does not answer */
	assert_int_equal(admin_status(f->dir_fd, 100, &text, NULL), -ETIMEDOUT);
	assert_int_equal(admin_pin(f->dir_fd, "id", 100, NULL), -ETIMEDOUT);
	fd_close(&f->listen_fd);
	assert_int_equal(admin_status(f->dir_fd, 100, &text, NULL), -ECONNREFUSED);
}

static void
test_admin_answers(void **state)
{
	const struct msg_head good = {.type = MSG_REPLY};
	struct fixture *f = *state;
	char *text = NULL, *value;

	serve(f, &good, "a=1\nab=two words\nempty=\nlast=x");
	assert_int_equal(admin_status(f->dir_fd, 10000, &text, NULL), 0);
	value = admin_status_get(text, "ab");
	assert_string_equal(value, "two words");
	free(value);
	value = admin_status_get(text, "empty");
	assert_string_equal(value, "");
	free(value);
	value = admin_status_get(text, "last");
	assert_string_equal(value, "x");
	free(value);
	assert_null(admin_status_get(text, "b"));
	assert_null(admin_status_get(text, "las"));
	free(text);
}

/* A pod's name is its client's choice. */
static void
test_admin_clean_leaves_one_line(void **state)
{
	char text[] = "x\nsocket=/tmp/evil\r\t\x1b[1m \x7f'\"caf\xc3\xa9";

	(void)state;
	admin_clean(text);
	assert_string_equal(text, "x?socket=/tmp/evil???[1m ?'\"caf\xc3\xa9");
}

static void
test_admin_refusals(void **state)
{
	const struct msg_head bad = {.type = MSG_REPLY, .a = EBUSY};
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	serve(f, &bad, "not now");
	assert_int_equal(admin_restart(f->dir_fd, 10000, NULL, &err), -EBUSY);
	assert_string_equal(err.text, "not now");
}

static void
test_admin_nonsense(void **state)
{
	const struct msg_head odd = {.type = MSG_MARK};
	struct fixture *f = *state;

	serve(f, &odd, "what");
	assert_int_equal(admin_pin(f->dir_fd, "id", 10000, NULL), -EBADMSG);
}

static void
test_admin_pin_of_one_that_leaves(void **state)
{
	struct fixture *f = *state;

	serve(f, NULL, NULL);
	assert_int_equal(admin_pin(f->dir_fd, "id", 10000, NULL), -EAGAIN);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_admin_socket_modes_and_long_paths),
	    T(test_admin_nobody_there),
	    T(test_admin_answers),
	    T(test_admin_clean_leaves_one_line),
	    T(test_admin_refusals),
	    T(test_admin_nonsense),
	    T(test_admin_pin_of_one_that_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

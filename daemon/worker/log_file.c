/*
 * The log program for file: URIs. A process of its own, so that a hung disk
 * hangs nobody else, and that a worker's death leaves no gap. Bytes that the
 * disk refuses are dropped and counted: blocking the container would be worse.
 *
 * It ends at the end of its input; on SIGTERM it takes what lies in the pipes, and
 * ends. What it has to say goes to the worker, by the descriptor on which that
 * heard of its readiness; if nobody reads there, it is not said.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "worker/logger.h"

/* Where a file takes what a stream brings. */
struct log_out {
	int fd; /* -1: the stream is not there */
	const char *path;
	uint64_t lost; /* bytes since it last took all */
};

static volatile sig_atomic_t log_file_term;

static void
log_file_on_term(int signo)
{
	(void)signo;
	log_file_term = 1;
}

/*
 * Files, and the devices of /dev, which nobody but root makes. Who can write to the
 * directory could put something else there: a symbolic link to any file, a FIFO
 * that nobody reads, a device.
 */
static int
log_file_check(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "stat '%s'", path);
	if (S_ISREG(st.st_mode) ||
	    (S_ISCHR(st.st_mode) && strncmp(path, "/dev/", 5) == 0))
		return 0;
	return err_setx(err, EINVAL, "'%s' is not a regular file", path);
}

static int
log_file_open(const char *path, bool make, int *out_fd, struct err *err)
{
	AUTO_FREE char *parent = mem_strdup(path);
	AUTO_CLOSE int fd = -1;
	char *slash = strrchr(parent, '/');
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK;
	int rc;

	if (make && slash != NULL && slash != parent) {
		*slash = '\0';
		rc = dir_make(parent, 0755, err);
		if (rc < 0)
			return rc;
	}
	fd = open(path, make ? flags | O_CREAT : flags, 0600);
	if (fd == -1 && errno == ELOOP)
		return err_setx(
		    err, ELOOP, "'%s' is a symbolic link, which is not followed", path);
	if (fd == -1 && errno == ENXIO) /* a FIFO that nobody reads, a socket */
		return err_setx(err, EINVAL, "'%s' is not a regular file", path);
	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	rc = log_file_check(fd, path, err);
	if (rc == 0 && (rc = fd_set_nonblock(fd, false)) < 0)
		return err_set(err, -rc, "open '%s'", path);
	if (rc == 0)
		*out_fd = steal_fd(&fd);
	return rc;
}

static void __attribute__((format(printf, 1, 2))) log_file_say(const char *fmt, ...)
{
	char text[LOGGER_NOTE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n > sizeof text - 2)
		n = (int)sizeof text - 2;
	text[n++] = '\n';
	(void)!write(LOGGER_READY_NUM, text, (size_t)n);
}

static void
log_file_write(struct log_out *out, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(out->fd, buf, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (out->lost == 0)
				log_file_say("'%s': %s, output is dropped", out->path,
				    strerror(errno));
			out->lost += len;
			return;
		}
		buf += n;
		len -= (size_t)n;
	}
	if (out->lost > 0)
		log_file_say("'%s' takes output again, %" PRIu64 " bytes were lost",
		    out->path, out->lost);
	out->lost = 0;
}

/* Until both inputs have ended. */
static void
log_file_run(struct log_out outs[2])
{
	static char buf[64 * 1024];
	const struct timespec now = {0};
	struct pollfd pfd[2] = {
	    {.fd = outs[0].fd == -1 ? -1 : 3, .events = POLLIN},
	    {.fd = outs[1].fd == -1 ? -1 : 4, .events = POLLIN},
	};
	sigset_t none;
	int i, rc;

	(void)sigemptyset(&none);
	while (pfd[0].fd != -1 || pfd[1].fd != -1) {
		/* SIGTERM comes here and nowhere else */
		rc = ppoll(pfd, 2, log_file_term ? &now : NULL, &none);
		if (rc == 0)
			return;
		if (rc == -1)
			continue;
		for (i = 0; i < 2; i++) {
			ssize_t n;

			if (pfd[i].fd == -1 || pfd[i].revents == 0)
				continue;
			n = read(pfd[i].fd, buf, sizeof buf);
			if (n > 0)
				log_file_write(&outs[i], buf, (size_t)n);
			else if (n == 0 || (errno != EAGAIN && errno != EINTR))
				pfd[i].fd = -1;
		}
	}
}

int
log_file_main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = log_file_on_term};
	bool make = strcmp(argv[1], "--log-file") == 0;
	struct log_out outs[2] = {{.fd = -1}, {.fd = -1}};
	struct err err = ERR_INIT;
	sigset_t term;
	int i, rc;

	(void)close(LOGGER_EXE_NUM);
	(void)prctl(PR_SET_NAME, "podshim-log");
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit is a full disk to us */
	for (i = 0; i < 2 && i + 2 < argc; i++) {
		if (strcmp(argv[i + 2], "-") == 0)
			continue;
		outs[i].path = argv[i + 2];
		rc = log_file_open(outs[i].path, make, &outs[i].fd, &err);
		if (rc < 0) {
			(void)!write(LOGGER_READY_NUM, err.text, strlen(err.text));
			return 1;
		}
	}
	(void)!write(LOGGER_READY_NUM, "", 1);
	(void)fd_set_nonblock(LOGGER_READY_NUM, true);
	log_file_run(outs);
	for (i = 0; i < 2; i++) {
		if (outs[i].lost > 0)
			log_file_say("'%s': %" PRIu64 " bytes were lost", outs[i].path,
			    outs[i].lost);
	}
	return 0;
}

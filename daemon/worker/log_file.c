/*
 * The log program for file: URIs. A process of its own, so that a hung disk
 * hangs nobody else, and that a worker's death leaves no gap. Bytes that the
 * disk refuses are dropped: blocking the container would be worse.
 *
 * It ends at the end of its input; on SIGTERM it takes what lies in the pipes, and
 * ends. It logs nothing: its descriptors are null but for its input.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "worker/logger.h"

#define LOG_FILE_READY LOGGER_READY_NUM

static volatile sig_atomic_t log_file_term;

static void
log_file_on_term(int signo)
{
	(void)signo;
	log_file_term = 1;
}

static int
log_file_open(const char *path, bool make, int *out_fd, struct err *err)
{
	AUTO_FREE char *parent = mem_strdup(path);
	char *slash = strrchr(parent, '/');
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
	int rc;

	if (make && slash != NULL && slash != parent) {
		*slash = '\0';
		rc = dir_make(parent, 0755, err);
		if (rc < 0)
			return rc;
	}
	*out_fd = open(path, make ? flags | O_CREAT : flags, 0644);
	return *out_fd == -1 ? err_set(err, errno, "open '%s'", path) : 0;
}

static void
log_file_write(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* a full disk: this piece is lost */
		buf += n;
		len -= (size_t)n;
	}
}

/* Until both inputs have ended. */
static void
log_file_run(const int outs[2])
{
	static char buf[64 * 1024];
	const struct timespec now = {0};
	struct pollfd pfd[2] = {
	    {.fd = outs[0] == -1 ? -1 : 3, .events = POLLIN},
	    {.fd = outs[1] == -1 ? -1 : 4, .events = POLLIN},
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
				log_file_write(outs[i], buf, (size_t)n);
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
	int outs[2] = {-1, -1}, i, rc;
	struct err err = ERR_INIT;
	sigset_t term;

	(void)close(LOGGER_EXE_NUM);
	(void)prctl(PR_SET_NAME, "podshim-log");
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	for (i = 0; i < 2 && i + 2 < argc; i++) {
		if (strcmp(argv[i + 2], "-") == 0)
			continue;
		rc = log_file_open(argv[i + 2], make, &outs[i], &err);
		if (rc < 0) {
			(void)!write(LOG_FILE_READY, err.text, strlen(err.text));
			return 1;
		}
	}
	(void)!write(LOG_FILE_READY, "", 1);
	(void)close(LOG_FILE_READY);
	log_file_run(outs);
	return 0;
}

/*
 * The program inside the containers of the crash tests (program.h). It runs
 * as the fake runtime's child, and as /prog under a real runtime, where it is
 * process 1 and has nothing but itself: no libraries, no files.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

static void
write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			_exit(91);
		p += n;
		len -= (size_t)n;
	}
}

static void
write_stream(int fd, uint64_t len, uint32_t seed)
{
	uint8_t buf[8192];
	uint64_t at = 0;

	while (at < len) {
		/* pieces of any size, some tiny */
		size_t n = 1 + (size_t)stream_byte(seed + 1, at) * 37 % sizeof buf;

		if (n > len - at)
			n = (size_t)(len - at);
		stream_fill(seed, at, buf, n);
		write_all(fd, buf, n);
		at += n;
	}
}

static void
copy(uint64_t limit)
{
	char buf[4096];
	ssize_t n;

	while (limit > 0) {
		n = read(0, buf, limit < sizeof buf ? (size_t)limit : sizeof buf);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		write_all(1, buf, (size_t)n);
		limit -= (uint64_t)n;
	}
}

static void
make_raw(void)
{
	struct termios t;

	if (tcgetattr(0, &t) == -1)
		_exit(92);
	cfmakeraw(&t);
	if (tcsetattr(0, TCSANOW, &t) == -1)
		_exit(93);
}

static void
count_signals(void)
{
	sigset_t set;

	(void)sigfillset(&set);
	write_all(1, "!", 1);
	for (;;) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig == SIGUSR1)
			write_all(1, "U", 1);
		else if (sig == SIGRTMIN + 1)
			write_all(1, "R", 1);
		else if (sig == SIGTERM)
			_exit(3);
	}
}

/* It says that it waits; and goes on when it is told to. */
static void
wait_for_usr1(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	write_all(1, "!", 1);
	while (sigwaitinfo(&set, NULL) == -1)
		;
}

static void
leave_child(void)
{
	if (fork() != 0)
		return;
	(void)close(0);
	(void)close(1);
	(void)close(2);
	for (;;)
		(void)pause();
}

static void
lose_child_for_memory(void)
{
	enum { MIB = 1 << 20, MOST = 1024 };
	int i, fd, wstatus;
	pid_t pid = fork();

	if (pid == 0) {
		fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		if (fd != -1)
			write_all(fd, "1000", 4); /* it, and not its parent */
		for (i = 0; i < MOST; i++) {
			char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

			if (p == MAP_FAILED)
				break;
		}
		_exit(1);
	}
	if (waitpid(pid, &wstatus, 0) != pid || !WIFSIGNALED(wstatus))
		_exit(97);
}

static void
run_step(const char *step)
{
	uint64_t a = 0, b = 0;
	char *end = NULL;

	while (*step == ' ')
		step++;
	if (strchr(step, ' ') != NULL) {
		a = strtoull(strchr(step, ' '), &end, 10);
		b = strtoull(end, NULL, 10);
	}
	if (strncmp(step, "out ", 4) == 0) {
		write_stream(1, a, (uint32_t)b);
	} else if (strncmp(step, "err ", 4) == 0) {
		write_stream(2, a, (uint32_t)b);
	} else if (strcmp(step, "mark") == 0) {
		write_all(1, "!", 1);
	} else if (strcmp(step, "raw") == 0) {
		make_raw();
	} else if (strcmp(step, "cat") == 0) {
		copy(UINT64_MAX);
	} else if (strncmp(step, "catn ", 5) == 0) {
		copy(a);
	} else if (strncmp(step, "ms ", 3) == 0) {
		struct timespec ts = {(time_t)(a / 1000), (long)(a % 1000) * 1000000};

		while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
			;
	} else if (strcmp(step, "sig") == 0) {
		count_signals();
	} else if (strcmp(step, "usr1") == 0) {
		wait_for_usr1();
	} else if (strcmp(step, "fork") == 0) {
		leave_child();
	} else if (strcmp(step, "eat") == 0) {
		lose_child_for_memory();
	} else if (strcmp(step, "hang") == 0) {
		for (;;)
			(void)pause();
	} else if (strncmp(step, "exit ", 5) == 0) {
		_exit((int)a);
	} else if (step[0] != '#' && step[0] != '@' && step[0] != '!' &&
	    step[0] != '\0') {
		_exit(94);
	}
}

void
program_run(const char *prog)
{
	char *text = strdup(prog), *save = NULL, *step;
	sigset_t set;
	int sig;

	for (sig = 1; sig < 65; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&set);
	if (strstr(prog, "sig") != NULL || strstr(prog, "usr1") != NULL)
		(void)sigfillset(&set); /* none may arrive before we wait for them */
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	for (step = strtok_r(text, ";", &save); step != NULL;
	     step = strtok_r(NULL, ";", &save))
		run_step(step);
	_exit(0);
}

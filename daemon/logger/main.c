/*
 * podshim-logger(1): a log program for binary: URIs, for this shim and others
 * (containerd's runtime/v2 logging). Output comes on descriptors 3 and 4; that we are
 * ready is said on 5.
 *
 * One loop, no allocation per line, and nothing between the container and the disk
 * but write(2): the kernel decides when it is written, so there is no fsync here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "logger/conf.h"
#include "logger/lines.h"
#include "logger/out.h"
#include "logger/watch.h"

#define FD_STDOUT 3
#define FD_STDERR 4
#define FD_READY  5

/* How long the beginning of a line waits for its end. */
#define PARTIAL_US	  US_PER_S
/* After SIGTERM: as long as bytes keep coming, but not longer than the second. */
#define TERM_QUIET_US	  (200 * US_PER_MS)
#define TERM_LIMIT_US	  (5 * US_PER_S)
#define SYSLOG_PATIENCE_S 5

#define USAGE                                                                            \
	"podshim-logger is a log program for containers' output; a shim starts it:\n"    \
	"\n"                                                                             \
	"  ctr run --log-uri 'binary:///usr/local/bin/podshim-logger"                    \
	"?path=/var/log/c/{id}.log' ...\n"                                               \
	"\n"                                                                             \
	"Keys: path, format (cri, plain, journald, none), max-size, max-files, mode,\n"  \
	"id, tag, attach, journal. See podshim-logger(1).\n"

struct input {
	bool over;
	boot_us_t since; /* when the unfinished line began; 0: there is none */
	struct lines lines;
};

/* zero until used: what a quiet container never touches costs no memory */
static struct input inputs[2];
static struct out out;
static struct watch watch;

static sigset_t signals;
static volatile sig_atomic_t got_term, got_hup;
static boot_us_t term_until;

static void
on_signal(int signo)
{
	if (signo == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

/*
 * They are blocked but for while nothing is to be done. A writer that never lets that
 * come does not hold them up.
 */
static void
take_signals(void)
{
	static const struct timespec at_once;
	int signo;

	while ((signo = sigtimedwait(&signals, NULL, &at_once)) > 0)
		on_signal(signo);
}

static int
patience_ms(void)
{
	boot_us_t now = clock_boot_us();

	if (!got_term)
		return -1;
	if (term_until == 0)
		term_until = now + TERM_LIMIT_US;
	return now < term_until ? (int)((term_until - now) / US_PER_MS) + 1 : 0;
}

/* --- bytes ------------------------------------------------------------------------ */

static void
input_lines(struct input *in, bool early)
{
	struct line line;
	bool any = false;

	while (lines_next(&in->lines, early, &line)) {
		out_line(&out, in == &inputs[1], &line);
		any = true;
	}
	if (!lines_pending(&in->lines))
		in->since = 0;
	else if (any || in->since == 0)
		in->since = clock_boot_us();
}

static void
input_read(struct input *in)
{
	size_t room;
	char *at = lines_room(&in->lines, &room);
	ssize_t n = read(in == &inputs[1] ? FD_STDERR : FD_STDOUT, at, room);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	out_stamp(&out, clock_real_ns());
	in->over = n <= 0;
	if (n > 0)
		lines_added(&in->lines, (size_t)n);
	input_lines(in, in->over);
	out_flush(&out);
	if (n > 0)
		watch_send(&watch, in == &inputs[1], at, (size_t)n);
}

/* Give out what has waited long enough; returns when the next one has, or 0. */
static boot_us_t
inputs_partial(boot_us_t now)
{
	boot_us_t next = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(inputs); i++) {
		struct input *in = &inputs[i];

		if (in->since != 0 && now >= in->since + PARTIAL_US) {
			out_stamp(&out, clock_real_ns());
			input_lines(in, true);
			out_flush(&out);
		}
		if (in->since != 0 && (next == 0 || in->since + PARTIAL_US < next))
			next = in->since + PARTIAL_US;
	}
	return next;
}

/* Until both have ended, or enough has been done after SIGTERM. */
static void
run(void)
{
	struct pollfd pfd[2 + 1 + WATCHERS_MAX];
	boot_us_t quiet = 0; /* after SIGTERM: when no bytes have come for long enough */
	sigset_t none;
	size_t n, i;

	(void)sigemptyset(&none);
	while (!inputs[0].over || !inputs[1].over) {
		boot_us_t now = clock_boot_us(), wake = inputs_partial(now), left;
		struct timespec ts;
		int rc;

		if (got_hup) {
			got_hup = 0;
			out_reopen(&out);
		}
		if (patience_ms() == 0)
			return;
		if (got_term && quiet == 0)
			quiet = now + TERM_QUIET_US;
		if (quiet != 0 && (wake == 0 || wake > quiet))
			wake = quiet;
		left = wake > now ? wake - now : 0;
		ts.tv_sec = (time_t)(left / US_PER_S);
		ts.tv_nsec = (long)(left % US_PER_S * 1000);
		for (i = 0; i < 2; i++)
			pfd[i] = (struct pollfd){
			    .fd = inputs[i].over ? -1 : FD_STDOUT + (int)i,
			    .events = POLLIN};
		n = watch_poll(&watch, pfd + 2);
		/* signals come here, and while somebody is waited for */
		rc = ppoll(pfd, 2 + n, wake != 0 ? &ts : NULL, &none);
		/* it may have been the time of a line's beginning only */
		if (rc == 0 && quiet != 0 && clock_boot_us() >= quiet)
			return;
		if (rc <= 0)
			continue;
		take_signals();
		watch_on_poll(&watch, pfd + 2, n);
		for (i = 0; i < 2; i++) {
			if (pfd[i].fd == -1 || pfd[i].revents == 0)
				continue;
			input_read(&inputs[i]);
			quiet = 0;
		}
	}
}

/* --- coming and going -------------------------------------------------------------- */

/* Standard error is /dev/null under a shim, so whoever keeps the host's log hears it too. */
static int
fail(const struct err *err)
{
	(void)fprintf(stderr, "podshim-logger: %s\n", err->text);
	openlog("podshim-logger", LOG_PID, LOG_DAEMON);
	(void)alarm(SYSLOG_PATIENCE_S); /* it waits for a journald that is stuck */
	syslog(LOG_ERR, "%s", err->text);
	(void)alarm(0);
	return 1;
}

static void
set_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit is a full disk to us */
}

static int
check_fds(struct err *err)
{
	int fd;

	for (fd = FD_STDOUT; fd <= FD_READY; fd++) {
		if (fcntl(fd, F_GETFD) == -1)
			return err_setx(err, EBADF,
			    "descriptor %d is missing: a shim has to start this program, "
			    "see --help",
			    fd);
	}
	return 0;
}

static void
say_ready(void)
{
	/* binary: takes the end for it, binary-v2: wants the byte */
	(void)!write(FD_READY, "", 1);
	(void)close(FD_READY);
}

/* Is what stands in words right, and can the log be opened? For those who ask before. */
static int
check(char **words)
{
	struct logger_conf conf = {0};
	struct err err = ERR_INIT;
	int rc = logger_conf_parse(
	    words, getenv("CONTAINER_ID"), getenv("CONTAINER_NAMESPACE"), &conf, &err);

	if (rc == 0)
		rc = out_open(&out, &conf, &err);
	if (rc < 0)
		(void)fprintf(stderr, "podshim-logger: %s\n", err.text);
	return rc < 0;
}

int
main(int argc, char **argv)
{
	struct logger_conf conf = {0};
	struct err err = ERR_INIT;
	int rc;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(USAGE, stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("podshim-logger %s\n", PACKAGE_VERSION);
		return 0;
	}
	mem_stay_small();
	(void)umask(0); /* modes are as they were asked for */
	if (argc > 1 && strcmp(argv[1], "--check") == 0)
		return check(argv + 2);
	set_signals();
	rc = check_fds(&err);
	if (rc == 0)
		rc = logger_conf_parse(argv + 1, getenv("CONTAINER_ID"),
		    getenv("CONTAINER_NAMESPACE"), &conf, &err);
	if (rc == 0)
		rc = out_open(&out, &conf, &err);
	if (rc == 0)
		rc = watch_open(&watch, conf.attach, patience_ms, &err);
	if (rc < 0)
		return fail(&err);
	say_ready();
	(void)chdir("/");
	run();
	out_stamp(&out, clock_real_ns());
	input_lines(&inputs[0], true);
	input_lines(&inputs[1], true);
	rc = out_close(&out, &err);
	watch_close(&watch);
	if (rc < 0) {
		(void)err_wrap(&err, rc, "container '%s'", conf.id);
		(void)fail(&err);
	}
	return 0;
}

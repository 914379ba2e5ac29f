/*
 * podshim-keeper: the process that must not die. The launcher starts it with
 * the pod's two listening sockets and waits for one byte; from then on it is
 * the shim that containerd knows (recovery.md is its book).
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "keeper/end.h"
#include "keeper/life.h"
#include "keeper/pod.h"

#define FD_LISTEN 3
#define FD_ADMIN  4
#define FD_OK	  5
#define OK_BYTE	  "K"

#define USAGE                                                                            \
	"usage: podshim-keeper -namespace NS -id GROUP -address SOCKET "                 \
	"-publish-binary EXE\n"                                                          \
	"           -socket PATH -dir DIR -lock PATH -log FIFO [-debug] "                \
	"[-pin ID]\n"                                                                    \
	"It is started by containerd-shim-podshim-v1, not by people.\n"

enum opt {
	OPT_NS = 1,
	OPT_ID,
	OPT_ADDRESS,
	OPT_PUBLISH,
	OPT_SOCKET,
	OPT_DIR,
	OPT_LOCK,
	OPT_LOG,
	OPT_DEBUG,
	OPT_PIN,
	OPT_VERSION
};

/* 0 to go on; else 1 + the status to exit with. */
static int
parse_args(int argc, char **argv, struct pod_args *a)
{
	static const struct option options[] = {
	    {"namespace", required_argument, NULL, OPT_NS},
	    {"id", required_argument, NULL, OPT_ID},
	    {"address", required_argument, NULL, OPT_ADDRESS},
	    {"publish-binary", required_argument, NULL, OPT_PUBLISH},
	    {"socket", required_argument, NULL, OPT_SOCKET},
	    {"dir", required_argument, NULL, OPT_DIR},
	    {"lock", required_argument, NULL, OPT_LOCK},
	    {"log", required_argument, NULL, OPT_LOG},
	    {"debug", no_argument, NULL, OPT_DEBUG},
	    {"pin", required_argument, NULL, OPT_PIN},
	    {"v", no_argument, NULL, OPT_VERSION},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {NULL, 0, NULL, 0},
	};
	const char **target[] = {
	    [OPT_NS] = &a->ns,
	    [OPT_ID] = &a->id,
	    [OPT_ADDRESS] = &a->address,
	    [OPT_PUBLISH] = &a->publish_binary,
	    [OPT_SOCKET] = &a->socket_path,
	    [OPT_DIR] = &a->dir,
	    [OPT_LOCK] = &a->lock_path,
	    [OPT_LOG] = &a->log_path,
	};
	int c, i;

	while ((c = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
		if (c == OPT_VERSION) {
			(void)printf("podshim-keeper %s\n", PACKAGE_VERSION);
			return 1;
		}
		if (c == OPT_DEBUG)
			a->debug = true;
		else if (c == OPT_PIN)
			a->pin = optarg;
		else if (c >= OPT_NS && c <= OPT_LOG)
			*target[c] = optarg;
		else
			break;
	}
	for (i = OPT_NS; i <= OPT_LOG && c == -1; i++)
		if (*target[i] == NULL)
			c = '?';
	if (c == -1 && optind == argc)
		return 0;
	(void)fputs(USAGE, stderr);
	return 1 + 2;
}

/* What a long life among containers asks for. */
static void
set_process(struct rlimit *old_nofile)
{
	struct rlimit raised;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	mem_stay_small();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a memfd too long is an error, not the end */
	/* messages for a service manager are not from us, nor from our children */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	(void)unsetenv("WATCHDOG_PID");
	(void)unsetenv("WATCHDOG_USEC");
	(void)getrlimit(RLIMIT_NOFILE, old_nofile);
	raised = *old_nofile;
	raised.rlim_cur = raised.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &raised);
}

static int
set_fds(struct err *err)
{
	int fd;

	for (fd = FD_LISTEN; fd <= FD_OK; fd++)
		if (fd_set_cloexec(fd, true) < 0)
			return err_setx(err, EBADF,
			    "descriptor %d is missing; this is for the launcher to start",
			    fd);
	if (fd_set_nonblock(FD_LISTEN, true) < 0 || fd_set_nonblock(FD_ADMIN, true) < 0)
		return err_set(err, errno, "listening sockets");
	return 0;
}

int
main(int argc, char **argv)
{
	struct pod_args args = {.listen_fd = FD_LISTEN, .admin_fd = FD_ADMIN};
	int rc = parse_args(argc, argv, &args), ok_fd = FD_OK;
	struct err err = ERR_INIT;
	struct rlimit old_nofile;
	struct loop *loop;
	struct pod pod;

	if (rc != 0)
		return rc - 1;
	log_init("keeper", args.id, args.log_path);
	log_set_debug(args.debug);
	set_process(&old_nofile);
	loop = loop_new();
	rc = set_fds(&err);
	if (rc == 0 && loop == NULL)
		rc = err_set(&err, ENOMEM, "event loop");
	if (rc == 0)
		rc = pod_init(&pod, loop, &args, &old_nofile, &err);
	if (rc < 0) {
		log_errx("cannot start: %s", err.text);
		(void)fprintf(stderr, "podshim-keeper: %s\n", err.text);
		loop_free(loop);
		return 1;
	}
	if (args.pin != NULL)
		(void)end_pin(pod.end, args.pin);
	/* we queue what comes: nobody need wait for the worker's fork */
	(void)fd_write_all(ok_fd, OK_BYTE, 1);
	fd_close(&ok_fd);
	life_begin(pod.life);
	log_info("keeper %s is up", PACKAGE_VERSION);
	loop_run(loop, NULL, NULL);
	pod_fini(&pod);
	loop_free(loop);
	return 0;
}

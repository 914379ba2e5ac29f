/*
 * containerd-shim-podshim-v1: what containerd runs. It stays for milliseconds;
 * the pod's processes are podshim-keeper and podshim-worker.
 *
 * stdout carries the answer and nothing else. containerd reads stderr together
 * with it, so there is nothing on stderr unless we fail; then it is one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "launcher/args.h"
#include "launcher/delete.h"
#include "launcher/info.h"
#include "launcher/start.h"

#define PROGRAM "containerd-shim-podshim-v1"

/* A daemon that gave us no fd 0, 1 or 2 shall not have a socket end up there. */
static int
open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd == -1)
			return -errno;
	} while (fd <= STDERR_FILENO);
	fd_close(&fd);
	return 0;
}

static int
print_version(void)
{
	return printf("%s:\n  Version:  %s\n", PROGRAM, PACKAGE_VERSION) < 0 ||
	    fflush(stdout) != 0;
}

static int
dispatch(const struct args *args, struct err *err)
{
	int rc;

	if (args->info)
		return info_run(err);
	rc = args_check_names(args, err);
	if (rc < 0)
		return rc;
	switch (args->action) {
	case ACTION_START: return start_run(args, err);
	case ACTION_DELETE: return delete_run(args, err);
	case ACTION_NONE: break;
	}
	return err_setx(err, EINVAL, "no action given: 'start' or 'delete'");
}

int
main(int argc, char *argv[])
{
	struct err err = ERR_INIT;
	struct args args;
	char *p;
	int rc;

	if (open_standard_fds() < 0)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	rc = args_parse(argc, argv, &args, &err);
	if (rc == 0 && args.version)
		return print_version();
	if (rc == 0)
		rc = dispatch(&args, &err);
	if (rc == 0)
		return 0;
	for (p = err.text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	(void)fprintf(stderr, "%s: %s\n", PROGRAM, err.text);
	return 1;
}

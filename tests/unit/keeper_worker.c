/*
 * A worker without a mind, for the keeper's tests: it hands its channel to the
 * test, which speaks in its place, and then dies the way it is told to.
 */
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Uninterruptibly, as the parent of a child that never comes to exec. */
static void
sleep_in_kernel(void)
{
	if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *path = getenv("KEEPER_TEST_CONTROL"),
		   *verdict = getenv("KEEPER_TEST_CHECK");
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.buf = {0}};
	int channel = 3, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid = getpid();
	struct iovec iov = {&pid, sizeof pid};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof control.buf};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	char command[2];

	if (argc > 1 && strcmp(argv[1], "--check") == 0)
		return verdict != NULL ? (int)strtol(verdict, NULL, 10) : 0;
	(void)prctl(PR_SET_NAME, "keeper_worker");
	(void)signal(SIGSEGV, SIG_DFL); /* a sanitizer may have taken it */
	(void)signal(SIGABRT, SIG_DFL);
	if (path == NULL || strlen(path) >= sizeof sa.sun_path || fd == -1)
		return 99;
	strncpy(sa.sun_path, path, sizeof sa.sun_path - 1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1)
		return 98;
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &channel, sizeof channel);
	if (sendmsg(fd, &mh, 0) == -1)
		return 97;
	/* "x<status>": exit; "s": fault; "a": abort; "d": state D; end of file: exit 0 */
	if (recv(fd, command, sizeof command, 0) <= 0)
		return 0;
	if (command[0] == 'd')
		sleep_in_kernel();
	if (command[0] == 's')
		*(volatile int *)(uintptr_t)command[1] = 1; /* a small address */
	if (command[0] == 'a')
		abort();
	return (unsigned char)command[1];
}

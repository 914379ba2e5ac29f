/*
 * What is hard to come by from a shell, and what `podshimctl why` and `doctor` have a
 * word for:
 *
 *	odd hold PID	a debugger that has stopped a process and does nothing more: killed,
 *			it stops on its way out, and stays
 *	odd as PID	a process with that very pid
 *
 * Each stays until it is killed; "ready" says that it is so.
 */
#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int __attribute__((noreturn)) stay(void)
{
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}

static int
failed(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static int
hold(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACEEXIT) == -1 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1)
		return failed("ptrace");
	if (waitpid(pid, NULL, __WALL) == -1)
		return failed("waitpid");
	return stay();
}

static int
live_as(pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD,
	    .set_tid = (uint64_t)(uintptr_t)&pid,
	    .set_tid_size = 1};
	long child = syscall(SYS_clone3, &args, sizeof args);

	if (child == -1)
		return failed("clone3");
	if (child == 0)
		return stay();
	return waitpid((pid_t)child, NULL, 0) == -1 ? failed("waitpid") : 0;
}

int
main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? (pid_t)strtol(argv[2], NULL, 10) : 0;

	if (pid > 0 && strcmp(argv[1], "hold") == 0)
		return hold(pid);
	if (pid > 0 && strcmp(argv[1], "as") == 0)
		return live_as(pid);
	(void)fprintf(stderr, "usage: odd hold|as PID\n");
	return 2;
}

/*
 * A process that the kernel keeps in uninterruptible sleep: the parent of a child
 * that it shares a vfork() with, and that comes neither to exec nor to exit.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

int
main(void)
{
	if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0)
		for (;;)
			(void)pause();
	return 0;
}

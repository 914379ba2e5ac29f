/*
 * Hold every exec of one file, as a virus scanner does: heldexec FILE RELEASE.
 * Prints "ready", then "held" at the first one; all go on once RELEASE exists.
 * 77: not permitted here.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <unistd.h>

#ifndef FAN_OPEN_EXEC_PERM
#define FAN_OPEN_EXEC_PERM 0x00040000
#endif

int
main(int argc, char **argv)
{
	int fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
	struct fanotify_event_metadata ev;
	struct fanotify_response allow = {.response = FAN_ALLOW};

	if (argc != 3)
		return 2;
	if (fan == -1 ||
	    fanotify_mark(fan, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, argv[1]) ==
		-1) {
		perror("heldexec");
		return 77;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)puts("ready");
	for (;;) {
		if (read(fan, &ev, sizeof ev) != (ssize_t)sizeof ev) {
			if (access(argv[2], F_OK) == 0)
				return 0;
			(void)poll(NULL, 0, 5);
			continue;
		}
		(void)puts("held");
		while (access(argv[2], F_OK) != 0)
			(void)poll(NULL, 0, 5);
		allow.fd = ev.fd;
		(void)!write(fan, &allow, sizeof allow);
		(void)close(ev.fd);
	}
}

/*
 * fork and exec. fork, not vfork: vfork would hold the keeper until execve has
 * opened the file, and a file can hang (recovery.md 1.2). Everything that may
 * block or fail happens in the child; its errno comes back over a pipe.
 */
#ifndef PODSHIM_KEEPER_SPAWN_H
#define PODSHIM_KEEPER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct spawn {
	int exe_fd; /* exec this; -1: search argv[0] in PATH */
	char *const *argv;
	char *const *envp;	 /* NULL: ours */
	const char *cwd;	 /* NULL: "/" */
	const int *fds;		 /* become fd_nums[]; 0–2 not named: /dev/null */
	const uint32_t *fd_nums; /* <= 255 */
	size_t n_fds;
	bool nice;		     /* at low priority */
	bool die_with_us;	     /* PR_SET_PDEATHSIG */
	bool own_group;		     /* a process group of its own: spawn_kill() */
	const struct rlimit *nofile; /* NULL: ours */
};

/* What a child that could not exec says. */
struct spawn_failure {
	int error;     /* errno */
	char what[12]; /* "exec", "chdir", … */
};

/*
 * Fork. *fail_fd (non-blocking) then gives one struct spawn_failure, or end of
 * file once the exec has succeeded. Returns the pid, or -errno.
 */
pid_t spawn_fork(const struct spawn *sp, int *fail_fd);
/* SIGKILL to one with a group of its own, and to whom else is in it. */
void spawn_kill(pid_t pid);
/* True and *out, if there is a failure to read now. */
bool spawn_failed(int fail_fd, struct spawn_failure *out);

#endif

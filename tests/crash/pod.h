/*
 * A pod under test: its shim, and what is to be known of it from outside.
 */
#ifndef PODSHIM_CRASH_POD_H
#define PODSHIM_CRASH_POD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "co.h"
#include "tests/lib/pb.h"

struct conn;

struct pod {
	char *group;
	char *addr; /* of its socket */
	char *dir;  /* /run/podshim/... of this run */
	int dirfd;
	char *conf;    /* its podshim.conf */
	char *log;     /* all bundles' log */
	char *rt_root; /* the OCI runtime's, without the namespace */
	pid_t keeper;
	pid_t killed; /* the last worker we killed: it may still be named */
	int keeper_pidfd;
	bool runc;
	bool ending;   /* lives end, none begins */
	bool gone;     /* it was told to end */
	bool thorough; /* nothing is left to chance */
	unsigned kills, kills_wanted;
	unsigned long faults_before;
	unsigned base_fds; /* keeper's, with the anchor alone */
	unsigned next_ctr;
	struct conn *probe;
	struct co_cond changed;
};

/* What a program that was run left. */
struct run {
	int status; /* as of wait */
	char *out;  /* and its length: raw bytes */
	size_t out_len;
	char *err;
};
void run_fini(struct run *r);
/*
 * Run the shim's executable as containerd does, in bundle's directory:
 * action "start" or "delete". Waits in the coroutine.
 */
void shim_run(struct pod *pod, const char *id, const char *bundle, const char *action,
    struct run *out);
/* The same for any program; argv[0] is its path. */
void program_start(
    char *const *argv, char *const *envp, const char *cwd, struct run *out);

struct pod *pod_new(void);
void pod_free(struct pod *pod);
/* After the first start: find directory and keeper. */
bool pod_attach(struct pod *pod);
/* From the keeper's own account; 0 if there is none just now. */
pid_t pod_worker_pid(struct pod *pod);
/* One value of that account, malloc'ed; NULL. */
char *pod_status(struct pod *pod, const char *key);
/* Ask for a restart, or an upgrade to that executable (-1: restart). */
bool pod_restart(struct pod *pod, int exe_fd, const char *what);
/* It happens with this chance, or always in a thorough pod. */
bool pod_chance(const struct pod *pod, unsigned percent);
/* Did only those workers die that we killed? */
void pod_check_deaths(struct pod *pod);
/* Wait until the keeper and everything of it is gone; faults if not. */
void pod_expect_gone(struct pod *pod);
/* Descriptors of a process; 0 if it is gone. */
unsigned fd_count(pid_t pid);
/* Say what they are. */
void fd_list(pid_t pid, const char *who);
/* Children of a process, at most cap. */
unsigned children_of(pid_t pid, pid_t *pids, unsigned cap);

/* The killer's coroutine: pod->kills_wanted kills, then sets pod->ending. */
void pod_killer(void *arg);

int pidfd_open_(pid_t pid);
int pidfd_kill(int pidfd, int sig);

#endif

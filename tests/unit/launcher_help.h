/*
 * For tests of the built launcher: running it in a private state root, and a
 * fake keeper. A test program is its own fake keeper: linked as
 * `podshim-keeper` into a directory that PODSHIM_LIBEXECDIR names. What the
 * keeper does wrong is told by the variables FAKE_KEEPER and FAKE_PURGE.
 */
#ifndef PODSHIM_TESTS_LAUNCHER_HELP_H
#define PODSHIM_TESTS_LAUNCHER_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/clock.h"

/* The test directory, and what is in it. */
extern char top[];
extern char *root; /* PODSHIM_STATE_ROOT */
extern char *libexec;
extern char *bundle;
extern char *socket_dir;
extern char *grpc; /* -address: unique, so that no hash ever collides */

int launcher_setup(void **state);
int launcher_teardown(void **state);

/* Are we run as podshim-keeper? Then this is our main(). */
bool keeper_is_asked(const char *argv0);
int keeper_main(char *argv[]);

struct result {
	int status; /* exit status, or 128 + signal */
	char *out, *err;
	size_t out_len, err_len;
	boot_us_t took_us;
};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

void result_fini(struct result *r);
/* The launcher with these words, in[], in directory cwd; collect() waits for it. */
pid_t launch(
    const char *const *words, const void *in, size_t in_len, const char *cwd, int out[2]);
struct result collect(pid_t pid, int out[2]);
struct result run(
    const char *const *words, const void *in, size_t in_len, const char *cwd);

/* `start` of container id, by containerd 2.3, so that the socket directory is ours. */
pid_t start_launch(const char *id, const char *cwd, int out[2]);
struct result start(const char *id, const char *cwd);
/* The same with runc's option ShimCgroup. */
struct result start_in_cgroup(const char *id, const char *cwd, const char *cgroup);
/* The address in a BootstrapResult on stdout, malloc'ed. */
char *answer_address(const struct result *r);

/* In ticks since boot. */
uint64_t start_time_of(pid_t pid);

size_t count_entries(const char *path);
bool is_there(const char *path);
/* Of the pod of group id: its directory's path with a suffix, malloc'ed. */
char *pod_file(const char *id, const char *suffix);
pid_t keeper_pid(const char *id);
void keeper_stop(const char *id);
/* SIGKILL; it is dead when this returns. */
void keeper_kill(pid_t pid);
/* No keeper, no socket, no directory, no lock. */
void expect_nothing_left(void);
void write_in(const char *dir, const char *name, const char *text);
void remove_in(const char *dir, const char *name);
char *read_in(const char *dir, const char *name);

#endif

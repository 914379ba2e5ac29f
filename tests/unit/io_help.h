/*
 * For the tests of stdio: a fake link whose fd store outlives a worker, byte
 * patterns that show loss and tearing, and a loop with deadlines.
 */
#ifndef PODSHIM_TESTS_IO_HELP_H
#define PODSHIM_TESTS_IO_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct link;
struct loop;
struct io_spec;

/* --- the store --------------------------------------------------------------- */

/* A link to a store in this process; answers come from the loop. */
struct link *fake_new(struct loop *loop);
/* The store stays with it; loop NULL: whoever asks gets its answer later. */
void fake_set_loop(struct link *lk, struct loop *loop);
void fake_free(struct link *lk);
/* How many names begin with prefix. */
size_t fake_count(struct link *lk, const char *prefix);
/*
 * In a forked worker: forget the parent's descriptors, and talk to the store
 * that it serves on the other end of sock.
 */
void fake_become_remote(struct link *lk, struct loop *loop, int sock);
/*
 * In the keeper: serve sock for this long, or until its other end is closed.
 * false once it is closed.
 */
bool fake_serve(struct link *lk, int sock, int timeout_ms);

/* io_steps.c: spawned programs are this process's children. */
void fake_steps_begin(struct loop *loop);
void fake_steps_end(void);
size_t fake_steps_count(void);
/* One that runs; 0 if there is none. */
pid_t fake_steps_pid(void);

/* --- bytes -------------------------------------------------------------------- */

/* The bytes of stream `seed` from offset on. */
void pattern_fill(uint64_t seed, uint64_t offset, void *buf, size_t len);
/* Write bytes [from, to) in random pieces; returns 0 or -errno. */
int pattern_write(int fd, uint64_t seed, uint64_t from, uint64_t to);
/*
 * Read until end of file or `to`; the offset reached, or -1 at the first byte
 * that is not the one it should be (then it says so on stderr).
 */
int64_t pattern_read(int fd, uint64_t seed, uint64_t from, uint64_t to);

/*
 * Child processes. Every descriptor but the given ones (-1: none) is closed in them.
 * proc_write() ends with 0 once all is written, proc_read() once it has read
 * all and then, with until_eof, end of file. path: opened by the child instead; NULL:
 * fd. They die with the test.
 */
struct proc {
	pid_t pid;
};
void proc_write(
    struct proc *p, const char *path, int fd, uint64_t seed, uint64_t from, uint64_t to);
void proc_read(struct proc *p, const char *path, int fd, uint64_t seed, uint64_t from,
    uint64_t to, bool until_eof, unsigned pause_us);
/* Runs run(arg), then ends with 0; keeps these descriptors. */
void proc_run(struct proc *p, const int fds[3], void (*run)(void *arg), void *arg);
bool proc_ended(const struct proc *p);
/* As proc(5) calls it: R, S, T …; 0: there is none of that pid. */
char state_of_pid(pid_t pid);
/* Exit status of one that has ended; -signal if it was killed. */
int proc_status(struct proc *p);
void proc_kill(struct proc *p);

/* --- waiting ------------------------------------------------------------------- */

#define WAIT_S 60

/* Milliseconds, monotonic. */
int64_t now_ms(void);
/* Wait this long; for the moments at which a worker is killed. */
void pause_us(unsigned us);
unsigned random_below(unsigned n);
/* Run the loop until cond(arg); false after WAIT_S seconds. */
bool loop_until(struct loop *loop, bool (*cond)(void *arg), void *arg);
/* Run n short passes: time enough for what should not happen to happen. */
void loop_passes(struct loop *loop, unsigned n);
bool loop_until_proc(struct loop *loop, struct proc *p);

int fd_count(void);

#endif

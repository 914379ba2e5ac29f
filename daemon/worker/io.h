/*
 * A process's stdio: pipes or a terminal on one side, containerd's FIFOs (or
 * a log program) on the other, splice in between (design.md 4, contract.md 8).
 *
 * Every descriptor a splice needs lies in the keeper's fd store under
 * io/<container>/<exec or "-">/<what>, so a worker that dies costs a pause. An
 * io object lives from before the runtime command until Delete.
 */
#ifndef PODSHIM_WORKER_IO_H
#define PODSHIM_WORKER_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct io;
struct link;
struct loop;

struct io_spec {
	const char *container;
	const char *exec_id;	/* "" for init */
	const char *stdin_path; /* "" none; FIFO path, or URI on stdout/stderr */
	const char *stdout_path;
	const char *stderr_path;
	bool terminal;
	bool direct;	   /* stdio.direct: init's stdout and stderr only */
	uint32_t uid, gid; /* owner of the container's ends; 0 leaves them */
	const char *ns;	   /* for log programs: CONTAINER_NAMESPACE */
};

/*
 * Make the io of a new process: open the FIFOs (never blocking), make pipes,
 * put what must survive into the fd store. child_fds[0..2] are the container's
 * ends for the runtime's fds 0–2, owned by the caller, who closes them once the
 * SPAWN is sent; -1: /dev/null. With a terminal all three are -1. On failure
 * nothing is left behind: -ENOENT or whatever open(2) says, -EINVAL for a path
 * or URI of a kind we do not know.
 */
int io_open(struct loop *loop, struct link *lk, const struct io_spec *spec,
    struct io **out, int child_fds[3], struct err *err);

/* May the runtime command be spawned? Else a log program has to say first that it is ready. */
bool io_is_ready(const struct io *io);
/*
 * cb runs once from the loop when that is so, after 30 s at most. error NULL, or
 * why it will not be; then io_free(). Not calling this is allowed: the pipe
 * keeps what the container writes meanwhile.
 */
void io_when_ready(struct io *io, void (*cb)(const char *error, void *arg), void *arg);

/*
 * Has the keeper taken every descriptor that io_open() gave it? It says so where it could
 * not (no descriptor or memory left) before it tells how a runtime command ended that
 * was spawned after io_open(). Such an io would not outlive this worker, and perhaps moves nothing: io_free() it.
 */
bool io_is_kept(const struct io *io);

/*
 * Begin to pump, once the runtime command that made the process has ended. For
 * a terminal: tty_name is the stored pty master's name (tty/<key>), fetched from
 * the keeper; from now on io_free() drops it.
 */
void io_start(struct io *io, const char *tty_name);

/*
 * Take a process's io up again after a worker restart, from the fd store
 * alone; pumping begins as the descriptors arrive. Never fails: what is not in the
 * store is not pumped. tty_name: NULL unless spec->terminal.
 * If the process has exited already, call io_process_exited() as well.
 */
struct io *io_resume(
    struct loop *loop, struct link *lk, const struct io_spec *spec, const char *tty_name);
/*
 * The same for one whose runtime command has not been seen to end: nothing is pumped
 * before io_start(), so what io_open() put into the store and is missing now was
 * never taken, and io_is_kept() says so.
 */
struct io *io_resume_birth(
    struct loop *loop, struct link *lk, const struct io_spec *spec);

/* CloseIO: the container sees end of file once the client's writer is gone too. */
void io_close_stdin(struct io *io);
/* TIOCSWINSZ; 0 also where there is no terminal (contract.md 7.13). */
int io_resize(struct io *io, uint16_t width, uint16_t height, struct err *err);
/*
 * The process has exited: stdin ends, a terminal's output ends with what is in it
 * now. Before that a terminal without users does not end: it may be opened again.
 */
void io_process_exited(struct io *io);
/*
 * Call cb once the clients have read what the process had written by now, or have not
 * read anything for a while (IO_STALL_US), or after limit_us, from the loop; false: there is nothing to
 * wait for, and cb will not run. After io_process_exited(), one at a time; cb
 * may free the io.
 */
#define IO_STALL_US (500 * US_PER_MS)
bool io_await_readers(struct io *io, uint64_t limit_us, void (*cb)(void *arg), void *arg);
/*
 * Call cb once both outputs have reached end of file and all was handed to their
 * sinks, or after timeout_us (0: now), from the loop. Implies
 * io_process_exited(). One at a time; cb may free the io.
 */
void io_drain(struct io *io, uint64_t timeout_us, void (*cb)(void *arg), void *arg);
/*
 * Close everything and drop the names from the fd store; frees it. Until then
 * the client can read what it has not read yet. For a worker that leaves
 * (upgrade): io_abandon() closes our duplicates only. NULL is allowed.
 */
void io_free(struct io *io);
void io_abandon(struct io *io);

/*
 * After a worker restart, when every process has its io again: stop the log
 * programs that belong to none.
 */
void io_sweep(struct loop *loop, struct link *lk);

/* Bytes moved so far, not counting what a log program reads: stdin, stdout, stderr. */
void io_counts(const struct io *io, uint64_t bytes[3]);
/* The same of all that this worker has freed. */
void io_counts_past(uint64_t bytes[3]);

#endif

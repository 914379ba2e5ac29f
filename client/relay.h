/*
 * A terminal, or whatever podshimctl's own stdio is, and a container: its output
 * from the log program's attach socket, its stdin through its FIFO, signals and
 * window sizes through the shim, until it has ended.
 */
#ifndef PODSHIM_CLIENT_RELAY_H
#define PODSHIM_CLIENT_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct rpc;

struct relay_spec {
	struct rpc *rpc;
	const char *id;
	int attach_fd;	  /* of relay_attach(); the relay closes it */
	int stdin_fifo;	  /* write end; -1: nothing is sent there. The relay closes it */
	bool close_stdin; /* at our stdin's end the container's ends, too */
	bool terminal;	  /* the container has one */
	bool watches;	  /* to detach when nobody reads our stdout any more */
};

struct relay_end {
	bool detached; /* else the container has ended: */
	uint32_t status;
	int64_t exited_at; /* nanoseconds since 1970 */
	uint64_t missed;   /* bytes of output that we were too slow for */
};

/* From now on until the process ends, signals wait for relay_run(). */
void relay_hold_signals(void);

/* hello: enum attach_hello. Returns the descriptor, or -errno. */
int relay_attach(const char *socket_path, char hello, struct err *err);
/* The write end of a container's stdin, which somebody reads already, or -errno. */
int relay_open_stdin(const char *path, struct err *err);

/* Tell the container's terminal how large ours is; nothing if we have none. */
void relay_resize(struct rpc *rpc, const char *id);

/*
 * Until the container ends, or the user detaches (ctrl-p ctrl-q). wait: of the
 * Wait under way on that rpc. Standard input is raw meanwhile if both sides
 * have a terminal. Errors: -EINTR, a signal came when the shim had not taken an
 * earlier one for SIGNAL_PATIENCE_US; else the shim's connection is lost.
 */
int relay_run(
    const struct relay_spec *spec, uint32_t wait, struct relay_end *end, struct err *err);

#endif

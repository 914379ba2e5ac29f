/*
 * An exec's standard streams: FIFOs in a directory of their own, and the
 * pumping between them and podshimctl's own, while the shim is asked to start
 * the process, to pass on signals and window sizes, and to say how it ended.
 */
#ifndef PODSHIM_CLIENT_EXEC_IO_H
#define PODSHIM_CLIENT_EXEC_IO_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct rpc;

struct exec_io {
	char *dir;			     /* NULL: no FIFOs */
	char *in_path, *out_path, *err_path; /* NULL: none */
	int in, out, err;		     /* our ends; -1: none, or ended */
	int in_guard; /* a reader of stdin's, until the shim is there */
	bool terminal;
};

#define EXEC_IO_NONE ((struct exec_io){.in = -1, .out = -1, .err = -1, .in_guard = -1})

/*
 * Make the FIFOs in a new directory below the pod's, which goes with the pod even
 * if we are killed. with_stdin: -i. A terminal has no stderr of its own.
 */
int exec_io_open(const char *pod_dir, bool with_stdin, bool terminal, struct exec_io *out,
    struct err *err);
/* The shim has its ends: take away the names. */
void exec_io_unlink(struct exec_io *io);
void exec_io_close(struct exec_io *io);

/*
 * From Start's answer to the process's end; foreground_hold_signals() has been called. *status is its exit status. Errors:
 * the shim is lost (-EPIPE), or says no; -EINTR: signalled when the shim has
 * not taken an earlier signal for a second.
 */
int exec_io_run(struct exec_io *io, struct rpc *rpc, const char *id, const char *exec_id,
    uint32_t *status, struct err *err);

#endif

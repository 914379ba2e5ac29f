/*
 * The terminal of a process that a runtime command makes: the keeper listens
 * for it itself, because a pty master that is lost on its way hangs up, and
 * takes the container with it (recovery.md 1.3).
 */
#ifndef PODSHIM_KEEPER_CONSOLE_H
#define PODSHIM_KEEPER_CONSOLE_H

#include <stdint.h>

struct console;
struct err;
struct fdstore;
struct loop;

/*
 * Listen at tty.<key> in the pod's directory. The master is stored as
 * tty/<key>, non-blocking; cb then runs once. NULL and *err on failure.
 */
struct console *console_new(struct loop *loop, int dir_fd, uint64_t key,
    struct fdstore *fds, void (*cb)(void *arg), void *arg, struct err *err);
/* Closes and removes the socket; the stored master stays. NULL is allowed. */
void console_free(struct console *con);
/* The runtime is gone: take what it left in the socket. 0, or -errno. */
int console_finish(struct console *con, struct err *err);

#define CONSOLE_NAME_MAX 32
void console_file(char out[CONSOLE_NAME_MAX], uint64_t key);  /* tty.<key> */
void console_store(char out[CONSOLE_NAME_MAX], uint64_t key); /* tty/<key> */

#endif

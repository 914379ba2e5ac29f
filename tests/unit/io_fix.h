/*
 * The fixture of the tests of worker/io: a loop, a link, a directory with three
 * FIFOs, one io. Teardown finds any descriptor or stored name that is left.
 */
#ifndef PODSHIM_TESTS_IO_FIX_H
#define PODSHIM_TESTS_IO_FIX_H

/* cmocka.h wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "io_help.h"
#include "worker/io.h"
#include "worker/io_int.h"
#include "worker/link.h"
#include "worker/pump.h"

#define MIB (1024u * 1024u)

extern struct fix {
	struct loop *loop;
	struct link *lk;
	struct io *io;
	struct io_spec spec;
	char dir[32];
	char path[3][64];
	int child[3];
	int fds_before;
	unsigned drained;
} fx;

int fix_setup(void **state);
int fix_teardown(void **state);
#define FIX_TEST(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

/* All three FIFOs in fx.spec. */
void use_all(void);
/* io_open() or fail. */
void open_io(void);
void close_child_ends(void);
/* For io_drain(): counts in fx.drained. */
void on_drained(void *arg);
bool cond_drained(void *arg);
/* Run until this stream has ended. */
bool until_over(enum io_which which);
uint64_t passes_of(enum io_which which);
/* Run until it ends; its status. */
int end_of(struct proc *p);
/* All of a stream has come to rest: struct still, and who fills it sleeps. */
struct still {
	enum io_which which;
	const struct proc *who;
	uint64_t bytes;
	unsigned passes;
};
bool cond_still(void *arg);
/* *(int *)arg is readable or at its end; is at its end. */
bool cond_readable(void *arg);
bool cond_hup(void *arg);
/* A client's end of the stdin FIFO. */
int client_open(void);

#endif

/*
 * What the driver (fault.c) and the keeper under test (inject.c) share: one page
 * of a file, which the keeper maps when it starts (PODSHIM_FAULT_FILE). The
 * driver arms it; the calls of one kind are counted, and those from number `at`
 * on fail, `burst` of them.
 */
#ifndef PODSHIM_TESTS_INJECT_H
#define PODSHIM_TESTS_INJECT_H

#include <stdatomic.h>
#include <stdint.h>

enum inject_kind {
	INJECT_OFF,
	INJECT_MEM,   /* malloc, calloc, realloc: NULL */
	INJECT_FD,    /* all that makes a descriptor: EMFILE */
	INJECT_RECV,  /* recvmsg: the message comes without its descriptors */
	INJECT_FORK,  /* EAGAIN */
	INJECT_EXEC,  /* ENOENT, in the child */
	INJECT_EPOLL, /* epoll_ctl that adds or changes: ENOMEM */
	INJECT_SEND,  /* sendmsg: EAGAIN */
	INJECT_SPACE, /* mmap, fallocate, ftruncate, write to what is no pipe: ENOSPC */
	INJECT_KINDS
};

struct inject {
	_Atomic uint32_t kind;
	_Atomic uint32_t at;	/* the first call that fails; from 1 */
	_Atomic uint32_t burst; /* how many fail from there on */
	_Atomic uint32_t calls;
	_Atomic uint32_t hits;
	_Atomic uint64_t where; /* the last hit's caller, less the load address */
};

#define INJECT_ENV "PODSHIM_FAULT_FILE"

#endif

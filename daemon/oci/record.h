/*
 * Whose is it? Names of containers and numbers of processes come again; what a runtime
 * has written down, and when a process began, tell one from the other.
 */
#ifndef PODSHIM_OCI_RECORD_H
#define PODSHIM_OCI_RECORD_H

#include <stdint.h>
#include <sys/types.h>

enum record_owner {
	RECORD_NONE,	 /* there is none, or it does not say */
	RECORD_OURS,	 /* it names our bundle */
	RECORD_ANOTHERS, /* it names another one */
};

/*
 * The record that runc or crun keeps in dir, <--root>/<container id>. bundle: ours, an
 * absolute path; NULL if it is not known, and then no record is ours. Reads only that
 * file; paths that differ only by symbolic links are the same.
 */
enum record_owner record_owner(const char *dir, const char *bundle);

/*
 * When a process began, in clock ticks since boot (proc(5), field 22 of stat): with
 * its number, this names it. 0 if there is none, or it is dead.
 */
uint64_t record_start_ticks(pid_t pid);

#endif

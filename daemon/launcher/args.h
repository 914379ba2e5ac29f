/*
 * The command line that containerd gives a shim (contract.md 1.2), in the
 * syntax of Go's flag package: one dash or two, "-f v" or "-f=v", switches
 * without a value, the action last.
 */
#ifndef PODSHIM_LAUNCHER_ARGS_H
#define PODSHIM_LAUNCHER_ARGS_H

#include <stdbool.h>

struct err;

enum action { ACTION_NONE, ACTION_START, ACTION_DELETE };

/* Strings are borrowed from argv; "" where nothing was given. */
struct args {
	const char *ns;
	const char *id;
	const char *address; /* containerd's gRPC socket */
	const char *publish_binary;
	const char *bundle;
	bool debug;
	bool version;
	bool info;
	bool whole; /* delete: fail if something is left */
	enum action action;
};

/*
 * Only reads: which of them an action needs is its own matter. Returns 0 or
 * -EINVAL with the one line to print.
 */
int args_parse(int argc, char *argv[], struct args *out, struct err *err);
/* -namespace and -id are given and are identifiers. */
int args_check_names(const struct args *args, struct err *err);

#endif

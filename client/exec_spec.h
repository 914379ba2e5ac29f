/*
 * The OCI process of an exec: the container's own (its environment, user,
 * capabilities, limits) with what the command line says on top.
 */
#ifndef PODSHIM_CLIENT_EXEC_SPEC_H
#define PODSHIM_CLIENT_EXEC_SPEC_H

#include <stdbool.h>

struct err;

struct exec_spec {
	char *const *args; /* NULL-terminated, at least one */
	char *const *env;  /* K=V, NULL-terminated; may be NULL */
	const char *cwd;   /* NULL: the container's */
	const char *user;  /* UID[:GID]; NULL: the container's */
	bool terminal;
};

/*
 * The JSON text, malloc'ed. bundle: the container's. Without its config.json (it
 * is gone) the process gets root without capabilities and a plain PATH, and
 * *plain becomes true.
 */
int exec_spec_make(const char *bundle, const struct exec_spec *spec, char **out,
    bool *plain, struct err *err);

#endif

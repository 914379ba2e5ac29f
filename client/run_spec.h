/*
 * config.json for `podshimctl run`: a default one for a root file system, or a
 * bundle's own with what the command line says on top.
 */
#ifndef PODSHIM_CLIENT_RUN_SPEC_H
#define PODSHIM_CLIENT_RUN_SPEC_H

#include <stdbool.h>

struct err;

struct run_spec {
	const char *ns, *id, *pod;
	const char *rootfs; /* one of these two */
	const char *bundle;
	char *const *args; /* NULL-terminated; empty: as the bundle says */
	bool terminal;
	const char *cwd;  /* NULL: as the bundle says, or "/" */
	char *const *env; /* K=V, NULL-terminated */
	bool host_net;
	bool read_only;
};

/*
 * The text of config.json, malloc'ed. Relative paths in the bundle's (root, bind
 * mounts) become absolute: our bundle is another directory.
 */
int run_spec_make(const struct run_spec *spec, char **out, struct err *err);

#endif

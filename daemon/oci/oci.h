/*
 * What podshim needs to know of an OCI bundle's config.json (jansson inside).
 */
#ifndef PODSHIM_OCI_OCI_H
#define PODSHIM_OCI_OCI_H

#include <stdbool.h>
#include <stddef.h>

struct err;

struct oci_spec {
	char *cgroups_path; /* linux.cgroupsPath; NULL if absent */
	char *root_path;    /* root.path */
	bool own_pidns;	    /* a pid namespace without a path: contract.md 6.3.6 */
	bool terminal;	    /* process.terminal */
	bool has_userns;
	unsigned host_uid; /* host ids of process.user: for stdio in a user namespace */
	unsigned host_gid;
};

int oci_spec_load(const char *bundle, struct oci_spec *out, struct err *err);
void oci_spec_fini(struct oci_spec *spec);

/*
 * An exec's process.json: the JSON of the request's Any with `terminal` forced.
 * *out is malloc'ed. -EINVAL with what is wrong. command, if not NULL: what is
 * run, for people, quoted where a shell would need it; malloc'ed, the beginning
 * of it if it is long.
 */
int oci_exec_process(const void *json, size_t len, bool terminal, char **out,
    size_t *out_len, char **command, struct err *err);
#define OCI_COMMAND_MAX 256 /* bytes of such a command that are of interest */

#endif

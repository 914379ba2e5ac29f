/*
 * Create's options Any: containerd.runc.v1.Options, runtimeoptions.v1.Options,
 * or none (contract.md 5.3, 7.2, 11.2).
 */
#ifndef PODSHIM_OCI_OPTIONS_H
#define PODSHIM_OCI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct options {
	char *binary_name; /* never NULL: "runc" if not given */
	char *root;	   /* parent of the runtime's root; NULL: default */
	bool systemd_cgroup;
	bool no_pivot_root;
	bool no_new_keyring;
	char *shim_cgroup;
	uint32_t io_uid, io_gid;
	char *criu_image_path;
	char *criu_work_path;
};

/*
 * type_url and value of the Any (NULL/0: defaults). -EINVAL for a type we do
 * not know or bytes that do not decode; never anything else (contract.md 4.7).
 */
int options_decode(const char *type_url, const void *value, size_t len,
    struct options *out, struct err *err);
/* As the row keeps them and as options.json holds them (snake_case, empty ones
 * omitted). malloc'ed. */
char *options_to_json(const struct options *opts);
int options_from_json(const char *json, struct options *out, struct err *err);
void options_fini(struct options *opts);

#endif

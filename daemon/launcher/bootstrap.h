/*
 * What containerd says to `start` on stdin, and how it wants to be answered
 * (contract.md 1.4 to 1.6).
 */
#ifndef PODSHIM_LAUNCHER_BOOTSTRAP_H
#define PODSHIM_LAUNCHER_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define BOOTSTRAP_STDIN_MAX (10u * 1024 * 1024)

enum dialect {
	DIALECT_PLAIN,	/* containerd 1.6: the bare address */
	DIALECT_JSON,	/* 1.7 to 2.2 */
	DIALECT_PARAMS, /* 2.3 on: BootstrapParams in, BootstrapResult out */
};

/* Strings are malloc'ed, NULL where nothing was said. */
struct bootstrap {
	enum dialect dialect;
	bool debug;
	char *ttrpc_address;
	char *grpc_address;
	char *binary; /* containerd's executable */
	char *socket_dir;
	char *shim_cgroup; /* from the options: where the keeper goes */
};

/*
 * id, ns: of the command line; the parameters must name the same. legacy_json:
 * the dialect if these are no BootstrapParams (MAX_SHIM_VERSION is set).
 * -EINVAL if the bytes are neither parameters, nor options, nor nothing.
 */
int bootstrap_parse(const void *in, size_t len, const char *id, const char *ns,
    bool legacy_json, struct bootstrap *out, struct err *err);
void bootstrap_fini(struct bootstrap *boot);

/* The bytes for stdout; *out is malloc'ed. address with its scheme. */
void bootstrap_answer(enum dialect dialect, const char *address, void **out, size_t *len);

#endif

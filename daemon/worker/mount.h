/*
 * The rootfs mounts of Create (contract.md 7.2). They may hang (NFS, FUSE, a
 * dead lower directory), so they run in a helper that the keeper spawns:
 * `podshim-worker --mount`, told on fd 3 what to do. Doing it twice is the same
 * as once: what is mounted below rootfs is unmounted first.
 */
#ifndef PODSHIM_WORKER_MOUNT_H
#define PODSHIM_WORKER_MOUNT_H

#include <stddef.h>

struct err;

/* One mount as containerd sends it. */
struct mount_spec {
	const char *type;
	const char *source;
	const char *target;      /* below rootfs; "" usually */
	const char *const *options;
	size_t n_options;
};

/*
 * A sealed memfd with the helper's orders: mount these onto <bundle>/rootfs
 * (made, 0711, if missing), or with n 0 unmount everything at and below it.
 * Returns the descriptor or -errno.
 */
int mount_orders(const char *bundle, const struct mount_spec *mounts, size_t n);
/*
 * The helper's main(): reads the orders from fd 3, does them, prints one line
 * on stderr and returns 1 on failure with nothing left mounted.
 */
int mount_main(void);

/* Parse a mount's options into flags and data, for tests and the helper. */
struct mount_flags {
	unsigned long flags;
	char data[4096];
};
int mount_parse_options(const struct mount_spec *m, struct mount_flags *out, struct err *err);
/* Unmount everything at and below path, deepest first. Blocks; for the launcher's
 * own use and the helper's. */
int mount_undo(const char *path, struct err *err);

#endif

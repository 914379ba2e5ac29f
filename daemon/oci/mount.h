/*
 * The rootfs mounts of Create (contract.md 7.2). They may hang (NFS, FUSE, a
 * dead lower directory), so they run in a helper that the keeper spawns:
 * `podshim-worker --mount`, told on fd 3 what to do. Doing it twice is the same
 * as once: what is mounted below rootfs is unmounted first.
 */
#ifndef PODSHIM_OCI_MOUNT_H
#define PODSHIM_OCI_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define MOUNT_COUNT_MAX 4096u /* mounts of a rootfs, and options of each */

/* One mount as containerd sends it. */
struct mount_spec {
	const char *type;
	const char *source;
	const char *target; /* below rootfs; "" usually */
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

/* What a mount's options mean. */
struct mount_flags {
	unsigned long flags; /* MS_… */
	unsigned long
	    propagation; /* MS_SHARED and so on, for a call of its own; 0 none */
	char *data;	 /* for the file system; "" if there is nothing */
	char *cwd;	 /* where data's relative paths begin; NULL: anywhere */
	bool loop;	 /* the source is an image for a loop device */
	bool direct_io;	 /* of the loop device */
	/* "inside:outside:size,…" for mapped ids, both or neither; the spec's */
	const char *uidmap, *gidmap;
	/*
	 * An overlay's lower directories that data lacks, for they need mounts of
	 * their own: mapped ids, or too many to be named in a page.
	 */
	char *lower;
};

/*
 * Parse them, for tests and the helper. An overlay's lower directories are
 * made relative to what they have in common if they are too long otherwise.
 * -EINVAL for too many or those we must not pass on, -E2BIG if they do not fit a page.
 */
int mount_parse_options(
    const struct mount_spec *m, struct mount_flags *out, struct err *err);
void mount_flags_fini(struct mount_flags *f);
/*
 * The target inside rootfs, with whatever is mounted there now: an O_PATH descriptor. No
 * link leads out of rootfs.
 */
int mount_open_target(const char *rootfs, const char *target, struct err *err);
/* The flags (MS_…) of the mount that the descriptor is of; 0: not known. */
unsigned long mount_flags_of_fd(int fd);
/*
 * Unmount everything at and below path, deepest first; nothing there is fine.
 * What stays busy for 2.5 s is detached, to go when its last user goes. Blocks:
 * for the helper, not for the worker's loop.
 */
int mount_undo(const char *path, struct err *err);

#endif

/*
 * What the mount helper is made of. All of it blocks, and some of it changes
 * the process it runs in: for the helper, not for the worker.
 */
#ifndef PODSHIM_OCI_MOUNT_INT_H
#define PODSHIM_OCI_MOUNT_INT_H

#include <stdbool.h>

struct err;
struct mount_flags;
struct mount_spec;

/* One mount, as it is said. Sets no propagation. */
int mount_plain(const char *rootfs, const struct mount_spec *m,
    const struct mount_flags *f, struct err *err);
/* The end of a lowerdir in its list: an unescaped colon or the list's end. */
const char *mount_lower_end(const char *p);

/*
 * A mount that takes a detour (mount_stage.c): one with mapped ids, or with more lower
 * directories than the kernel takes words for. Sets no propagation either.
 */
bool mount_needs_stage(const struct mount_flags *f);
int mount_staged(const char *rootfs, const struct mount_spec *m,
    const struct mount_flags *f, struct err *err);

/*
 * A user namespace that maps as told, for mount_setattr(2). maps: "inside:outside:size",
 * several with commas between. -EINVAL names the one that is wrong.
 */
int mount_userns(const char *uidmap, const char *gidmap, int *out_fd, struct err *err);

/*
 * A loop device with that image, gone by itself with its last user: *out_fd is one, until
 * the mount is. path: room for LOOP_PATH_MAX bytes. Needs Linux 5.8.
 */
#define LOOP_PATH_MAX 32
int loop_attach(const char *image, bool read_only, bool direct_io, char *path,
    int *out_fd, struct err *err);

#endif

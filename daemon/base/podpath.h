/*
 * Where a pod lives: the name of its socket, which containerd's tools compute
 * too (contract.md 1.9), and the names of our own directory and lock. For the
 * launcher, podshimctl and tests; needs libmd, and aborts when memory runs out
 * (base/mem.h), so it is not for the keeper, who is told all of it.
 *
 *	<state root>/<namespace>/<group>.<hash8>/        the pod's directory
 *	<state root>/<namespace>/<group>.<hash8>.lock    its lock
 *	<socket dir>/<hash>                              its ttrpc socket
 *
 * hash8 is the first 8 digits of the hash, so that two containerds, whose
 * sockets differ, never meet. All strings returned are malloc'ed.
 */
#ifndef PODSHIM_BASE_PODPATH_H
#define PODSHIM_BASE_PODPATH_H

#include <stdbool.h>

#define POD_STATE_ROOT	    "/run/podshim"
#define POD_SOCKET_DIR	    "/run/containerd/s"
#define POD_ID_MAX	    76u
#define POD_HASH_LEN	    64u
#define POD_HASH8_LEN	    8u
#define POD_SOCKET_PATH_MAX 106u
#define POD_SCHEME	    "unix://"

/* $PODSHIM_STATE_ROOT if set and absolute, else POD_STATE_ROOT. */
const char *pod_state_root(void);

/* Is it an identifier as containerd allows: letters and digits, single separators . _ - inside? */
bool pod_id_valid(const char *id);

/*
 * Join and clean as Go's filepath.Join does: empty parts are skipped, "."
 * and "//" vanish, ".." eats its parent. "" if all three are empty.
 */
char *pod_path_join(const char *a, const char *b, const char *c);

/* Lower-case hex sha256 of the joined path. address: the daemon's gRPC socket. */
void pod_hash(
    const char *address, const char *ns, const char *group, char hash[POD_HASH_LEN + 1]);
/*
 * The hash in an address "unix:///dir/<hash>" as the file `address` of a bundle
 * holds it; *socket_path (if not NULL) is the part behind the scheme. False if
 * it is not one of ours.
 */
bool pod_hash_of_address(
    const char *address, char hash[POD_HASH_LEN + 1], char **socket_path);

/*
 * "<group>.<hash8>". A group may be any text (it comes from an annotation):
 * what is not fit for a file name becomes '_', and it is cut; the hash keeps
 * it apart from others.
 */
char *pod_name(const char *group, const char *hash);
char *pod_dir(const char *ns, const char *group, const char *hash);
char *pod_lock_path(const char *ns, const char *group, const char *hash);

#endif

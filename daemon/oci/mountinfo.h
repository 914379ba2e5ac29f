/*
 * The lines of /proc/self/mountinfo.
 */
#ifndef PODSHIM_OCI_MOUNTINFO_H
#define PODSHIM_OCI_MOUNTINFO_H

struct err;

/* Borrowed until the callback returns; never NULL. */
struct mountinfo {
	const char *root;   /* what of the file system is mounted */
	const char *target; /* where, as an absolute path without symlinks */
	const char *type;
	const char *options; /* of the superblock */
};

typedef void (*mountinfo_cb)(const struct mountinfo *m, void *arg);
/* Each line of such a text, in order; lines that make no sense are passed over. */
void mountinfo_parse(const char *text, mountinfo_cb cb, void *arg);
/*
 * The lines of cgroup hierarchies alone: a handful, where mountinfo may have thousands
 * of others. malloc'ed; for mountinfo_parse().
 */
int mountinfo_read_cgroups(char **text, struct err *err);
/* Each mount of our namespace. */
int mountinfo_each(mountinfo_cb cb, void *arg, struct err *err);

#endif

/*
 * Stats: a container's cgroup files as containerd's Metrics messages, one file
 * per cgroup version; and what both need to read such files. Opened relative to
 * the cgroup's directories, never anything else; nothing is forked.
 */
#ifndef PODSHIM_WORKER_METRICS_H
#define PODSHIM_WORKER_METRICS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup_fds;

#define METRICS_TYPE_V1 "io.containerd.cgroups.v1.Metrics"
#define METRICS_TYPE_V2 "io.containerd.cgroups.v2.Metrics"

/*
 * What belongs to the host, not to the container. Names as the kernel has them:
 * page sizes "2MB", as in hugetlb.2MB.*.
 */
struct metrics_host {
	const char *const *page_sizes;
	size_t n_page_sizes;
	const char *diskstats; /* path of that file; device names come from it */
};
/* This host's, read once. */
const struct metrics_host *metrics_host(void);

/* Free with protobuf_c_message_free_unpacked(). A missing controller's part is NULL. */
ProtobufCMessage *metrics_v1_read(
    const struct cgroup_fds *fds, const struct metrics_host *host);
ProtobufCMessage *metrics_v2_read(
    const struct cgroup_fds *fds, const struct metrics_host *host);

/* --- reading ------------------------------------------------------------------ */

#define METRICS_TEXT_MAX (64u * 1024u)

/*
 * The text of dirfd/name; NULL if it cannot be read. Valid until the next call.
 * More than METRICS_TEXT_MAX is cut behind a whole line.
 */
char *metrics_text(int dirfd, const char *name);
/* A number that stands alone; "max" is UINT64_MAX. */
bool metrics_number(int dirfd, const char *name, uint64_t *out);
uint64_t metrics_parse(const char *text);

/* Cut the next line off *text; NULL at the end. */
char *metrics_line(char **text);
/* Cut the next word, between blanks, off *line; NULL at the end. */
char *metrics_word(char **line);

/* For files of "key value" lines: where the values go, in a struct. */
struct metrics_key {
	const char *key;
	size_t offset;
};
void metrics_keys(char *text, const struct metrics_key *keys, size_t n, void *out);
/* The value of one key; false if it is not there. */
bool metrics_key(int dirfd, const char *name, const char *key, uint64_t *out);

#endif

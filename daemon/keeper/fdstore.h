/*
 * Descriptors that must outlive a worker, by name. Taking one means getting a
 * duplicate; only a drop removes it.
 */
#ifndef PODSHIM_KEEPER_FDSTORE_H
#define PODSHIM_KEEPER_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>

struct fdstore;

/* max: how many it takes. NULL on failure. */
struct fdstore *fdstore_new(size_t max);
void fdstore_free(struct fdstore *st);

/*
 * Store fd (which is the store's from then on, but only on success) under a
 * name, in the place of an older one. 0, -ENFILE when full, -EINVAL for a bad
 * name, -ENOMEM.
 */
int fdstore_put(struct fdstore *st, const char *name, int fd);
/* The stored descriptor itself, borrowed; -ENOENT. */
int fdstore_get(const struct fdstore *st, const char *name);
/* Remove a name, or all that begin with it. Returns how many went. */
size_t fdstore_drop(struct fdstore *st, const char *name, bool prefix);
size_t fdstore_count(const struct fdstore *st);
void fdstore_each(
    const struct fdstore *st, void (*cb)(const char *name, int fd, void *arg), void *arg);

#endif

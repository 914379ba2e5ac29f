/*
 * A map from a number to a struct that embeds its node: no allocation, so it
 * cannot fail. A fixed number of buckets is plenty for some thousand entries.
 */
#ifndef PODSHIM_KEEPER_IDMAP_H
#define PODSHIM_KEEPER_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#define IDMAP_BUCKETS 128u

struct idnode {
	uint64_t id;
	struct idnode *next;
};

struct idmap {
	struct idnode *bucket[IDMAP_BUCKETS];
	size_t n;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline struct idnode **
idmap_slot(struct idmap *map, uint64_t id)
{
	return &map->bucket[(id ^ id >> 8 ^ id >> 32) % IDMAP_BUCKETS];
}

static inline struct idnode *
idmap_get(struct idmap *map, uint64_t id)
{
	struct idnode *node = *idmap_slot(map, id);

	while (node != NULL && node->id != id)
		node = node->next;
	return node;
}

static inline void
idmap_add(struct idmap *map, struct idnode *node, uint64_t id)
{
	struct idnode **slot = idmap_slot(map, id);

	node->id = id;
	node->next = *slot;
	*slot = node;
	map->n++;
}

/* A node that is not in the map is left alone. */
static inline void
idmap_del(struct idmap *map, struct idnode *node)
{
	struct idnode **p = idmap_slot(map, node->id);

	while (*p != NULL && *p != node)
		p = &(*p)->next;
	if (*p == node) {
		*p = node->next;
		map->n--;
	}
}

#endif

/*
 * The fd store: a hash of names with chains. A name is short (MSG_NAME_MAX)
 * and lies behind its entry, so an entry is one allocation. One is in reserve:
 * what is not stored is output that somebody loses.
 */
#include "keeper/fdstore.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ipc/msg.h"

#define BUCKETS 128u

struct entry {
	struct entry *next;
	int fd;
	char name[];
};

struct fdstore {
	struct entry *bucket[BUCKETS];
	size_t n, max;
	struct entry *spare; /* room for any name */
};

static void
fill_spare(struct fdstore *st)
{
	if (st->spare == NULL)
		st->spare = malloc(sizeof *st->spare + MSG_NAME_MAX + 1);
}

static unsigned
name_bucket(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % BUCKETS;
}

struct fdstore *
fdstore_new(size_t max)
{
	struct fdstore *st = calloc(1, sizeof *st);

	if (st == NULL)
		return NULL;
	st->max = max;
	fill_spare(st);
	return st;
}

void
fdstore_free(struct fdstore *st)
{
	if (st == NULL)
		return;
	(void)fdstore_drop(st, "", true);
	free(st->spare);
	free(st);
}

static struct entry *
find(const struct fdstore *st, const char *name)
{
	struct entry *e = st->bucket[name_bucket(name)];

	while (e != NULL && strcmp(e->name, name) != 0)
		e = e->next;
	return e;
}

int
fdstore_put(struct fdstore *st, const char *name, int fd)
{
	struct entry *e = find(st, name);
	size_t len = strlen(name);

	if (e != NULL) {
		fd_close(&e->fd);
		e->fd = fd;
		return 0;
	}
	if (len == 0 || len > MSG_NAME_MAX)
		return -EINVAL;
	if (st->n >= st->max)
		return -ENFILE;
	e = malloc(sizeof *e + len + 1);
	if (e == NULL)
		e = steal_ptr(&st->spare);
	else
		fill_spare(st);
	if (e == NULL)
		return -ENOMEM;
	memcpy(e->name, name, len + 1);
	e->fd = fd;
	e->next = st->bucket[name_bucket(name)];
	st->bucket[name_bucket(name)] = e;
	st->n++;
	return 0;
}

int
fdstore_get(const struct fdstore *st, const char *name)
{
	const struct entry *e = find(st, name);

	return e == NULL ? -ENOENT : e->fd;
}

size_t
fdstore_drop(struct fdstore *st, const char *name, bool prefix)
{
	size_t i, len = strlen(name), gone = 0;

	for (i = 0; i < BUCKETS; i++) {
		struct entry **p = &st->bucket[i], *e;

		while ((e = *p) != NULL) {
			if (prefix ? strncmp(e->name, name, len) != 0
				   : strcmp(e->name, name) != 0) {
				p = &e->next;
				continue;
			}
			*p = e->next;
			fd_close(&e->fd);
			free(e);
			st->n--;
			gone++;
		}
	}
	return gone;
}

size_t
fdstore_count(const struct fdstore *st)
{
	return st->n;
}

void
fdstore_each(
    const struct fdstore *st, void (*cb)(const char *name, int fd, void *arg), void *arg)
{
	const struct entry *e;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		for (e = st->bucket[i]; e != NULL; e = e->next)
			cb(e->name, e->fd, arg);
}

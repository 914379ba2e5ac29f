/*
 * The bytes of a request frame: in memory while small, in a sealed memfd when
 * not, so that keeping and re-sending a large one costs no second copy.
 */
#ifndef PODSHIM_KEEPER_BLOB_H
#define PODSHIM_KEEPER_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	size_t len;    /* bytes in it */
	size_t want;   /* bytes it was begun for */
	char *p;       /* the bytes, if not in memfd; BLOB_ROOM at least */
	int memfd;     /* -1 if in p */
	uint64_t hash; /* FNV-1a of the bytes */
};

/* What p has room for however short the frame: a short answer to it (conn_out.c). */
#define BLOB_ROOM 96u

#define BLOB_NONE ((struct blob){.memfd = -1})

/* Room for len bytes. 0 or -errno. */
int blob_begin(struct blob *b, size_t len);
int blob_append(struct blob *b, const void *p, size_t len);
/* All bytes are in: seal it. */
int blob_finish(struct blob *b);
void blob_fini(struct blob *b);
/* p, for something else: the caller's now. NULL: gone already. */
void *blob_steal(struct blob *b);
/* Copy up to len bytes from off; returns how many there were. */
size_t blob_read(const struct blob *b, size_t off, void *out, size_t len);

/*
 * timeout_nano of the ttrpc Request in it (contract.md 4.2); 0 if it has none
 * or is no Request. Nothing else in there is the keeper's business.
 */
uint64_t blob_request_timeout_ns(const struct blob *b);

#endif

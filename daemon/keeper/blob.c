/*
 * Bytes of a request; see blob.h. The one look inside is for the time-out of
 * the request, which decides how patient the restarts of a worker may be.
 */
#include "keeper/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "keeper/limits.h"

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FIELDS_MAX 64
#define FNV_PRIME  UINT64_C(0x100000001b3)

int
blob_begin(struct blob *b, size_t len)
{
	*b = BLOB_NONE;
	b->want = len;
	b->hash = FNV_OFFSET;
	b->p = malloc(len > BLOB_ROOM && len <= LIMIT_FRAME_INLINE ? len : BLOB_ROOM);
	if (b->p == NULL)
		return -ENOMEM;
	if (len > LIMIT_FRAME_INLINE) {
		b->memfd =
		    memfd_create("podshim-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (b->memfd == -1) {
			int rc = -errno;

			blob_fini(b);
			return rc;
		}
	}
	return 0;
}

int
blob_append(struct blob *b, const void *p, size_t len)
{
	const unsigned char *in = p;
	size_t i;
	int rc;

	if (len > b->want - b->len)
		return -EMSGSIZE;
	for (i = 0; i < len; i++)
		b->hash = (b->hash ^ in[i]) * FNV_PRIME;
	if (b->memfd != -1) {
		rc = fd_write_all(b->memfd, p, len);
		if (rc < 0)
			return rc;
	} else if (len > 0) {
		memcpy(b->p + b->len, p, len);
	}
	b->len += len;
	return 0;
}

int
blob_finish(struct blob *b)
{
	if (b->memfd == -1)
		return 0;
	/*
	 * Not F_SEAL_WRITE: that waits, up to some 100 ms, until nobody uses the
	 * pages any more. There is no writable mapping that it would be needed for.
	 */
	if (fcntl(b->memfd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) == -1)
		return -errno;
	return 0;
}

void
blob_fini(struct blob *b)
{
	free(b->p);
	fd_close(&b->memfd);
	*b = BLOB_NONE;
}

void *
blob_steal(struct blob *b)
{
	if (b->memfd == -1)
		b->len = 0;
	return steal_ptr(&b->p);
}

size_t
blob_read(const struct blob *b, size_t off, void *out, size_t len)
{
	ssize_t n;

	if (off >= b->len)
		return 0;
	if (len > b->len - off)
		len = b->len - off;
	if (b->memfd == -1) {
		memcpy(out, b->p + off, len);
		return len;
	}
	do
		n = pread(b->memfd, out, len, (off_t)off);
	while (n == -1 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

/* A varint at *off. False at the end, or if it is none. */
static bool
read_varint(const struct blob *b, size_t *off, uint64_t *value)
{
	unsigned char buf[10];
	size_t i, n = blob_read(b, *off, buf, sizeof buf);

	*value = 0;
	for (i = 0; i < n; i++) {
		*value |= (uint64_t)(buf[i] & 0x7f) << (7 * i);
		if ((buf[i] & 0x80) == 0) {
			*off += i + 1;
			return true;
		}
	}
	return false;
}

uint64_t
blob_request_timeout_ns(const struct blob *b)
{
	uint64_t tag, value;
	size_t off = 0;
	unsigned i;

	/* garbage must not keep us busy: a Request has a handful of fields */
	for (i = 0; i < FIELDS_MAX && off < b->len && read_varint(b, &off, &tag); i++) {
		switch (tag & 7) {
		case 0: /* varint */
			if (!read_varint(b, &off, &value))
				return 0;
			if (tag >> 3 == 4)
				return value <= INT64_MAX ? value : 0;
			break;
		case 1: /* 64 bits */ off += 8; break;
		case 2: /* length and bytes */
			if (!read_varint(b, &off, &value) || value > b->len - off)
				return 0;
			off += (size_t)value;
			break;
		case 5: /* 32 bits */ off += 4; break;
		default: return 0;
		}
	}
	return 0;
}

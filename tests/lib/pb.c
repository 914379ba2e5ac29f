/*
 * Protobuf by hand (see pb.h for why). Fields are appended in the order of the
 * calls; nested messages are written into their own struct pb first.
 */
#include "tests/lib/pb.h"

#include <stdlib.h>
#include <string.h>

#define YEAR_1 INT64_C(-62135596800)

void
pb_fini(struct pb *m)
{
	free(m->data);
	*m = PB_INIT;
}

void
pb_raw(struct pb *m, const void *data, size_t len)
{
	if (m->len + len > m->cap) {
		m->cap = (m->len + len) * 2 + 64;
		m->data = realloc(m->data, m->cap);
		if (!m->data)
			abort();
	}
	if (len > 0)
		memcpy(m->data + m->len, data, len);
	m->len += len;
}

static void
pb_varint(struct pb *m, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;

	do {
		b[n] = (uint8_t)(v & 0x7f);
		v >>= 7;
		if (v != 0)
			b[n] |= 0x80;
		n++;
	} while (v != 0);
	pb_raw(m, b, n);
}

void
pb_u64(struct pb *m, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	pb_varint(m, (uint64_t)field << 3);
	pb_varint(m, v);
}

void
pb_bool(struct pb *m, unsigned field, bool v)
{
	pb_u64(m, field, v ? 1 : 0);
}

void
pb_bytes(struct pb *m, unsigned field, const void *data, size_t len)
{
	pb_varint(m, (uint64_t)field << 3 | 2);
	pb_varint(m, len);
	pb_raw(m, data, len);
}

void
pb_str(struct pb *m, unsigned field, const char *s)
{
	if (s && *s)
		pb_bytes(m, field, s, strlen(s));
}

void
pb_msg(struct pb *m, unsigned field, const struct pb *sub)
{
	pb_bytes(m, field, sub->data, sub->len);
}

void
pb_any(struct pb *m, unsigned field, const char *type_url, const void *value, size_t len)
{
	struct pb any = PB_INIT;

	pb_str(&any, 1, type_url);
	if (len > 0)
		pb_bytes(&any, 2, value, len);
	pb_msg(m, field, &any);
	pb_fini(&any);
}

static int
pb_read_varint(struct pb_view *v, uint64_t *out)
{
	uint64_t r = 0;
	unsigned shift = 0;

	while (v->len > 0 && shift < 64) {
		uint8_t b = *v->data++;

		v->len--;
		r |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*out = r;
			return 0;
		}
		shift += 7;
	}
	return -1;
}

static int
pb_read_fixed(struct pb_view *v, size_t n, uint64_t *out)
{
	*out = 0;
	if (v->len < n)
		return -1;
	for (size_t i = 0; i < n; i++)
		*out |= (uint64_t)v->data[i] << (8 * i);
	v->data += n;
	v->len -= n;
	return 0;
}

int
pb_next(struct pb_view *v, struct pb_field *out)
{
	uint64_t tag, len;

	if (v->len == 0)
		return 0;
	*out = (struct pb_field){0};
	if (pb_read_varint(v, &tag) == -1 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return -1;
	out->number = (unsigned)(tag >> 3);
	out->wire = tag & 7;
	switch (out->wire) {
	case 0: return pb_read_varint(v, &out->u) == -1 ? -1 : 1;
	case 1: return pb_read_fixed(v, 8, &out->u) == -1 ? -1 : 1;
	case 5: return pb_read_fixed(v, 4, &out->u) == -1 ? -1 : 1;
	case 2:
		if (pb_read_varint(v, &len) == -1 || len > v->len)
			return -1;
		out->bytes = (struct pb_view){v->data, (size_t)len};
		v->data += len;
		v->len -= (size_t)len;
		return 1;
	default: return -1;
	}
}

uint64_t
pb_get_u64(struct pb_view v, unsigned field)
{
	struct pb_field f;
	uint64_t r = 0;

	while (pb_next(&v, &f) == 1)
		if (f.number == field && f.wire == 0)
			r = f.u;
	return r;
}

bool
pb_get_bytes(struct pb_view v, unsigned field, unsigned nth, struct pb_view *out)
{
	struct pb_field f;

	while (pb_next(&v, &f) == 1)
		if (f.number == field && f.wire == 2 && nth-- == 0) {
			*out = f.bytes;
			return true;
		}
	return false;
}

char *
pb_get_str(struct pb_view v, unsigned field)
{
	struct pb_view b = {NULL, 0};
	char *s;

	(void)pb_get_bytes(v, field, 0, &b);
	s = malloc(b.len + 1);
	if (!s)
		abort();
	if (b.len > 0)
		memcpy(s, b.data, b.len);
	s[b.len] = '\0';
	return s;
}

bool
pb_get_time(struct pb_view v, unsigned field, int64_t *ns)
{
	struct pb_view t;
	int64_t s;

	if (!pb_get_bytes(v, field, 0, &t))
		return false;
	s = (int64_t)pb_get_u64(t, 1);
	if (s == YEAR_1)
		*ns = INT64_MIN;
	else
		*ns = s * INT64_C(1000000000) + (int64_t)pb_get_u64(t, 2);
	return true;
}

bool
pb_valid(struct pb_view v)
{
	struct pb_field f;
	int rc;

	do
		rc = pb_next(&v, &f);
	while (rc == 1);
	return rc == 0;
}

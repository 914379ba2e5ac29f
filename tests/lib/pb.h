/*
 * Just enough protobuf to write requests and read answers, by field number.
 *
 * Tests use this and not the generated code of proto/ on purpose: a wrong
 * field number there would be wrong on both sides and no test would see it.
 */
#ifndef PODSHIM_TESTS_PB_H
#define PODSHIM_TESTS_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message being written. {0} is empty; grows; abort()s without memory. */
struct pb {
	uint8_t *data;
	size_t len, cap;
};

#define PB_INIT ((struct pb){0})

void pb_fini(struct pb *m);
/* Proto3: a zero, false, NULL or "" is not written at all. */
void pb_u64(struct pb *m, unsigned field, uint64_t v);
void pb_bool(struct pb *m, unsigned field, bool v);
void pb_str(struct pb *m, unsigned field, const char *s);
/* Always written, also with length 0. */
void pb_bytes(struct pb *m, unsigned field, const void *data, size_t len);
void pb_msg(struct pb *m, unsigned field, const struct pb *sub);
/* google.protobuf.Any as field: 1 type_url, 2 value. */
void pb_any(
    struct pb *m, unsigned field, const char *type_url, const void *value, size_t len);
/* Raw bytes behind what is there, for messages that must not parse. */
void pb_raw(struct pb *m, const void *data, size_t len);

/* Bytes being read: borrowed. */
struct pb_view {
	const uint8_t *data;
	size_t len;
};

/* One field of a message. */
struct pb_field {
	unsigned number, wire; /* wire: 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
	uint64_t u;	       /* wire 0, 1, 5 */
	struct pb_view bytes;  /* wire 2 */
};

/*
 * Step through the fields: 1 and *out, 0 at the end, -1 where it does not
 * parse. *v moves on.
 */
int pb_next(struct pb_view *v, struct pb_field *out);
/* The last varint field of that number, else 0 / -1 for signed readers. */
uint64_t pb_get_u64(struct pb_view v, unsigned field);
/* The nth (from 0) bytes field of that number; false: there is none. */
bool pb_get_bytes(struct pb_view v, unsigned field, unsigned nth, struct pb_view *out);
/* The string of that field, malloc'ed; "" if there is none. */
char *pb_get_str(struct pb_view v, unsigned field);
/* Timestamp at that field in nanoseconds; false: absent. Year 1 gives INT64_MIN. */
bool pb_get_time(struct pb_view v, unsigned field, int64_t *ns);
/* Does the whole of it parse? */
bool pb_valid(struct pb_view v);

#endif

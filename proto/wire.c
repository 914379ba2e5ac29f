/*
 * Helpers around protobuf-c; see wire.h.
 */
#include "proto/wire.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* Go's zero time: 0001-01-01T00:00:00Z. */
#define WIRE_YEAR_ONE INT64_C(-62135596800)

void
wire_pack(const ProtobufCMessage *msg, void **out, size_t *len)
{
	*len = protobuf_c_message_get_packed_size(msg);
	*out = mem_zalloc(*len);
	(void)protobuf_c_message_pack(msg, *out);
}

void
wire_timestamp(Google__Protobuf__Timestamp *ts, int64_t real_ns)
{
	google__protobuf__timestamp__init(ts);
	if (real_ns == 0) {
		ts->seconds = WIRE_YEAR_ONE;
		return;
	}
	ts->seconds = real_ns / NS_PER_S;
	ts->nanos = (int32_t)(real_ns % NS_PER_S);
	if (ts->nanos < 0) { /* nanos count forward, also before 1970 */
		ts->seconds--;
		ts->nanos += (int32_t)NS_PER_S;
	}
}

int64_t
wire_timestamp_ns(const Google__Protobuf__Timestamp *ts)
{
	int64_t ns;

	if (ts == NULL || ts->nanos < 0 || ts->nanos >= NS_PER_S ||
	    __builtin_mul_overflow(ts->seconds, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts->nanos, &ns))
		return 0;
	return ns;
}

const char *
wire_type_name(const char *type_url)
{
	const char *slash;

	if (type_url == NULL)
		return "";
	if (strncmp(type_url, "types.containerd.io/", 20) == 0)
		return type_url;
	slash = strrchr(type_url, '/');
	return slash == NULL ? type_url : slash + 1;
}

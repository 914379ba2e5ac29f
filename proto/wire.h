/*
 * Small helpers around protobuf-c messages, for whoever builds or reads them.
 * They abort when memory runs out (base/mem.h): not for the keeper.
 */
#ifndef PODSHIM_PROTO_WIRE_H
#define PODSHIM_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/any.pb-c.h"

/* Encode; *out is the caller's, never NULL, also for an empty message. */
void wire_pack(const ProtobufCMessage *msg, void **out, size_t *len);

/*
 * Timestamp from nanoseconds since 1970. 0 means "has not happened", which Go
 * peers expect as the year 1, not as 1970 (and not as an absent field). ts is
 * initialised here; it holds no memory.
 */
void wire_timestamp(Google__Protobuf__Timestamp *ts, int64_t real_ns);
/* Back; 0 for NULL, for the year 1, and for what does not fit. */
int64_t wire_timestamp_ns(const Google__Protobuf__Timestamp *ts);

/*
 * The name of the message an Any holds, without the host part that other
 * libraries put in front: "containerd.runc.v1.Options". The types of JSON
 * bodies (types.containerd.io/...) are returned whole. Borrowed from type_url;
 * "" for NULL.
 */
const char *wire_type_name(const char *type_url);

#endif

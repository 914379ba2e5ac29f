/*
 * Status codes of ttrpc answers, the one table from errno to them, and an
 * encoder for error responses that needs no protobuf library.
 */
#ifndef PODSHIM_PROTO_STATUS_H
#define PODSHIM_PROTO_STATUS_H

#include <stddef.h>
#include <stdint.h>

/* google.rpc.Code; contract.md 4.7 */
enum status_code {
	STATUS_OK = 0,
	STATUS_CANCELED = 1,
	STATUS_UNKNOWN = 2,
	STATUS_INVALID_ARGUMENT = 3,
	STATUS_DEADLINE_EXCEEDED = 4,
	STATUS_NOT_FOUND = 5,
	STATUS_ALREADY_EXISTS = 6,
	STATUS_PERMISSION_DENIED = 7,
	STATUS_RESOURCE_EXHAUSTED = 8,
	STATUS_FAILED_PRECONDITION = 9,
	STATUS_ABORTED = 10,
	STATUS_OUT_OF_RANGE = 11,
	STATUS_UNIMPLEMENTED = 12,
	STATUS_INTERNAL = 13,
	STATUS_UNAVAILABLE = 14,
};

/* "NotFound" and so on; "Unknown" for a number we do not know. */
const char *status_name(int code);
/* The status for a failure with this (positive) errno. */
enum status_code status_from_errno(int code);

#define STATUS_TEXT_MAX	    4096u
/* Bytes that status_encode_response() needs at most. */
#define STATUS_RESPONSE_MAX (STATUS_TEXT_MAX + 32u)

/*
 * A whole ttrpc Response message that carries only a status. Text beyond
 * STATUS_TEXT_MAX is cut, bytes that are not UTF-8 become '?' (contract.md
 * 5.11). Returns its length; cap must be at least STATUS_RESPONSE_MAX.
 */
size_t status_encode_response(
    uint8_t *out, size_t cap, enum status_code code, const char *text);

/* Replace in place every byte that is not part of valid UTF-8 by '?'. */
void utf8_sanitize(char *s);

#endif

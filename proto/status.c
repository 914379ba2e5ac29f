/*
 * Status codes, and error answers made by hand: the keeper has to refuse
 * requests without a protobuf library, and without memory to spare.
 *
 * A Go peer throws away a whole message for one string that is not UTF-8, so
 * whatever text comes here (paths, runtime output) is mended first.
 */
#include "proto/status.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const status_names[] = {
    [STATUS_OK] = "OK",
    [STATUS_CANCELED] = "Canceled",
    [STATUS_UNKNOWN] = "Unknown",
    [STATUS_INVALID_ARGUMENT] = "InvalidArgument",
    [STATUS_DEADLINE_EXCEEDED] = "DeadlineExceeded",
    [STATUS_NOT_FOUND] = "NotFound",
    [STATUS_ALREADY_EXISTS] = "AlreadyExists",
    [STATUS_PERMISSION_DENIED] = "PermissionDenied",
    [STATUS_RESOURCE_EXHAUSTED] = "ResourceExhausted",
    [STATUS_FAILED_PRECONDITION] = "FailedPrecondition",
    [STATUS_ABORTED] = "Aborted",
    [STATUS_OUT_OF_RANGE] = "OutOfRange",
    [STATUS_UNIMPLEMENTED] = "Unimplemented",
    [STATUS_INTERNAL] = "Internal",
    [STATUS_UNAVAILABLE] = "Unavailable",
};

const char *
status_name(int code)
{
	if (code < 0 || (size_t)code >= sizeof status_names / sizeof status_names[0])
		return status_names[STATUS_UNKNOWN];
	return status_names[code];
}

enum status_code
status_from_errno(int code)
{
	switch (code) {
	case 0: return STATUS_OK;
	case ENOENT:
	case ESRCH: return STATUS_NOT_FOUND;
	case EEXIST:
	case EALREADY: return STATUS_ALREADY_EXISTS;
	case EINVAL:
	case EBADMSG:
	case ENAMETOOLONG:
	case E2BIG: return STATUS_INVALID_ARGUMENT;
	case EPERM:
	case EACCES: return STATUS_PERMISSION_DENIED;
	case EBUSY:
	/*
	 * Not Unimplemented: for Create and Connect that would make containerd
	 * 2 fall back to the older API and ask again.
	 */
	case EOPNOTSUPP: return STATUS_FAILED_PRECONDITION;
	case ENOSYS: return STATUS_UNIMPLEMENTED;
	case ETIMEDOUT:
	case ETIME: return STATUS_DEADLINE_EXCEEDED;
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EFBIG:
	case EMSGSIZE: return STATUS_RESOURCE_EXHAUSTED;
	case ECANCELED: return STATUS_CANCELED;
	case EAGAIN:
	case ESHUTDOWN:
	case ECONNREFUSED: return STATUS_UNAVAILABLE;
	case ERANGE: return STATUS_OUT_OF_RANGE;
	case ENOTRECOVERABLE: return STATUS_INTERNAL;
	default: return STATUS_UNKNOWN;
	}
}

/*
 * Length of the valid UTF-8 sequence at s, 0 if there is none. Surrogates,
 * overlong forms and what lies beyond U+10FFFF are not valid.
 */
static size_t
utf8_sequence(const uint8_t *s, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		len = 2;
	} else if (s[0] >= 0xe0 && s[0] <= 0xef) {
		len = 3;
		if (s[0] == 0xe0)
			low = 0xa0;
		if (s[0] == 0xed)
			high = 0x9f;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		len = 4;
		if (s[0] == 0xf0)
			low = 0x90;
		if (s[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (left < len || s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static void
utf8_mend(uint8_t *s, size_t len)
{
	size_t i = 0, n;

	while (i < len) {
		n = utf8_sequence(s + i, len - i);
		if (n == 0) {
			s[i] = '?';
			n = 1;
		}
		i += n;
	}
}

void
utf8_sanitize(char *s)
{
	utf8_mend((uint8_t *)s, strlen(s));
}

/* strlen(), but at most STATUS_TEXT_MAX, and not into a character. */
static size_t
status_text_len(const char *text)
{
	size_t len = strnlen(text, STATUS_TEXT_MAX + 1), cut, i;

	if (len <= STATUS_TEXT_MAX)
		return len;
	len = STATUS_TEXT_MAX;
	for (cut = 1; cut <= 3; cut++) {
		i = len - cut;
		if (((uint8_t)text[i] & 0xc0) == 0xc0)
			return utf8_sequence((const uint8_t *)text + i, cut) == cut ? len
										    : i;
		if (((uint8_t)text[i] & 0x80) == 0)
			break;
	}
	return len;
}

static uint8_t *
put_varint(uint8_t *out, size_t v)
{
	while (v >= 0x80) {
		*out++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*out++ = (uint8_t)v;
	return out;
}

size_t
status_encode_response(uint8_t *out, size_t cap, enum status_code code, const char *text)
{
	size_t text_len = status_text_len(text == NULL ? "" : text), inner = 0;
	uint8_t *p = out;

	assert(cap >= STATUS_RESPONSE_MAX);
	if (code != STATUS_OK)
		inner += 2;
	if (text_len > 0)
		inner += 1 + (text_len < 0x80 ? 1 : 2) + text_len;
	*p++ = 0x0a; /* Response.status */
	p = put_varint(p, inner);
	if (code != STATUS_OK) {
		*p++ = 0x08; /* Status.code */
		*p++ = (uint8_t)code;
	}
	if (text_len > 0) {
		*p++ = 0x12; /* Status.message */
		p = put_varint(p, text_len);
		memcpy(p, text, text_len);
		utf8_mend(p, text_len);
		p += text_len;
	}
	return (size_t)(p - out);
}

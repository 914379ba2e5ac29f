/*
 * The ttrpc frame header both ways, and the hand-made error response: what it
 * makes of any text must be a Response that protobuf-c reads and valid UTF-8.
 */
#include "fuzz.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[FRAME_HEAD_LEN];
	struct frame_head head;
	AUTO_FREE char *text = NULL;
	AUTO_FREE uint8_t *out = NULL;
	Ttrpc__Response *resp;
	size_t len;

	if (size < FRAME_HEAD_LEN)
		return 0;
	frame_head_decode(&head, data);
	frame_head_encode(again, &head);
	assert(memcmp(again, data, FRAME_HEAD_LEN) == 0);

	text = mem_zalloc(size - FRAME_HEAD_LEN + 1);
	memcpy(text, data + FRAME_HEAD_LEN, size - FRAME_HEAD_LEN);
	out = mem_zalloc(STATUS_RESPONSE_MAX);
	len = status_encode_response(
	    out, STATUS_RESPONSE_MAX, (enum status_code)(1 + head.stream % 14), text);
	resp = ttrpc__response__unpack(NULL, len, out);
	assert(resp != NULL && resp->status != NULL);
	assert(resp->status->code == (int)(1 + head.stream % 14));
	assert(strlen(resp->status->message) <= STATUS_TEXT_MAX);
	len = strlen(resp->status->message);
	text = mem_realloc(steal_ptr(&text), len + 1);
	memcpy(text, resp->status->message, len + 1);
	utf8_sanitize(text);
	assert(strcmp(text, resp->status->message) == 0);
	ttrpc__response__free_unpacked(resp, NULL);
	(void)status_name(head.flags);
	return 0;
}

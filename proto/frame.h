/*
 * ttrpc frames (contract.md 4.1): a ten-byte header and a payload. Bytes only:
 * no event loop, no protobuf-c; the keeper links this.
 */
#ifndef PODSHIM_PROTO_FRAME_H
#define PODSHIM_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_LEN	  10u
#define FRAME_PAYLOAD_MAX 4194304u

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE = 2, FRAME_DATA = 3 };

#define FRAME_F_REMOTE_CLOSED 0x01u
#define FRAME_F_REMOTE_OPEN   0x02u
#define FRAME_F_NO_DATA	      0x04u

struct frame_head {
	uint32_t len; /* of the payload */
	uint32_t stream;
	uint8_t type; /* enum frame_type, or one we do not know */
	uint8_t flags;
};

void frame_head_encode(uint8_t out[FRAME_HEAD_LEN], const struct frame_head *h);
void frame_head_decode(struct frame_head *h, const uint8_t in[FRAME_HEAD_LEN]);

#endif

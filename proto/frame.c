/*
 * The ten bytes in front of every ttrpc payload. Numbers are big endian. A
 * decoded head is what the peer said, unchecked: its length may be anything.
 */
#include "proto/frame.h"

static void
frame_put_u32(uint8_t *out, uint32_t v)
{
	out[0] = (uint8_t)(v >> 24);
	out[1] = (uint8_t)(v >> 16);
	out[2] = (uint8_t)(v >> 8);
	out[3] = (uint8_t)v;
}

static uint32_t
frame_get_u32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 |
	    in[3];
}

void
frame_head_encode(uint8_t out[FRAME_HEAD_LEN], const struct frame_head *h)
{
	frame_put_u32(out, h->len);
	frame_put_u32(out + 4, h->stream);
	out[8] = h->type;
	out[9] = h->flags;
}

void
frame_head_decode(struct frame_head *h, const uint8_t in[FRAME_HEAD_LEN])
{
	h->len = frame_get_u32(in);
	h->stream = frame_get_u32(in + 4);
	h->type = in[8];
	h->flags = in[9];
}

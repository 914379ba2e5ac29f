/*
 * proto/frame: the ten bytes, against ones written down by hand.
 */
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_frame_encode_is_big_endian(void **state)
{
	static const uint8_t want[] = {0x00, 0x01, 0x02, 0x03, 0x80, 0, 0, 0x05, 1, 3};
	struct frame_head h = {.len = 0x010203,
	    .stream = 0x80000005,
	    .type = FRAME_REQUEST,
	    .flags = FRAME_F_REMOTE_CLOSED | FRAME_F_REMOTE_OPEN};
	uint8_t got[FRAME_HEAD_LEN];

	(void)state;
	frame_head_encode(got, &h);
	assert_memory_equal(got, want, sizeof want);
}

static void
test_frame_decode_takes_anything(void **state)
{
	static const uint8_t in[] = {0xff, 0xff, 0xff, 0xfe, 0, 0, 1, 0, 0xee, 0x80};
	struct frame_head h;

	(void)state;
	frame_head_decode(&h, in);
	assert_int_equal(h.len, 0xfffffffe);
	assert_int_equal(h.stream, 256);
	assert_int_equal(h.type, 0xee);
	assert_int_equal(h.flags, 0x80);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frame_encode_is_big_endian),
	    cmocka_unit_test(test_frame_decode_takes_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

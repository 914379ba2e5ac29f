/*
 * proto/status: the errno table, UTF-8, and the hand-made Response read back
 * by the generated code.
 */
#include "proto/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ttrpc.pb-c.h"

static void
expect_response(enum status_code code, const char *text, const char *want)
{
	uint8_t buf[STATUS_RESPONSE_MAX];
	size_t len = status_encode_response(buf, sizeof buf, code, text);
	Ttrpc__Response *r = ttrpc__response__unpack(NULL, len, buf);

	assert_non_null(r);
	assert_non_null(r->status);
	assert_int_equal(r->status->code, code);
	assert_string_equal(r->status->message, want);
	assert_int_equal(r->payload.len, 0);
	ttrpc__response__free_unpacked(r, NULL);
}

static void
test_status_response_bytes(void **state)
{
	static const uint8_t want[] = {0x0a, 6, 0x08, 5, 0x12, 2, 'n', 'o'};
	uint8_t buf[STATUS_RESPONSE_MAX];

	(void)state;
	assert_int_equal(
	    status_encode_response(buf, sizeof buf, STATUS_NOT_FOUND, "no"), sizeof want);
	assert_memory_equal(buf, want, sizeof want);
}

static void
test_status_response_reads_back(void **state)
{
	char text[STATUS_TEXT_MAX + 100];

	(void)state;
	expect_response(
	    STATUS_NOT_FOUND, "container not created", "container not created");
	expect_response(STATUS_OK, NULL, "");
	expect_response(STATUS_INTERNAL, "bad \xff byte", "bad ? byte");
	memset(text, 'x', sizeof text);
	text[127] = '\0';
	expect_response(STATUS_UNKNOWN, text, text);
	text[127] = 'x';
	text[128] = '\0';
	expect_response(STATUS_UNKNOWN, text, text);
}

static void
test_status_response_cuts_between_characters(void **state)
{
	char text[STATUS_TEXT_MAX + 100], want[STATUS_TEXT_MAX + 1];
	size_t before;

	(void)state;
	/* a three-byte character that ends 0, 1 or 2 bytes behind the cut */
	for (before = 0; before < 3; before++) {
		memset(text, 'x', sizeof text);
		text[sizeof text - 1] = '\0';
		memcpy(text + STATUS_TEXT_MAX - 3 + before, "\xe2\x82\xac", 3);
		memcpy(want, text, STATUS_TEXT_MAX);
		want[before == 0 ? STATUS_TEXT_MAX : STATUS_TEXT_MAX - 3 + before] = '\0';
		expect_response(STATUS_UNKNOWN, text, want);
	}
	memset(text, '\xbf', sizeof text - 1);
	memset(want, '?', STATUS_TEXT_MAX);
	want[STATUS_TEXT_MAX] = '\0';
	expect_response(STATUS_UNKNOWN, text, want);
}

static void
test_status_utf8_sanitize(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"\xc0\xaf", "??"},	     /* overlong */
	    {"\xe0\x80\xaf", "???"}, /* overlong */
	    {"\xed\xa0\x80", "???"}, /* surrogate */
	    {"\xed\x9f\xbf", "\xed\x9f\xbf"},
	    {"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
	    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
	    {"\xf0\x8f\xbf\xbf", "????"}, /* overlong */
	    {"\xe2\x82", "??"},		  /* ends too early */
	    {"\xe2\x82x", "??x"},
	    {"\x80"
	     "a\xff",
		"?a?"},
	};
	char buf[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		memcpy(buf, rows[i].in, strlen(rows[i].in) + 1);
		utf8_sanitize(buf);
		assert_string_equal(buf, rows[i].want);
	}
}

static void
test_status_names_and_errnos(void **state)
{
	(void)state;
	assert_string_equal(status_name(STATUS_NOT_FOUND), "NotFound");
	assert_string_equal(status_name(STATUS_UNAVAILABLE), "Unavailable");
	assert_string_equal(status_name(15), "Unknown");
	assert_string_equal(status_name(-1), "Unknown");
	assert_int_equal(status_from_errno(0), STATUS_OK);
	assert_int_equal(status_from_errno(ESRCH), STATUS_NOT_FOUND);
	assert_int_equal(status_from_errno(EEXIST), STATUS_ALREADY_EXISTS);
	assert_int_equal(status_from_errno(ENOSPC), STATUS_RESOURCE_EXHAUSTED);
	assert_int_equal(status_from_errno(EOPNOTSUPP), STATUS_FAILED_PRECONDITION);
	assert_int_equal(status_from_errno(EIO), STATUS_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_status_response_bytes),
	    cmocka_unit_test(test_status_response_reads_back),
	    cmocka_unit_test(test_status_response_cuts_between_characters),
	    cmocka_unit_test(test_status_utf8_sanitize),
	    cmocka_unit_test(test_status_names_and_errnos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

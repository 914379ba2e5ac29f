/*
 * One decoder for UTF-8, and the two ways of printing what it finds. It is
 * strict: overlong forms, surrogates and what lies beyond U+10FFFF are not
 * UTF-8, byte by byte.
 */
#include "client/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

/* Length of the character at s, its code in *code; 0 if it is none. */
static size_t
utf8_char(const unsigned char *s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len, i;

	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		len = 4;
	else
		return 0;
	*code = s[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) /* a NUL ends it too */
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (*code < least[len] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return len;
}

static bool
char_is_safe(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* marks, embeddings, overrides, isolates, line separators, BOM */
	return !(c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
	    c > 0xe0000);
}

char *
text_safe(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	char *out = mem_zalloc(strlen(s) * 4 + 1), *o = out;
	uint32_t code;
	size_t n;

	for (; *p != '\0'; p += n) {
		n = utf8_char(p, &code);
		if (n > 0 && char_is_safe(code)) {
			memcpy(o, p, n);
			o += n;
		} else if (n <= 1) {
			n = 1;
			o += snprintf(o, 5, "\\x%02x", *p);
		} else {
			o += snprintf(o, n * 4 + 1, "\\u%04x", (unsigned)code);
		}
	}
	return out;
}

char *
text_utf8(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	char *out = mem_zalloc(strlen(s) * 3 + 1), *o = out;
	uint32_t code;
	size_t n;

	for (; *p != '\0'; p += n) {
		n = utf8_char(p, &code);
		if (n > 0) {
			memcpy(o, p, n);
			o += n;
		} else {
			n = 1;
			memcpy(o, "\xef\xbf\xbd", 3);
			o += 3;
		}
	}
	return out;
}

size_t
text_width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

char *
text_time(int64_t ns)
{
	time_t s = (time_t)(ns / NS_PER_S);
	char day[32];
	struct tm tm;

	if (ns <= 0 || gmtime_r(&s, &tm) == NULL ||
	    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return NULL;
	return mem_printf("%s.%09dZ", day, (int)(ns % NS_PER_S));
}

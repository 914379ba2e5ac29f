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

#define DAY INT64_C(86400)

char *
text_span(int64_t ns)
{
	int64_t s = ns / NS_PER_S, min = s / 60, h = min / 60, d = s / DAY;

	if (ns < NS_PER_S)
		return mem_printf("%d ms", (int)(ns / (NS_PER_S / 1000)));
	if (s < 60)
		return mem_printf("%d s", (int)s);
	if (min < 60)
		return s % 60 != 0 && min < 10
		    ? mem_printf("%d min %d s", (int)min, (int)(s % 60))
		    : mem_printf("%d min", (int)min);
	if (h < 48)
		return min % 60 != 0 && h < 10
		    ? mem_printf("%d h %d min", (int)h, (int)(min % 60))
		    : mem_printf("%d h", (int)h);
	return d < 730 ? mem_printf("%d d", (int)d) : mem_printf("%d y", (int)(d / 365));
}

char *
text_ago(int64_t ns)
{
	AUTO_FREE char *span = NULL;

	if (ns < NS_PER_S)
		return mem_strdup("now");
	/* the larger of two units is enough */
	if (ns >= 60 * NS_PER_S && ns < 10 * 60 * NS_PER_S)
		ns -= ns % (60 * NS_PER_S);
	else if (ns >= 3600 * NS_PER_S && ns < 36000 * NS_PER_S)
		ns -= ns % (3600 * NS_PER_S);
	span = text_span(ns);
	return mem_printf("%s ago", span);
}

char *
text_bytes(uint64_t n)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)n;
	size_t i;

	for (i = 0; v >= 1024 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1024;
	return mem_printf("%.*f %s", i > 0 && v < 9.95 ? 1 : 0, v, units[i]);
}

char *
text_cut(const char *s, size_t columns)
{
	size_t left = columns;
	const char *p = s;

	if (text_width(s) <= columns)
		return mem_strdup(s);
	while (left > 1 || ((unsigned char)*p & 0xc0) == 0x80) {
		left -= ((unsigned char)*p & 0xc0) != 0x80;
		p++;
	}
	return mem_printf("%.*s\xe2\x80\xa6", (int)(p - s), s);
}

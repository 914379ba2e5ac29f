/*
 * JSON output through jansson, which refuses what is not UTF-8: text is made
 * good first. What it prints is printable ASCII, whatever the terminal makes of
 * other characters.
 */
#include "client/json.h"

#include "base/mem.h"
#include "client/text.h"

json_t *
js_text(const char *s)
{
	AUTO_FREE char *good = s == NULL ? NULL : text_utf8(s);

	return good == NULL ? json_null() : json_string(good);
}

json_t *
js_name(const char *s)
{
	return js_text(s == NULL || *s == '\0' ? NULL : s);
}

json_t *
js_num(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

json_t *
js_time(int64_t ns)
{
	AUTO_FREE char *s = text_time(ns);

	return s == NULL ? json_null() : json_string(s);
}

/* What is left to escape: DEL, which jansson takes for an ASCII character like others. */
static int
print_some(const char *p, size_t len, void *arg)
{
	const char *end = p + len;
	FILE *out = arg;

	for (; p < end; p++) {
		if (*p == '\x7f')
			(void)fputs("\\u007f", out);
		else
			(void)fputc(*p, out);
	}
	return 0;
}

static void
print_value(const json_t *value, FILE *out, size_t flags)
{
	(void)json_dump_callback(
	    value, print_some, out, flags | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	(void)fputc('\n', out);
}

static void
print_line(const json_t *value, FILE *out)
{
	print_value(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

void
js_print(const struct ctl *ctl, json_t *value)
{
	json_t *one;
	size_t i;

	if (ctl->format != FORMAT_JSONL) {
		print_value(value, ctl->out, JSON_INDENT(2));
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, one) print_line(one, ctl->out);
	} else {
		print_line(value, ctl->out);
	}
	json_decref(value);
}

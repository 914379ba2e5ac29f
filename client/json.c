/*
 * JSON output through jansson, which refuses what is not UTF-8: text is made
 * good first.
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

static void
line_print(const json_t *value, FILE *out)
{
	(void)json_dumpf(
	    value, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
	(void)fputc('\n', out);
}

void
js_print(const struct ctl *ctl, json_t *value)
{
	json_t *one;
	size_t i;

	if (ctl->format != FORMAT_JSONL) {
		(void)json_dumpf(
		    value, ctl->out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
		(void)fputc('\n', ctl->out);
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, one) line_print(one, ctl->out);
	} else {
		line_print(value, ctl->out);
	}
	json_decref(value);
}

/*
 * The TOML subset; see options_toml.h.
 *
 * A cursor walks over the text once. Nothing is trusted: the text may hold
 * NULs, end anywhere, and every string we hand out is ours, unescaped, without
 * a NUL inside.
 */
#include "oci/options_toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct toml {
	const char *p, *end;
	unsigned line;
	struct err *err;
};

static int
toml_fail(struct toml *t, const char *what)
{
	return err_setx(t->err, EINVAL, "line %u: %s", t->line, what);
}

static int
toml_peek(const struct toml *t)
{
	return t->p < t->end ? (unsigned char)*t->p : -1;
}

static void
toml_skip_blanks(struct toml *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
		t->p++;
}

static void
toml_skip_line(struct toml *t)
{
	while (t->p < t->end && *t->p != '\n')
		t->p++;
}

/* After a value only a comment may follow; eats the newline. */
static int
toml_end_line(struct toml *t)
{
	toml_skip_blanks(t);
	if (toml_peek(t) == '#')
		toml_skip_line(t);
	if (toml_peek(t) == '\r')
		t->p++;
	if (t->p == t->end)
		return 0;
	if (*t->p != '\n')
		return toml_fail(t, "something behind the value");
	t->p++;
	t->line++;
	return 0;
}

static bool
toml_at_triple(const struct toml *t)
{
	return t->end - t->p >= 3 && t->p[0] == t->p[1] && t->p[1] == t->p[2];
}

/* A multi-line string, standing on its first quote: skipped. */
static int
toml_skip_triple(struct toml *t)
{
	char quote = *t->p;

	for (t->p += 3; t->p < t->end; t->p++) {
		if (*t->p == '\n')
			t->line++;
		else if (*t->p == '\\' && quote == '"' && t->p + 1 < t->end)
			t->p++;
		else if (*t->p == quote && toml_at_triple(t)) {
			/* up to two quotes more belong to the string */
			while (toml_peek(t) == quote)
				t->p++;
			return 0;
		}
	}
	return toml_fail(t, "a string that does not end");
}

/* Append a code point as UTF-8. Surrogates and NUL are refused by the caller. */
static size_t
toml_put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* One escape, standing behind its backslash. Writes at most 4 bytes. */
static int
toml_escape(struct toml *t, char *out, size_t *n)
{
	static const char from[] = "btnfre\"\\", to[] = "\b\t\n\f\r\033\"\\";
	const char *known;
	int c = toml_peek(t);
	unsigned digits;
	uint32_t code = 0;

	if (c > 0 && (known = strchr(from, c)) != NULL) {
		t->p++;
		out[(*n)++] = to[known - from];
		return 0;
	}
	if (c != 'u' && c != 'U')
		return toml_fail(t, "an escape that is none");
	t->p++;
	for (digits = c == 'u' ? 4 : 8; digits > 0; digits--, t->p++) {
		static const char hex[] = "0123456789abcdef";
		int h = toml_peek(t);
		const char *at = h <= 0 ? NULL : strchr(hex, tolower(h));

		if (at == NULL)
			return toml_fail(t, "an escape that is none");
		code = code << 4 | (uint32_t)(at - hex);
	}
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return toml_fail(t, "an escape that is no character");
	*n += toml_put_utf8(out + *n, code);
	return 0;
}

/* A one-line string, standing on its quote. *out is malloc'ed. */
static int
toml_string(struct toml *t, char **out)
{
	char quote = *t->p++;
	AUTO_FREE char *buf = mem_zalloc((size_t)(t->end - t->p) + 5);
	size_t n = 0;

	for (;;) {
		int c = toml_peek(t);

		if (c == -1 || c == '\n')
			return toml_fail(t, "a string that does not end");
		t->p++;
		if (c == quote)
			break;
		if (c == 0)
			return toml_fail(t, "a NUL in a string");
		if (c == '\\' && quote == '"') {
			if (toml_escape(t, buf, &n) < 0)
				return -EINVAL;
			continue;
		}
		buf[n++] = (char)c;
	}
	buf[n] = '\0';
	*out = steal_ptr(&buf);
	return 0;
}

/* An array or inline table, standing on its bracket: skipped. */
static int
toml_skip_brackets(struct toml *t)
{
	unsigned depth = 0;
	int rc;

	while (t->p < t->end) {
		char c = *t->p;

		if (c == '"' || c == '\'') {
			AUTO_FREE char *s = NULL;

			rc = toml_at_triple(t) ? toml_skip_triple(t) : toml_string(t, &s);
			if (rc < 0)
				return rc;
			continue;
		}
		if (c == '#') {
			toml_skip_line(t);
			continue;
		}
		if (c == '\n')
			t->line++;
		t->p++;
		if (c == '[' || c == '{')
			depth++;
		if ((c == ']' || c == '}') && --depth == 0)
			return 0;
	}
	return toml_fail(t, "a bracket that is not closed");
}

/* A bare word: boolean, integer, or something else without meaning for us. */
static int
toml_word(struct toml *t, struct toml_value *v)
{
	char word[80], digits[80];
	size_t n = 0, d = 0, i;
	char *stop;

	while (t->p < t->end && strchr(" \t\r\n#", *t->p) == NULL) {
		if (!isgraph((unsigned char)*t->p) || n + 1 >= sizeof word)
			return toml_fail(t, "a value that is none");
		word[n++] = *t->p++;
	}
	word[n] = '\0';
	if (n == 0)
		return toml_fail(t, "no value");
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
		v->kind = TOML_BOOL;
		v->boolean = word[0] == 't';
		return 0;
	}
	if (strchr("+-0123456789in", word[0]) == NULL)
		return toml_fail(t, "a value that is none");
	for (i = 0; i < n; i++) {
		if (word[i] != '_')
			digits[d++] = word[i];
	}
	digits[d] = '\0';
	errno = 0;
	v->integer = strtoll(digits, &stop, 10);
	if (*stop == '\0' && stop != digits && errno == 0)
		v->kind = TOML_INT;
	return 0;
}

static int
toml_value_read(struct toml *t, struct toml_value *v, char **owned)
{
	int rc;

	*v = (struct toml_value){.kind = TOML_OTHER};
	switch (toml_peek(t)) {
	case '"':
	case '\'':
		if (toml_at_triple(t))
			return toml_skip_triple(t);
		rc = toml_string(t, owned);
		if (rc < 0)
			return rc;
		v->kind = TOML_STRING;
		v->string = *owned;
		return 0;
	case '[':
	case '{': return toml_skip_brackets(t);
	}
	return toml_word(t, v);
}

/*
 * A key up to its '='. Dotted keys name something in a table: they are read,
 * joined with a dot, so that no name of ours can equal one.
 */
static int
toml_key(struct toml *t, char **out)
{
	AUTO_FREE char *key = mem_strdup("");

	for (;;) {
		AUTO_FREE char *part = NULL;
		char *joined;

		toml_skip_blanks(t);
		if (toml_peek(t) == '"' || toml_peek(t) == '\'') {
			if (toml_string(t, &part) < 0)
				return -EINVAL;
		} else {
			const char *from = t->p;

			while (isalnum(toml_peek(t)) || toml_peek(t) == '_' ||
			    toml_peek(t) == '-')
				t->p++;
			if (t->p == from)
				return toml_fail(t, "not a key");
			part = mem_zalloc((size_t)(t->p - from) + 1);
			memcpy(part, from, (size_t)(t->p - from));
		}
		joined = mem_printf("%s%s", key, part);
		free(key);
		key = joined;
		toml_skip_blanks(t);
		if (toml_peek(t) == '.') {
			joined = mem_printf("%s.", key);
			free(key);
			key = joined;
			t->p++;
			continue;
		}
		if (toml_peek(t) != '=')
			return toml_fail(t, "a key without '='");
		t->p++;
		*out = steal_ptr(&key);
		return 0;
	}
}

int
toml_read(const char *text, size_t len, toml_cb cb, void *arg, struct err *err)
{
	struct toml t = {.p = text, .end = text + len, .line = 1, .err = err};
	bool in_table = false;
	int rc;

	while (t.p < t.end) {
		AUTO_FREE char *key = NULL, *owned = NULL;
		struct toml_value value;
		int c;

		toml_skip_blanks(&t);
		c = toml_peek(&t);
		if (c == '[') {
			in_table = true;
			rc = toml_skip_brackets(&t);
		} else if (c == -1 || c == '\n' || c == '\r' || c == '#') {
			rc = 0;
		} else {
			rc = toml_key(&t, &key);
			toml_skip_blanks(&t);
			if (rc == 0)
				rc = toml_value_read(&t, &value, &owned);
			if (rc == 0 && !in_table)
				rc = cb(key, &value, arg, err);
		}
		if (rc == 0)
			rc = toml_end_line(&t);
		if (rc < 0)
			return rc;
	}
	return 0;
}

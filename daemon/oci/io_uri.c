/*
 * Stdio URIs. A path without a scheme is taken as it is, percent signs and all;
 * with one it is decoded as a URI is. Query parameters become arguments in the order
 * of the URI; of a repeated key only the first counts.
 */
#include "oci/io_uri.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* len bytes, decoded; in a query '+' is a blank. NULL if they are malformed. */
static char *
uri_decode(const char *p, size_t len, bool query)
{
	AUTO_FREE char *out = mem_zalloc(len + 1);
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		int hi, lo;

		if (p[i] != '%') {
			out[n++] = (char)(query && p[i] == '+' ? ' ' : p[i]);
			continue;
		}
		hi = i + 2 < len ? hex_digit(p[i + 1]) : -1;
		lo = i + 2 < len ? hex_digit(p[i + 2]) : -1;
		if (hi < 0 || lo < 0 || hi * 16 + lo == 0)
			return NULL;
		out[n++] = (char)(hi * 16 + lo);
		i += 2;
	}
	return steal_ptr(&out);
}

static bool
query_has(const struct strv *args, const char *key)
{
	size_t i;

	for (i = 0; i < args->n; i += 2) {
		if (strcmp(args->v[i], key) == 0)
			return true;
	}
	return false;
}

/* "k=v&k2=v2" */
static int
query_parse(const char *p, struct strv *args)
{
	while (*p != '\0') {
		size_t len = strcspn(p, "&#"), eq = 0;
		AUTO_FREE char *key = NULL, *value = NULL;

		while (eq < len && p[eq] != '=')
			eq++;
		key = uri_decode(p, eq, true);
		value = eq < len ? uri_decode(p + eq + 1, len - eq - 1, true)
				 : mem_strdup("");
		if (key == NULL || value == NULL)
			return -EINVAL;
		if (len > 0 && !query_has(args, key)) {
			strv_add(args, key);
			strv_add(args, value);
		}
		p += len;
		if (*p == '#')
			break;
		if (*p == '&')
			p++;
	}
	return 0;
}

static const struct {
	const char *name;
	enum uri_kind kind;
	bool must_ready;
} schemes[] = {
    {"fifo:", URI_PATH, false},
    {"file:", URI_FILE, false},
    {"binary:", URI_BINARY, false},
    {"binary-v2:", URI_BINARY, true},
};

int
io_uri_parse(const char *text, struct io_uri *out, struct err *err)
{
	struct io_uri uri = {.kind = URI_NONE};
	const char *p = text;
	size_t i, len;

	if (text[0] == '\0' || text[0] == '/' || text[strcspn(text, ":/?#")] != ':') {
		uri.kind = text[0] == '\0' ? URI_NONE : URI_PATH;
		uri.path = mem_strdup(text);
		*out = uri;
		return 0;
	}
	if (strlen(text) > IO_URI_MAX)
		return err_setx(err, EINVAL,
		    "stdio URI '%.64s...' of %zu bytes, more than %u", text, strlen(text),
		    IO_URI_MAX);
	for (i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncmp(text, schemes[i].name, strlen(schemes[i].name)) == 0)
			break;
	}
	if (i == ARRAY_LEN(schemes))
		return err_setx(err, EINVAL, "stdio URI '%s': unknown scheme", text);
	uri.kind = schemes[i].kind;
	uri.must_ready = schemes[i].must_ready;
	p += strlen(schemes[i].name);
	if (strncmp(p, "//", 2) == 0)
		p += 2;
	len = strcspn(p, "?#");
	if (p[0] == '/')
		uri.path = uri_decode(p, len, false);
	if (uri.path == NULL ||
	    (p[len] == '?' && query_parse(p + len + 1, &uri.args) < 0)) {
		io_uri_fini(&uri);
		return err_setx(err, EINVAL,
		    "stdio URI '%s' has no absolute path or is malformed", text);
	}
	*out = uri;
	return 0;
}

void
io_uri_fini(struct io_uri *uri)
{
	free(uri->path);
	uri->path = NULL;
	strv_fini(&uri->args);
}

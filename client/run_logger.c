/*
 * See run_logger.h. podshim-logger(1) says what the keys mean; here only those
 * that lead to the log matter, and everything else is passed on.
 */
#include "client/run_logger.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/run_shim.h"
#include "oci/io_uri.h"

#define LOGGER "podshim-logger"

/* --- for run --------------------------------------------------------------------- */

/* Append what URIs take as it is; %XX for the rest. */
static void
uri_append(char **uri, const char *p, size_t len)
{
	AUTO_FREE char *safe = mem_zalloc(3 * len + 1);
	size_t i, n = 0;
	char *whole;

	for (i = 0; i < len; i++) {
		if (isalnum((unsigned char)p[i]) || strchr("/-._~", p[i]) != NULL)
			safe[n++] = p[i];
		else
			n += (size_t)snprintf(safe + n, 4, "%%%02X", (unsigned char)p[i]);
	}
	whole = mem_printf("%s%s", *uri, safe);
	free(*uri);
	*uri = whole;
}

static void
uri_append_char(char **uri, char c)
{
	char *whole = mem_printf("%s%c", *uri, c);

	free(*uri);
	*uri = whole;
}

/* Is there a later one with the same key? */
static bool
word_is_overruled(char *const *word)
{
	size_t len = strcspn(*word, "=") + 1;
	char *const *later;

	for (later = word + 1; *later != NULL; later++) {
		if (strncmp(*word, *later, len) == 0)
			return true;
	}
	return false;
}

int
run_logger_uri(char *const *words, char **uri, struct err *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = mem_strdup("binary-v2://");
	bool first = true;
	int rc = run_sibling(LOGGER, &path, err);

	if (rc < 0)
		return rc;
	uri_append(&text, path, strlen(path));
	for (; *words != NULL; words++) {
		size_t len = strcspn(*words, "=");

		if (word_is_overruled(words))
			continue;
		uri_append_char(&text, first ? '?' : '&');
		uri_append(&text, *words, len);
		uri_append_char(&text, '=');
		uri_append(&text, *words + len + 1, strlen(*words + len + 1));
		first = false;
	}
	*uri = steal_ptr(&text);
	return 0;
}

int
run_logger_check(char *const *words, struct err *err)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_FREE char *text = NULL;
	char *const no_env[] = {NULL};

	strv_add(&argv, LOGGER);
	strv_add(&argv, "--check");
	for (; *words != NULL; words++) {
		AUTO_FREE char *key = mem_strdup(*words);
		char *value = strchr(key, '=');

		if (value == NULL)
			return err_setx(
			    err, EINVAL, "--log-opt '%s' is not KEY=VALUE", *words);
		*value++ = '\0';
		if (word_is_overruled(words))
			continue;
		strv_add(&argv, key);
		strv_add(&argv, value);
	}
	return run_program(LOGGER, "/", argv.v, no_env, &text, err);
}

/* --- for those who look for it -------------------------------------------------------- */

static const char *
uri_arg(const struct io_uri *uri, const char *key)
{
	size_t i;

	for (i = 0; i + 1 < uri->args.n; i += 2) {
		if (strcmp(uri->args.v[i], key) == 0)
			return uri->args.v[i + 1];
	}
	return NULL;
}

static bool
format_has_no_file(const char *format)
{
	return format != NULL &&
	    (strcmp(format, "none") == 0 || strcmp(format, "journald") == 0);
}

bool
logged_of_uri(const char *text, const char *id, const char *ns, struct logged *out)
{
	const char *slash, *format, *named, *path;
	struct io_uri uri = {0};

	*out = (struct logged){0};
	if (text == NULL || io_uri_parse(text, &uri, NULL) < 0)
		return false;
	slash = uri.path == NULL ? NULL : strrchr(uri.path, '/');
	if (uri.kind == URI_FILE) {
		out->path = mem_strdup(uri.path);
		out->plain = true;
	} else if (uri.kind == URI_BINARY && slash != NULL &&
	    strcmp(slash + 1, LOGGER) == 0) {
		named = uri_arg(&uri, "id");
		format = uri_arg(&uri, "format");
		path = uri_arg(&uri, "path");
		if (path != NULL && !format_has_no_file(format)) {
			const struct mem_word words[] = {
			    {"{id}", named != NULL ? named : id}, {"{namespace}", ns}};

			out->path = mem_expand(path, words, ARRAY_LEN(words));
		}
		out->attach = mem_strdup(uri_arg(&uri, "attach"));
		out->plain = format != NULL && strcmp(format, "plain") == 0;
	}
	io_uri_fini(&uri);
	return out->path != NULL || out->attach != NULL;
}

void
logged_fini(struct logged *l)
{
	free(l->path);
	free(l->attach);
	*l = (struct logged){0};
}

/*
 * Allocation that does not return NULL; see mem.h for who may use it.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define KEEP_FREE_BYTES (8 * 1024)

static bool thp_is_ours; /* to allow again: nobody before us had forbidden it */

void
mem_stay_small(void)
{
	/* a huge page is more than either process ever needs */
	thp_is_ours = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0 &&
	    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0;
#ifdef __GLIBC__
	(void)mallopt(M_TRIM_THRESHOLD, KEEP_FREE_BYTES);
	(void)mallopt(M_TOP_PAD, KEEP_FREE_BYTES / 2);
#endif
}

void
mem_stay_small_not_inherited(void)
{
	if (thp_is_ours)
		(void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

void *
mem_zalloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (p == NULL)
		abort();
	return p;
}

void *
mem_realloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (q == NULL)
		abort();
	return q;
}

void *
mem_dup(const void *p, size_t len)
{
	void *q = mem_zalloc(len);

	if (len > 0)
		memcpy(q, p, len);
	return q;
}

char *
mem_strdup(const char *s)
{
	return s == NULL ? NULL : mem_dup(s, strlen(s) + 1);
}

char *
mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int rc;

	va_start(ap, fmt);
	rc = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (rc < 0)
		abort();
	return s;
}

char *
mem_expand(const char *text, const struct mem_word *words, size_t n)
{
	char *done = mem_strdup(""), *whole;
	const char *p = text, *piece;
	size_t i, len, skip;

	for (; *p != '\0'; p += skip) {
		piece = p;
		len = skip = 1 + strcspn(p + 1, (const char[]){words[0].word[0], '\0'});
		for (i = 0; i < n; i++) {
			if (strncmp(p, words[i].word, strlen(words[i].word)) != 0)
				continue;
			piece = words[i].value;
			len = strlen(piece);
			skip = strlen(words[i].word);
		}
		whole = mem_printf("%s%.*s", done, (int)len, piece);
		free(done);
		done = whole;
	}
	return done;
}

static void
strv_take(struct strv *sv, char *s)
{
	sv->v = mem_realloc(sv->v, (sv->n + 2) * sizeof *sv->v);
	sv->v[sv->n++] = s;
	sv->v[sv->n] = NULL;
}

void
strv_add(struct strv *sv, const char *s)
{
	strv_take(sv, mem_strdup(s));
}

void
strv_addf(struct strv *sv, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int rc;

	va_start(ap, fmt);
	rc = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (rc < 0)
		abort();
	strv_take(sv, s);
}

void
strv_fini(struct strv *sv)
{
	size_t i;

	for (i = 0; i < sv->n; i++)
		free(sv->v[i]);
	free(sv->v);
	sv->v = NULL;
	sv->n = 0;
}

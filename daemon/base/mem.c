/*
 * Allocation that does not return NULL; see mem.h for who may use it.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define KEEP_FREE_BYTES (8 * 1024)

void
mem_stay_small(void)
{
	/* a huge page is more than either process ever needs */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
#ifdef __GLIBC__
	(void)mallopt(M_TRIM_THRESHOLD, KEEP_FREE_BYTES);
	(void)mallopt(M_TOP_PAD, KEEP_FREE_BYTES / 2);
#endif
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

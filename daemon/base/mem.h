/*
 * Scope-bound ownership, and allocation for programs that may die.
 *
 * AUTO_FREE and friends release at the end of the scope; steal_ptr() hands
 * the object on. mem_*() never return NULL: they abort, which is right for the worker (its keeper
 * starts the next one), the launcher and the client. The keeper must not call
 * them: it uses malloc() and answers for NULL.
 */
#ifndef PODSHIM_BASE_MEM_H
#define PODSHIM_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

static inline void
auto_free_(void *p)
{
	free(*(void **)p);
}

#define AUTO_FREE __attribute__((cleanup(auto_free_)))

/* Take the pointer out of a scope-bound variable. */
#define steal_ptr(pp)                                                                    \
	({                                                                               \
		__typeof__(*(pp)) stolen_ = *(pp);                                       \
		*(pp) = NULL;                                                            \
		stolen_;                                                                 \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/*
 * For processes of which a machine has hundreds: what is freed goes back to
 * the kernel at once instead of staying on the heap (128 KB by default), and there
 * are no huge pages. To be called first.
 */
void mem_stay_small(void);
/*
 * In a child before its exec: huge pages are as they were. They are inherited (prctl(2)
 * PR_SET_THP_DISABLE), down to the containers, and those may live on them. Async-signal-safe.
 */
void mem_stay_small_not_inherited(void);

void *mem_zalloc(size_t size);
void *mem_realloc(void *p, size_t size);
void *mem_dup(const void *p, size_t len);
/* NULL stays NULL. */
char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A copy of text in which each of the words stands for its value; malloc'ed. Values are
 * not looked into: they may hold words. Words begin with the same character.
 */
struct mem_word {
	const char *word, *value;
};
char *mem_expand(const char *text, const struct mem_word *words, size_t n);

/* A NULL-terminated list of owned strings, for argv and environments. */
struct strv {
	char **v; /* NULL while empty */
	size_t n;
};

void strv_add(struct strv *sv, const char *s);
void strv_addf(struct strv *sv, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void strv_fini(struct strv *sv);

static inline void
auto_strv_(struct strv *sv)
{
	strv_fini(sv);
}

#define AUTO_STRV __attribute__((cleanup(auto_strv_)))

#endif

/*
 * Errors: a negative errno to act on, and a sentence for a person.
 *
 * A function that can fail takes `struct err *err` last and returns 0 (or a
 * count) or -errno with *err filled. The struct lives on the caller's stack,
 * so reporting an error never allocates. A caller that adds what it was doing
 * uses err_wrap(); the code stays. err may be NULL: the sentence is dropped.
 */
#ifndef PODSHIM_BASE_ERR_H
#define PODSHIM_BASE_ERR_H

#include <stddef.h>

#define ERR_TEXT_MAX 1024

struct err {
	int code; /* positive errno; 0 while nothing failed */
	char text[ERR_TEXT_MAX];
};

#define ERR_INIT ((struct err){0})

/*
 * Fill *err with the sentence and, for code > 0, ": " and strerror(code).
 * Returns -code, for `return err_set(err, errno, "open '%s'", path);`.
 */
int err_set(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same without strerror(): the sentence says it all. */
int err_setx(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put a sentence in front of what *err says. Returns rc unchanged. */
int err_wrap(struct err *err, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/*
 * Names that are nearly the one that was given.
 */
#ifndef PODSHIM_CLIENT_NEAREST_H
#define PODSHIM_CLIENT_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX 3

struct nearest {
	const char *want;
	struct {
		const char *name;
		size_t distance;
	} best[NEAREST_MAX]; /* the nearest first */
	size_t n;
};

/* Letters to insert, drop, replace or swap with the next to get from a to b. */
size_t edit_distance(const char *a, const char *b);
/* Offer a name, borrowed; kept if it is near enough and not there yet. */
void nearest_offer(struct nearest *n, const char *name);
/* ", did you mean 'web'?", malloc'ed; "" if nothing is near. */
char *nearest_text(const struct nearest *n);

#endif

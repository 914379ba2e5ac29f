/*
 * A stream of bytes that both its writer (a container's program) and its
 * reader (the checker) can compute: the i-th byte of a seed. Lost, doubled,
 * torn or foreign bytes all show as a difference.
 */
#ifndef PODSHIM_CRASH_STREAM_H
#define PODSHIM_CRASH_STREAM_H

#include <stddef.h>
#include <stdint.h>

static inline uint8_t
stream_byte(uint32_t seed, uint64_t i)
{
	uint64_t x =
	    (i >> 3) * UINT64_C(0x9e3779b97f4a7c15) + seed * UINT64_C(0xd1b54a32d192ed03);

	x ^= x >> 31;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 29;
	return (uint8_t)(x >> ((i & 7) * 8));
}

static inline void
stream_fill(uint32_t seed, uint64_t from, uint8_t *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = stream_byte(seed, from + i);
}

#endif

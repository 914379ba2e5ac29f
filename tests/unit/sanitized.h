/*
 * SANITIZED is 1 in a build with AddressSanitizer, else 0: its memory is beyond
 * any limit, and each fork is ten times as dear.
 */
#ifndef PODSHIM_TESTS_SANITIZED_H
#define PODSHIM_TESTS_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif

/*
 * A fuzz target is one function. Built with --enable-fuzzing, libFuzzer calls
 * it with inputs of its own making; otherwise replay.c calls it with the saved
 * corpus, as a test of `make check`.
 */
#ifndef PODSHIM_TESTS_FUZZ_H
#define PODSHIM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

/*
 * What containerd, of whatever version, writes to `start`: told apart by its
 * bytes alone. And the answer's bytes, made of an address in the input.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "launcher/bootstrap.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct bootstrap boot;
	AUTO_FREE char *text = NULL;
	AUTO_FREE void *answer = NULL;
	size_t len;

	if (bootstrap_parse(data, size, "c1", "default", size % 2 != 0, &boot, &err) ==
	    0) {
		if (boot.dialect == DIALECT_PLAIN)
			assert(size % 2 == 0);
		bootstrap_fini(&boot);
	} else {
		assert(err.code > 0 && err.text[0] != '\0');
	}
	text = mem_zalloc(size + 1);
	memcpy(text, data, size);
	bootstrap_answer((enum dialect)(size % 3), text, &answer, &len);
	assert(answer != NULL || len == 0);
	return 0;
}

/*
 * Mount options: lines of the input are the options of one mount; the first
 * is its type, the second its source.
 */
#include "fuzz.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "oci/mount.h"

#define WORDS_MAX 64u

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *words[WORDS_MAX] = {"", ""};
	AUTO_FREE char *text = mem_zalloc(size + 1);
	struct err err = ERR_INIT;
	struct mount_spec spec;
	struct mount_flags flags;
	char *save = NULL, *word;
	size_t n = 0;

	memcpy(text, data, size);
	for (word = strtok_r(text, "\n", &save); word != NULL && n < WORDS_MAX;
	     word = strtok_r(NULL, "\n", &save))
		words[n++] = word;
	spec = (struct mount_spec){.type = words[0],
	    .source = words[1],
	    .target = "",
	    .options = words + 2,
	    .n_options = n > 2 ? n - 2 : 0};
	if (mount_parse_options(&spec, &flags, &err) == 0) {
		assert(flags.data != NULL && strlen(flags.data) < 4096);
		mount_flags_fini(&flags);
	} else {
		assert(err.code > 0);
	}
	return 0;
}

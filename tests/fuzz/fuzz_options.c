/*
 * Create's options: the first byte chooses the type, the rest is the Any's
 * value. What decodes must come back the same from its JSON.
 */
#include "fuzz.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "oci/options.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"containerd.runc.v1.Options",
	    "type.googleapis.com/runtimeoptions.v1.Options", "runtimeoptions.v1.Options",
	    "something.Else", "", NULL};
	struct options opts, again;
	struct err err = ERR_INIT;
	AUTO_FREE char *json = NULL;
	AUTO_FREE char *json2 = NULL;
	AUTO_FREE char *text = NULL;

	if (size < 1)
		return 0;
	if (options_decode(types[data[0] % 6], data + 1, size - 1, &opts, &err) == 0) {
		assert(opts.binary_name != NULL);
		json = options_to_json(&opts);
		if (options_from_json(json, &again, &err) == 0) {
			json2 = options_to_json(&again);
			assert(strcmp(json, json2) == 0);
			options_fini(&again);
		}
		options_fini(&opts);
	} else {
		assert(err.code == EINVAL);
	}
	text = mem_zalloc(size);
	memcpy(text, data + 1, size - 1);
	if (options_from_json(text, &opts, &err) == 0)
		options_fini(&opts);
	return 0;
}

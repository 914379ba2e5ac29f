/*
 * What an OCI runtime leaves in its log and prints: the error sentence made
 * of it must be short, valid UTF-8, and never empty.
 */
#include "fuzz.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/status.h"
#include "oci/runtime.h"

static char path[] = "/tmp/fuzz-rtlog.XXXXXX";

static void
cleanup(void)
{
	(void)unlink(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int ready;
	struct err err = ERR_INIT;
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *clean = NULL;

	if (!ready) {
		int fd = mkstemp(path);

		if (fd == -1)
			abort();
		fd_close(&fd);
		(void)atexit(cleanup);
		ready = 1;
	}
	if (file_write(AT_FDCWD, path, data, size, 0600, &err) < 0)
		abort();
	/* an empty log makes it look at what was printed: the same bytes */
	text = runtime_error("OCI runtime create failed",
	    size % 3 == 0 ? "/nonexistent" : path, (const char *)data, size, 0x100);
	assert(text != NULL && text[0] != '\0' && strlen(text) <= 4096);
	clean = mem_strdup(text);
	utf8_sanitize(clean);
	assert(strcmp(clean, text) == 0);
	(void)runtime_error_is_gone(text);
	return 0;
}

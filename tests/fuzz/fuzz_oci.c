/*
 * Bundles and exec specs: JSON that a client of containerd may have written.
 */
#include "fuzz.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/oci.h"

static char dir[] = "/tmp/fuzz-oci.XXXXXX";

static void
cleanup(void)
{
	AUTO_FREE char *path = mem_printf("%s/config.json", dir);

	(void)unlink(path);
	(void)rmdir(dir);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int dirfd = -1;
	struct err err = ERR_INIT;
	struct oci_spec spec;
	AUTO_FREE char *out = NULL;
	AUTO_FREE char *command = NULL;
	size_t out_len;

	if (dirfd == -1) {
		if (mkdtemp(dir) == NULL)
			abort();
		(void)atexit(cleanup);
		dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert(dirfd != -1);
	}
	if (oci_exec_process(data, size, size % 2 != 0, &out, &out_len, &command, &err) ==
	    0)
		assert(memchr(out, '{', out_len) != NULL && command != NULL);
	else
		assert(err.code > 0 && err.text[0] != '\0');
	if (file_write(dirfd, "config.json", data, size, 0600, &err) < 0)
		abort();
	if (oci_spec_load(dir, &spec, &err) == 0)
		oci_spec_fini(&spec);
	return 0;
}

/*
 * podshim.conf: whatever an administrator leaves there, the worker starts.
 */
#include "fuzz.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "worker/conf.h"

static char path[] = "/tmp/fuzz-conf.XXXXXX";

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
	struct conf conf;

	if (!ready) {
		int fd = mkstemp(path);

		if (fd == -1)
			abort();
		fd_close(&fd);
		(void)atexit(cleanup);
		(void)setenv("PODSHIM_CONFIG", path, 1);
		log_init("fuzz", "", "/dev/null");
		ready = 1;
	}
	if (file_write(AT_FDCWD, path, data, size, 0600, &err) < 0)
		abort();
	conf_load(&conf);
	assert(conf.runtime_timeout_us > 0);
	return 0;
}

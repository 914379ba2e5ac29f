/*
 * Replays a fuzz target's corpus: every file of tests/fuzz/corpus/<target>,
 * and each of them again with one byte cut off or changed, which costs
 * little and catches what a saved corpus alone does not.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

static void
replay_one(const char *bytes, size_t len)
{
	/* exact heap copies, so that ASan sees a read behind the end */
	uint8_t *copy;
	size_t i;

	for (i = 0; i <= len; i++) {
		copy = mem_dup(bytes, i);
		(void)LLVMFuzzerTestOneInput(copy, i);
		free(copy);
	}
	for (i = 0; i < len; i++) {
		copy = mem_dup(bytes, len);
		copy[i] ^= 0x41;
		(void)LLVMFuzzerTestOneInput(copy, len);
		copy[i] = 0xff;
		(void)LLVMFuzzerTestOneInput(copy, len);
		free(copy);
	}
}

int
main(int argc, char **argv)
{
	const char *name =
	    strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *srcdir = getenv("srcdir") != NULL ? getenv("srcdir") : ".";
	AUTO_FREE char *dir = mem_printf("%s/tests/fuzz/corpus/%s", srcdir, name);
	struct dirent *de;
	unsigned n = 0;
	DIR *d;

	(void)argc;
	d = opendir(dir);
	if (d == NULL) {
		printf("1..0 # SKIP no corpus in %s\n", dir);
		return 0;
	}
	while ((de = readdir(d)) != NULL) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, de->d_name);
		AUTO_FREE char *bytes = NULL;
		struct err err = ERR_INIT;
		size_t len;

		if (de->d_name[0] == '.')
			continue;
		if (file_read(AT_FDCWD, path, 1 << 20, &bytes, &len, &err) < 0) {
			printf("not ok %u - %s\n", ++n, err.text);
			continue;
		}
		replay_one(bytes, len);
		printf("ok %u - %s\n", ++n, de->d_name);
	}
	(void)closedir(d);
	printf("1..%u\n", n);
	return n == 0;
}

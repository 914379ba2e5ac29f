/*
 * burst BLOCK COUNT: waits for a byte (or the end) of standard input, then writes
 * COUNT blocks of BLOCK bytes to standard output, one write(2) each. Text in lines of 100
 * bytes. It is the only program of its container, so it is linked statically.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	size_t len = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	char *block = malloc(len + 1), go;

	if (!block || len == 0)
		return 2;
	memset(block, 'x', len);
	for (size_t i = 99; i < len; i += 100)
		block[i] = '\n';
	if (read(0, &go, 1) < 0)
		return 1;
	while (count-- > 0) {
		for (size_t done = 0; done < len;) {
			ssize_t n = write(1, block + done, len - done);

			if (n == -1 && errno != EINTR)
				return 1;
			if (n > 0)
				done += (size_t)n;
		}
	}
	return 0;
}

/*
 * Reading cgroup files; see metrics.h. The kernel makes their text when they
 * are read, so one read of a whole file is one consistent answer; and it is
 * the kernel's own work that costs, not ours.
 */
#include "worker/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

char *
metrics_text(int dirfd, const char *name)
{
	static char buf[METRICS_TEXT_MAX];
	AUTO_CLOSE int fd = -1;
	size_t len = 0;
	ssize_t n;

	if (dirfd < 0)
		return NULL;
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return NULL;
	while (len < sizeof buf - 1) {
		n = read(fd, buf + len, sizeof buf - 1 - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return NULL;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len == sizeof buf - 1) {
		while (len > 0 && buf[len - 1] != '\n')
			len--;
	}
	buf[len] = '\0';
	return buf;
}

uint64_t
metrics_parse(const char *text)
{
	return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

bool
metrics_number(int dirfd, const char *name, uint64_t *out)
{
	const char *text = metrics_text(dirfd, name);

	if (text == NULL)
		return false;
	*out = metrics_parse(text);
	return true;
}

char *
metrics_line(char **text)
{
	char *line = *text, *end;

	if (*line == '\0')
		return NULL;
	end = strchrnul(line, '\n');
	*text = *end == '\0' ? end : end + 1;
	*end = '\0';
	return line;
}

char *
metrics_word(char **line)
{
	char *word = *line + strspn(*line, " \t"), *end;

	if (*word == '\0')
		return NULL;
	end = word + strcspn(word, " \t");
	*line = *end == '\0' ? end : end + 1;
	*end = '\0';
	return word;
}

void
metrics_keys(char *text, const struct metrics_key *keys, size_t n, void *out)
{
	char *line, *key, *value;
	size_t next = 0, tried, i;

	while ((line = metrics_line(&text)) != NULL) {
		uint64_t number;

		key = metrics_word(&line);
		value = key == NULL ? NULL : metrics_word(&line);
		if (value == NULL)
			continue;
		/* the table is in the kernel's order, more or less */
		for (tried = 0; tried < n; tried++) {
			i = (next + tried) % n;
			if (strcmp(keys[i].key, key) != 0)
				continue;
			number = metrics_parse(value);
			memcpy((char *)out + keys[i].offset, &number, sizeof number);
			next = i + 1;
			break;
		}
	}
}

bool
metrics_key(int dirfd, const char *name, const char *key, uint64_t *out)
{
	char *text = metrics_text(dirfd, name), *line;

	while (text != NULL && (line = metrics_line(&text)) != NULL) {
		const char *k = metrics_word(&line),
			   *v = k == NULL ? NULL : metrics_word(&line);

		if (v == NULL || strcmp(k, key) != 0)
			continue;
		*out = metrics_parse(v);
		return true;
	}
	return false;
}

/* --- the host ------------------------------------------------------------------ */

#define METRICS_SIZES_MAX 16u

/* hugepages-2048kB → 2MB, as the kernel names its files. */
static char *
metrics_size_name(uint64_t kib)
{
	if (kib >= 1024 * 1024)
		return mem_printf("%lluGB", (unsigned long long)(kib / (1024 * 1024)));
	if (kib >= 1024)
		return mem_printf("%lluMB", (unsigned long long)(kib / 1024));
	return mem_printf("%lluKB", (unsigned long long)kib);
}

const struct metrics_host *
metrics_host(void)
{
	static const char *sizes[METRICS_SIZES_MAX];
	static struct metrics_host host;
	struct dirent *de;
	DIR *d;

	if (host.diskstats != NULL)
		return &host;
	host.diskstats = "/proc/diskstats";
	host.page_sizes = sizes;
	d = opendir("/sys/kernel/mm/hugepages");
	while (d != NULL && (de = readdir(d)) != NULL) {
		uint64_t kib;

		if (strncmp(de->d_name, "hugepages-", 10) != 0 ||
		    host.n_page_sizes == METRICS_SIZES_MAX)
			continue;
		kib = strtoull(de->d_name + 10, NULL, 10);
		sizes[host.n_page_sizes++] = metrics_size_name(kib);
	}
	if (d != NULL)
		(void)closedir(d);
	return &host;
}

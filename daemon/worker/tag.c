/*
 * See tag.h. Values come from requests; one that holds a newline is left out
 * rather than quoted, which costs a rebuilt row that field.
 */
#include "worker/tag.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void
tag_add(char *out, size_t *len, char name, const char *value)
{
	size_t n = value == NULL ? 0 : strlen(value);

	if (n == 0 || strchr(value, '\n') != NULL || *len + n + 3 > MSG_TAG_MAX)
		return;
	out[(*len)++] = '\n';
	out[(*len)++] = name;
	out[(*len)++] = '=';
	memcpy(out + *len, value, n);
	*len += n;
}

size_t
tag_write(char out[MSG_TAG_MAX], const struct tag *tag)
{
	size_t len = 0;

	out[len++] = (char)tag->kind;
	if (tag->terminal)
		out[len++] = 't';
	if (tag->mounted)
		out[len++] = 'm';
	tag_add(out, &len, 'c', tag->container);
	tag_add(out, &len, 'e', tag->exec_id);
	tag_add(out, &len, 'b', tag->bundle);
	tag_add(out, &len, '1', tag->stdout_path);
	tag_add(out, &len, '0', tag->stdin_path);
	tag_add(out, &len, '2', tag->stderr_path);
	return len;
}

static enum tag_kind
tag_kind_of(char c)
{
	static const char known[] = "csxdkmuoDP";

	return c != '\0' && strchr(known, c) != NULL ? (enum tag_kind)c : TAG_UNKNOWN;
}

bool
tag_read(const struct msg_bytes *bytes, struct tag *out, char **copy)
{
	char *text = mem_zalloc(bytes->len + 1), *line, *save = NULL;

	if (bytes->len > 0)
		memcpy(text, bytes->p, bytes->len);
	*copy = text;
	*out = (struct tag){.container = "",
	    .exec_id = "",
	    .bundle = "",
	    .stdin_path = "",
	    .stdout_path = "",
	    .stderr_path = ""};
	line = strtok_r(text, "\n", &save);
	if (line == NULL)
		return false;
	out->kind = tag_kind_of(line[0]);
	out->terminal = strchr(line + 1, 't') != NULL;
	out->mounted = strchr(line + 1, 'm') != NULL;
	while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
		if (line[0] == '\0' || line[1] != '=')
			continue;
		switch (line[0]) {
		case 'c': out->container = line + 2; break;
		case 'e': out->exec_id = line + 2; break;
		case 'b': out->bundle = line + 2; break;
		case '0': out->stdin_path = line + 2; break;
		case '1': out->stdout_path = line + 2; break;
		case '2': out->stderr_path = line + 2; break;
		default: /* of a newer worker */ break;
		}
	}
	return out->kind != TAG_UNKNOWN && out->container[0] != '\0';
}

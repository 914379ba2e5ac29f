/*
 * The group of a container. Nothing else of config.json is looked at.
 */
#include "launcher/group.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define CONFIG_MAX (32u * 1024 * 1024)
#define GROUP_MAX  4096u

/* In the order in which they count. */
static const char *const group_annotations[] = {
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
};

static int
group_of_spec(const json_t *spec, const char *id, char **group, struct err *err)
{
	const json_t *annotations = json_object_get(spec, "annotations"), *value;
	size_t i;

	if (!json_is_object(spec))
		return err_setx(err, EINVAL, "'config.json' is not an object");
	if (annotations != NULL && !json_is_null(annotations) &&
	    !json_is_object(annotations))
		return err_setx(
		    err, EINVAL, "'annotations' in 'config.json' is not an object");
	for (i = 0; i < ARRAY_LEN(group_annotations); i++) {
		value = json_object_get(annotations, group_annotations[i]);
		if (value == NULL)
			continue;
		if (!json_is_string(value))
			return err_setx(err, EINVAL,
			    "annotation '%s' in 'config.json' is not a string",
			    group_annotations[i]);
		if (json_string_length(value) > GROUP_MAX)
			return err_setx(err, EINVAL,
			    "annotation '%s' is longer than %u bytes",
			    group_annotations[i], GROUP_MAX);
		/* the empty group would throw strangers together */
		if (json_string_length(value) == 0)
			continue;
		*group = mem_strdup(json_string_value(value));
		return 0;
	}
	*group = mem_strdup(id);
	return 0;
}

int
group_of_bundle(int bundle_fd, const char *id, char **group, struct err *err)
{
	AUTO_FREE char *text = NULL;
	json_error_t why;
	json_t *spec;
	size_t len;
	int rc;

	rc = file_read(bundle_fd, "config.json", CONFIG_MAX, &text, &len, err);
	if (rc == -ENOENT) {
		*group = mem_strdup(id);
		return 0;
	}
	if (rc < 0)
		return rc;
	spec = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &why);
	if (spec == NULL)
		return err_setx(err, EINVAL,
		    "'config.json' is not valid JSON: line %d: %s", why.line, why.text);
	rc = group_of_spec(spec, id, group, err);
	json_decref(spec);
	return rc;
}

/*
 * podshimctl version: this program's own. What a pod runs is in `list`.
 */
#include "client/ctl.h"

#include <jansson.h>

int
cmd_version(struct ctl *ctl)
{
	json_t *obj;

	if (ctl->format == FORMAT_TABLE) {
		(void)fprintf(ctl->out, "podshimctl %s\n", PACKAGE_VERSION);
		return CTL_OK;
	}
	obj = json_pack("{s:s}", "version", PACKAGE_VERSION);
	(void)json_dumpf(obj, ctl->out, JSON_INDENT(2));
	(void)fputc('\n', ctl->out);
	json_decref(obj);
	return CTL_OK;
}

/*
 * podshimctl version: this program's own. What a pod runs is in `list`.
 */
#include "client/json.h"
#include "client/verbs.h"

static int
cmd_version(struct ctl *ctl)
{
	if (ctl_is_json(ctl))
		js_print(ctl, json_pack("{s:s}", "version", PACKAGE_VERSION));
	else
		(void)fprintf(ctl->out, "podshimctl %s\n", PACKAGE_VERSION);
	return CTL_OK;
}

const struct ctl_verb verb_version = {
    .name = "version",
    .group = GROUP_SELF,
    .args = "",
    .summary = "the version of podshimctl",
    .run = cmd_version,
};

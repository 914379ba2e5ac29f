/*
 * podshimctl dump: the keeper writes what it holds to a file in the pod's
 * directory, and says which. It does so with its worker dead or hung, too.
 */
#include "client/verbs.h"

#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/find.h"
#include "client/json.h"
#include "client/text.h"
#include "ipc/admin.h"

#define DUMP_TIMEOUT_MS 5000

static int
cmd_dump(struct ctl *ctl)
{
	AUTO_CLOSE int dirfd = -1;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *safe = NULL;
	struct err err = ERR_INIT;
	struct pods pods = {0};
	struct found one;
	int rc;

	if (!find_all(ctl, &pods, &rc))
		return rc;
	rc = find_pod(ctl, &pods, ctl->argv[0], &one);
	if (rc == CTL_OK)
		dirfd =
		    open(one.pod->path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	pods_fini(&pods);
	if (rc != CTL_OK)
		return rc;
	if (dirfd == -1)
		return ctl_fail(ctl, "the pod's directory cannot be opened");
	rc = admin_dump(dirfd, DUMP_TIMEOUT_MS, &path, &err);
	if (rc < 0)
		return ctl_fail_as(ctl, ctl_exit_of(rc), "%s", err.text);
	if (ctl_is_json(ctl)) {
		js_print(ctl, json_pack("{s:o}", "dump", js_text(path)));
		return CTL_OK;
	}
	safe = text_safe(path);
	(void)fprintf(ctl->out, "%s\n", safe);
	return CTL_OK;
}

const struct ctl_verb verb_dump = {
    .name = "dump",
    .group = GROUP_EXPLAIN,
    .args = "POD",
    .summary = "have the keeper write down its state",
    .text =
	"Requests, steps, processes, descriptors, and what its worker did last, into\n"
	"a file in the pod's directory, whose path is printed.",
    .examples = "  less $(podshimctl dump web)",
    .min_args = 1,
    .max_args = 1,
    .run = cmd_dump,
};

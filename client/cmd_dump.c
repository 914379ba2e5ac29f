/*
 * podshimctl dump: the keeper writes what it holds to a file in the pod's
 * directory, and says which. It does so with its worker dead or hung, too.
 */
#include "client/ctl.h"

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

int
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
	if (dirfd == -1 || admin_dump(dirfd, DUMP_TIMEOUT_MS, &path, &err) < 0)
		return ctl_fail(ctl, "%s",
		    dirfd == -1 ? "the pod's directory cannot be opened" : err.text);
	if (ctl->format == FORMAT_JSON) {
		js_print(json_pack("{s:o}", "dump", js_text(path)), ctl->out);
		return CTL_OK;
	}
	safe = text_safe(path);
	(void)fprintf(ctl->out, "%s\n", safe);
	return CTL_OK;
}

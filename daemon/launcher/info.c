/*
 * -info: containerd 2 asks each configured runtime once, and 2.2 for each
 * container until it gets an answer. The features are the OCI runtime's own; if
 * it does not tell them (crun of old), the answer does without.
 */
#include "launcher/info.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launcher/child.h"
#include "proto/any.pb-c.h"
#include "proto/types.pb-c.h"
#include "proto/wire.h"
#include "oci/options.h"

#define INFO_STDIN_MAX	  (10u * 1024 * 1024)
#define FEATURES_MAX	  (1024u * 1024)
#define FEATURES_LIMIT_US (3 * US_PER_S)
#define RUNTIME_NAME	  "io.containerd.podshim.v1"
#define FEATURES_TYPE                                                                    \
	"types.containerd.io/opencontainers/runtime-spec/1/features/Features"

/* `<runtime> features`, if it is JSON; else NULL. */
static char *
info_features(const char *runtime)
{
	AUTO_CLOSE int out_fd = memfd_bounded("features", FEATURES_MAX);
	AUTO_FREE char *name = mem_strdup(runtime);
	AUTO_FREE char *text = NULL;
	char verb[] = "features";
	char *argv[] = {name, verb, NULL};
	int status = 0;
	json_t *root;
	off_t len;
	pid_t pid;

	if (out_fd < 0)
		return NULL;
	pid = child_run(argv, out_fd, -1);
	if (pid == -1 ||
	    child_wait(pid, clock_boot_us() + FEATURES_LIMIT_US, true, &status) < 0 ||
	    status != 0)
		return NULL;
	len = lseek(out_fd, 0, SEEK_CUR);
	if (len <= 0)
		return NULL;
	text = mem_zalloc((size_t)len + 1);
	if (pread(out_fd, text, (size_t)len, 0) != len)
		return NULL;
	root = json_loadb(text, (size_t)len, 0, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return NULL;
	}
	json_decref(root);
	return steal_ptr(&text);
}

/* The runtime that such options name; any options that we do not know name the default. */
static char *
info_runtime(const Google__Protobuf__Any *any)
{
	struct options options = {0};
	char *runtime;

	if (any == NULL ||
	    options_decode(
		any->type_url, any->value.data, any->value.len, &options, NULL) < 0)
		(void)options_decode(NULL, NULL, 0, &options, NULL);
	runtime = mem_strdup(options.binary_name);
	options_fini(&options);
	return runtime;
}

int
info_run(struct err *err)
{
	char name[] = RUNTIME_NAME, number[] = PACKAGE_VERSION, type[] = FEATURES_TYPE;
	Containerd__Types__RuntimeInfo info = CONTAINERD__TYPES__RUNTIME_INFO__INIT;
	Containerd__Types__RuntimeVersion version =
	    CONTAINERD__TYPES__RUNTIME_VERSION__INIT;
	Google__Protobuf__Any features = GOOGLE__PROTOBUF__ANY__INIT;
	Google__Protobuf__Any *options = NULL;
	AUTO_FREE char *in = NULL;
	AUTO_FREE char *runtime = NULL;
	AUTO_FREE char *json = NULL;
	AUTO_FREE void *out = NULL;
	size_t len;
	int rc;

	rc = fd_read_all(STDIN_FILENO, INFO_STDIN_MAX, &in, &len, err);
	if (rc < 0)
		return err_wrap(err, rc, "standard input");
	if (len > 0) {
		options = google__protobuf__any__unpack(NULL, len, (const uint8_t *)in);
		if (options == NULL)
			return err_setx(
			    err, EINVAL, "%zu bytes on stdin are no options", len);
	}
	info.name = name;
	version.version = number;
	info.version = &version;
	info.options = options;
	runtime = info_runtime(options);
	json = info_features(runtime);
	if (json != NULL) {
		features.type_url = type;
		features.value.data = (uint8_t *)json;
		features.value.len = strlen(json);
		info.features = &features;
	}
	wire_pack(&info.base, &out, &len);
	if (options != NULL)
		google__protobuf__any__free_unpacked(options, NULL);
	rc = fd_write_all(STDOUT_FILENO, out, len);
	return rc < 0 ? err_set(err, -rc, "write the answer") : 0;
}

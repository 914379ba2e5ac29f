/*
 * Three generations of containerd, told apart by what is on stdin: the
 * environment cannot tell, for MAX_SHIM_VERSION says 2 in all that set it.
 *
 * Any and BootstrapParams both begin with two length-delimited fields, so the
 * bytes of one decode as the other; only equality with -id and -namespace
 * makes them parameters. We always answer version 2: only then does containerd
 * run start and delete for every container.
 */
#include "launcher/bootstrap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "oci/options.h"
#include "proto/any.pb-c.h"
#include "proto/bootstrap.pb-c.h"
#include "proto/wire.h"

typedef Containerd__Runtime__Bootstrap__V1__BootstrapParams Params;
typedef Containerd__Runtime__Bootstrap__V1__BootstrapResult Result;

static char protocol_ttrpc[] = "ttrpc";

static char *
dup_unless_empty(const char *s)
{
	return s == NULL || s[0] == '\0' ? NULL : mem_strdup(s);
}

/* Of the options only ShimCgroup concerns start. What is wrong with them, Create says. */
static void
bootstrap_take_options(const Google__Protobuf__Any *any, struct bootstrap *out)
{
	struct options o;

	if (options_decode(any->type_url, any->value.data, any->value.len, &o, NULL) < 0)
		return;
	out->shim_cgroup = steal_ptr(&o.shim_cgroup);
	options_fini(&o);
}

static void
bootstrap_take_params(const Params *p, struct bootstrap *out)
{
	out->dialect = DIALECT_PARAMS;
	out->debug = p->log_level < CONTAINERD__RUNTIME__BOOTSTRAP__V1__LOG_LEVEL__INFO;
	out->ttrpc_address = dup_unless_empty(p->containerd_ttrpc_address);
	out->grpc_address = dup_unless_empty(p->containerd_grpc_address);
	out->binary = dup_unless_empty(p->containerd_binary);
	out->socket_dir = dup_unless_empty(p->socket_dir);
	if (p->n_extensions > 0 && p->extensions[0]->value != NULL)
		bootstrap_take_options(p->extensions[0]->value, out);
}

int
bootstrap_parse(const void *in, size_t len, const char *id, const char *ns,
    bool legacy_json, struct bootstrap *out, struct err *err)
{
	Google__Protobuf__Any *any;
	Params *params;
	int rc = 0;

	*out = (struct bootstrap){.dialect = legacy_json ? DIALECT_JSON : DIALECT_PLAIN};
	if (len == 0)
		return 0;
	params =
	    containerd__runtime__bootstrap__v1__bootstrap_params__unpack(NULL, len, in);
	if (params != NULL && strcmp(params->instance_id, id) == 0 &&
	    strcmp(params->namespace_, ns) == 0) {
		bootstrap_take_params(params, out);
		goto out;
	}
	any = google__protobuf__any__unpack(NULL, len, in);
	/* fields that an Any does not have: these are parameters after all */
	if (any != NULL && any->base.n_unknown_fields == 0 && any->type_url[0] != '\0')
		bootstrap_take_options(any, out);
	else if (params != NULL && params->instance_id[0] != '\0' &&
	    params->namespace_[0] != '\0')
		rc = err_setx(err, EINVAL,
		    "the parameters on stdin are for '%s' in namespace '%s', not for "
		    "'%s' in '%s'",
		    params->instance_id, params->namespace_, id, ns);
	else
		rc = err_setx(err, EINVAL,
		    "%zu bytes on stdin are neither bootstrap parameters nor options",
		    len);
	if (any != NULL)
		google__protobuf__any__free_unpacked(any, NULL);
out:
	if (params != NULL)
		containerd__runtime__bootstrap__v1__bootstrap_params__free_unpacked(
		    params, NULL);
	if (rc < 0)
		bootstrap_fini(out);
	return rc;
}

void
bootstrap_fini(struct bootstrap *boot)
{
	free(boot->ttrpc_address);
	free(boot->grpc_address);
	free(boot->binary);
	free(boot->socket_dir);
	free(boot->shim_cgroup);
	*boot = (struct bootstrap){.dialect = boot->dialect};
}

void
bootstrap_answer(enum dialect dialect, const char *address, void **out, size_t *len)
{
	AUTO_FREE char *copy = mem_strdup(address);
	Result result = CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_RESULT__INIT;
	char *text = NULL;

	switch (dialect) {
	case DIALECT_PARAMS:
		result.version = 2;
		result.address = copy;
		result.protocol = protocol_ttrpc;
		wire_pack(&result.base, out, len);
		return;
	case DIALECT_JSON:
		/* a socket's path here needs no escaping: see start.c */
		text = mem_printf(
		    "{\"version\":2,\"address\":\"%s\",\"protocol\":\"ttrpc\"}", address);
		break;
	case DIALECT_PLAIN: text = mem_printf("%s", address); break;
	}
	*out = text;
	*len = strlen(text);
}

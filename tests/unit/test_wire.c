/*
 * The .proto files: some messages against bytes computed by hand, so that a
 * renumbered field shows; and the helpers of wire.h.
 */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "proto/bootstrap.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/events_service.pb-c.h"
#include "proto/metrics_v1.pb-c.h"
#include "proto/metrics_v2.pb-c.h"
#include "proto/options.pb-c.h"
#include "proto/runctypes.pb-c.h"
#include "proto/runtimeoptions.pb-c.h"
#include "proto/sandbox.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"

#define EXPECT_BYTES(msg, ...)                                                           \
	expect_bytes(&(msg).base, (const uint8_t[]){__VA_ARGS__},                        \
	    sizeof((const uint8_t[]){__VA_ARGS__}))

static char str_a[] = "a", str_b[] = "b", str_c[] = "c";

static void
expect_bytes(const ProtobufCMessage *msg, const uint8_t *want, size_t want_len)
{
	AUTO_FREE void *got = NULL;
	size_t len;

	wire_pack(msg, &got, &len);
	assert_int_equal(len, want_len);
	assert_memory_equal(got, want, want_len);
}

static void
test_wire_task_bytes(void **state)
{
	Containerd__Task__V2__CreateTaskRequest create =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Task__V2__DeleteResponse del =
	    CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	Containerd__Task__V2__StateResponse st =
	    CONTAINERD__TASK__V2__STATE_RESPONSE__INIT;
	Containerd__Task__V2__KillRequest kill = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT;
	Containerd__Types__Mount *mounts[] = {&mount};
	Google__Protobuf__Timestamp ts;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char *options[] = {str_b, str_c};

	(void)state;
	create.id = str_a;
	mount.target = str_a;
	mount.options = options;
	mount.n_options = 2;
	create.rootfs = mounts;
	create.n_rootfs = 1;
	create.terminal = 1;
	create.checkpoint = str_c;
	any.type_url = str_b;
	create.options = &any;
	EXPECT_BYTES(create, 0x0a, 1, 'a', 0x1a, 9, 0x1a, 1, 'a', 0x22, 1, 'b', 0x22, 1,
	    'c', 0x20, 1, 0x42, 1, 'c', 0x52, 3, 0x0a, 1, 'b');

	del.pid = 300;
	del.exit_status = 137;
	wire_timestamp(&ts, 3 * INT64_C(1000000000) + 5);
	del.exited_at = &ts;
	EXPECT_BYTES(del, 0x08, 0xac, 0x02, 0x10, 0x89, 0x01, 0x1a, 4, 0x08, 3, 0x10, 5);

	st.status = CONTAINERD__TYPES__STATUS__STOPPED;
	st.terminal = 1;
	st.exit_status = 1;
	st.exec_id = str_b;
	wire_timestamp(&ts, 0);
	st.exited_at = &ts;
	/* -62135596800 as a varint of ten bytes */
	EXPECT_BYTES(st, 0x20, 3, 0x40, 1, 0x48, 1, 0x52, 11, 0x08, 0x80, 0x92, 0xb8,
	    0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 0x01, 0x5a, 1, 'b');

	kill.exec_id = str_a;
	kill.signal = 9;
	kill.all = 1;
	EXPECT_BYTES(kill, 0x12, 1, 'a', 0x18, 9, 0x20, 1);
}

static void
test_wire_event_bytes(void **state)
{
	Containerd__Events__TaskExit ex = CONTAINERD__EVENTS__TASK_EXIT__INIT;
	Containerd__Events__TaskDelete del = CONTAINERD__EVENTS__TASK_DELETE__INIT;
	Containerd__Services__Events__Ttrpc__V1__ForwardRequest fwd =
	    CONTAINERD__SERVICES__EVENTS__TTRPC__V1__FORWARD_REQUEST__INIT;
	Containerd__Types__Envelope env = CONTAINERD__TYPES__ENVELOPE__INIT;

	(void)state;
	ex.container_id = str_a;
	ex.id = str_b;
	ex.pid = 7;
	ex.exit_status = 2;
	EXPECT_BYTES(ex, 0x0a, 1, 'a', 0x12, 1, 'b', 0x18, 7, 0x20, 2);
	del.container_id = str_a;
	del.pid = 7;
	del.exit_status = 2;
	del.id = str_b;
	EXPECT_BYTES(del, 0x0a, 1, 'a', 0x10, 7, 0x18, 2, 0x2a, 1, 'b');
	env.namespace_ = str_a;
	env.topic = str_b;
	fwd.envelope = &env;
	EXPECT_BYTES(fwd, 0x0a, 6, 0x12, 1, 'a', 0x1a, 1, 'b');
}

static void
test_wire_option_bytes(void **state)
{
	Containerd__Runc__V1__Options o = CONTAINERD__RUNC__V1__OPTIONS__INIT;
	Runtimeoptions__V1__Options ro = RUNTIMEOPTIONS__V1__OPTIONS__INIT;
	Containerd__Linux__Runc__CreateOptions co =
	    CONTAINERD__LINUX__RUNC__CREATE_OPTIONS__INIT;

	(void)state;
	o.no_pivot_root = 1;
	o.binary_name = str_a;
	o.root = str_b;
	o.systemd_cgroup = 1;
	o.criu_work_path = str_c;
	EXPECT_BYTES(o, 0x08, 1, 0x32, 1, 'a', 0x3a, 1, 'b', 0x48, 1, 0x5a, 1, 'c');
	ro.config_path = str_a;
	ro.config_body.data = (uint8_t *)str_b;
	ro.config_body.len = 1;
	EXPECT_BYTES(ro, 0x12, 1, 'a', 0x1a, 1, 'b');
	co.no_new_keyring = 1;
	co.io_gid = 5;
	EXPECT_BYTES(co, 0x40, 1, 0x58, 5);
}

static void
test_wire_metrics_bytes(void **state)
{
	Io__Containerd__Cgroups__V1__MemoryStat m1 =
	    IO__CONTAINERD__CGROUPS__V1__MEMORY_STAT__INIT;
	Io__Containerd__Cgroups__V1__MemoryEntry entry =
	    IO__CONTAINERD__CGROUPS__V1__MEMORY_ENTRY__INIT;
	Io__Containerd__Cgroups__V1__CPUUsage usage =
	    IO__CONTAINERD__CGROUPS__V1__CPUUSAGE__INIT;
	Io__Containerd__Cgroups__V2__Metrics m2 =
	    IO__CONTAINERD__CGROUPS__V2__METRICS__INIT;
	Io__Containerd__Cgroups__V2__MemoryStat mem2 =
	    IO__CONTAINERD__CGROUPS__V2__MEMORY_STAT__INIT;
	Io__Containerd__Cgroups__V2__PidsStat pids2 =
	    IO__CONTAINERD__CGROUPS__V2__PIDS_STAT__INIT;
	uint64_t per_cpu[] = {1, 300};

	(void)state;
	m1.total_cache = 1;	  /* 18 */
	m1.total_unevictable = 2; /* 32 */
	entry.failcnt = 3;	  /* 4 */
	m1.kernel_tcp = &entry;	  /* 36 */
	EXPECT_BYTES(m1, 0x90, 1, 1, 0x80, 2, 2, 0xa2, 2, 2, 0x20, 3);
	usage.per_cpu = per_cpu;
	usage.n_per_cpu = 2;
	EXPECT_BYTES(usage, 0x22, 3, 1, 0xac, 2);
	pids2.limit = UINT64_MAX;
	m2.pids = &pids2;
	mem2.usage = 1;	     /* 32 */
	mem2.swap_limit = 2; /* 35 */
	m2.memory = &mem2;   /* 4: 3 is unused */
	EXPECT_BYTES(m2, 0x0a, 11, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 1, 0x22, 6, 0x80, 2, 1, 0x98, 2, 2);
}

static void
test_wire_other_bytes(void **state)
{
	Ttrpc__Request req = TTRPC__REQUEST__INIT;
	Podshim__V1__PurgeResponse purge = PODSHIM__V1__PURGE_RESPONSE__INIT;
	Containerd__Runtime__Bootstrap__V1__BootstrapResult res =
	    CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_RESULT__INIT;
	Containerd__Runtime__Sandbox__V1__SandboxStatusResponse sb =
	    CONTAINERD__RUNTIME__SANDBOX__V1__SANDBOX_STATUS_RESPONSE__INIT;
	Containerd__Types__RuntimeInfo info = CONTAINERD__TYPES__RUNTIME_INFO__INIT;
	Containerd__Types__RuntimeInfo__AnnotationsEntry pair =
	    CONTAINERD__TYPES__RUNTIME_INFO__ANNOTATIONS_ENTRY__INIT;
	Containerd__Types__RuntimeInfo__AnnotationsEntry *pairs[] = {&pair};

	(void)state;
	req.service = str_a;
	req.method = str_b;
	req.payload.data = (uint8_t *)str_c;
	req.payload.len = 1;
	req.timeout_nano = 1;
	EXPECT_BYTES(req, 0x0a, 1, 'a', 0x12, 1, 'b', 0x1a, 1, 'c', 0x20, 1);
	purge.known = 1;
	purge.exit_status = 9;
	EXPECT_BYTES(purge, 0x08, 1, 0x18, 9);
	res.version = 2;
	res.address = str_a;
	res.protocol = str_b;
	EXPECT_BYTES(res, 0x08, 2, 0x12, 1, 'a', 0x1a, 1, 'b');
	sb.pid = 1;
	sb.state = str_a;
	EXPECT_BYTES(sb, 0x10, 1, 0x1a, 1, 'a');
	info.name = str_a;
	pair.key = str_b;
	pair.value = str_c;
	info.annotations = pairs;
	info.n_annotations = 1;
	EXPECT_BYTES(info, 0x0a, 1, 'a', 0x2a, 6, 0x0a, 1, 'b', 0x12, 1, 'c');
}

static void
test_wire_bootstrap_reads_a_negative_level(void **state)
{
	static const uint8_t in[] = {0x0a, 1, 'a', 0x12, 1, 'b', 0x18, 0xfc, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x42, 5, 0x0a, 3, 0x0a, 1, 'c',
	    0x4a, 1, 'd'};
	Containerd__Runtime__Bootstrap__V1__BootstrapParams *p;

	(void)state;
	p = containerd__runtime__bootstrap__v1__bootstrap_params__unpack(
	    NULL, sizeof in, in);
	assert_non_null(p);
	assert_int_equal(
	    p->log_level, CONTAINERD__RUNTIME__BOOTSTRAP__V1__LOG_LEVEL__DEBUG);
	assert_int_equal(p->n_extensions, 1);
	assert_string_equal(p->extensions[0]->value->type_url, "c");
	assert_string_equal(p->socket_dir, "d");
	containerd__runtime__bootstrap__v1__bootstrap_params__free_unpacked(p, NULL);
}

static void
test_wire_timestamps(void **state)
{
	Google__Protobuf__Timestamp ts;

	(void)state;
	wire_timestamp(&ts, 0);
	assert_true(ts.seconds == INT64_C(-62135596800) && ts.nanos == 0);
	assert_true(wire_timestamp_ns(&ts) == 0);
	assert_true(wire_timestamp_ns(NULL) == 0);
	wire_timestamp(&ts, -1);
	assert_true(ts.seconds == -1 && ts.nanos == 999999999);
	assert_true(wire_timestamp_ns(&ts) == -1);
	wire_timestamp(&ts, INT64_MAX);
	assert_true(wire_timestamp_ns(&ts) == INT64_MAX);
	ts.nanos = -1;
	assert_true(wire_timestamp_ns(&ts) == 0);
}

static void
test_wire_type_names(void **state)
{
	(void)state;
	assert_string_equal(wire_type_name(NULL), "");
	assert_string_equal(wire_type_name("a.B"), "a.B");
	assert_string_equal(wire_type_name("type.googleapis.com/a.B"), "a.B");
	assert_string_equal(wire_type_name("types.containerd.io/opencontainers/x/1/Spec"),
	    "types.containerd.io/opencontainers/x/1/Spec");
}

static void
test_wire_pack_gives_memory_for_nothing(void **state)
{
	Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
	AUTO_FREE void *out = NULL;
	size_t len = 9;

	(void)state;
	wire_pack(&empty.base, &out, &len);
	assert_non_null(out);
	assert_int_equal(len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wire_task_bytes),
	    cmocka_unit_test(test_wire_event_bytes),
	    cmocka_unit_test(test_wire_option_bytes),
	    cmocka_unit_test(test_wire_metrics_bytes),
	    cmocka_unit_test(test_wire_other_bytes),
	    cmocka_unit_test(test_wire_bootstrap_reads_a_negative_level),
	    cmocka_unit_test(test_wire_timestamps),
	    cmocka_unit_test(test_wire_type_names),
	    cmocka_unit_test(test_wire_pack_gives_memory_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

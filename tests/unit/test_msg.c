/*
 * ipc/msg: what goes in comes out; anything cut short or scribbled over is
 * refused or decoded to something harmless, and never read beyond its end.
 */
#include "ipc/msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

_Alignas(8) static char buf[MSG_PACKET_MAX];

static void
test_msg_names(void **state)
{
	(void)state;
	assert_string_equal(msg_name(MSG_SPAWN), "SPAWN");
	assert_string_equal(msg_name(MSG_REPLY), "REPLY");
	assert_string_equal(msg_name(9999), "?");
}

static void
test_msg_hello_and_welcome_round_trip(void **state)
{
	struct msg_hello h = {1, 3, 4, 5, "0.1 abc"}, h2;
	struct msg_welcome w = {.proto = 2,
	    .gen = 7,
	    .failed_boots = 3,
	    .mode = BOOT_SAFE,
	    .suspect = UINT64_MAX,
	    .inst = {1, 2, 3, 16},
	    .dir_alias = "/proc/9/fd/8"};
	struct msg_welcome w2;
	struct msg_head head;

	(void)state;
	assert_true(msg_encode_hello(&head, buf, sizeof buf, &h) > 0);
	assert_int_equal(head.type, MSG_HELLO);
	assert_int_equal(msg_decode_hello(&head, buf, &h2, NULL), 0);
	assert_int_equal(h2.proto_max, 3);
	assert_int_equal(h2.schema_min, 4);
	assert_int_equal(h2.schema_max, 5);
	assert_string_equal(h2.build, "0.1 abc");
	assert_true(msg_encode_welcome(&head, buf, sizeof buf, &w) > 0);
	assert_int_equal(msg_decode_welcome(&head, buf, &w2, NULL), 0);
	assert_int_equal(w2.gen, 7);
	assert_int_equal(w2.mode, BOOT_SAFE);
	assert_true(w2.suspect == UINT64_MAX);
	assert_memory_equal(w.inst, w2.inst, 16);
	assert_string_equal(w2.dir_alias, "/proc/9/fd/8");
	/* another message is not taken for it */
	assert_int_equal(msg_decode_hello(&head, buf, &h2, NULL), -EBADMSG);
}

static char words[][8] = {"runc", "--root", "", "A=1", "B="};
static char *const argv_[] = {words[0], words[1], words[2], NULL};
static char *const envp_[] = {words[3], words[4], NULL};
static const uint32_t nums[] = {0, 1, 7};

static const struct msg_spawn spawn = {
    .key = 0x1234,
    .flags = SPAWN_ADOPT | SPAWN_NICE,
    .argv = argv_,
    .envp = envp_,
    .cwd = "/tmp",
    .pid_file = "12.pid",
    .deadline = 99,
    .fd_nums = nums,
    .n_fds = 3,
    .tag = {"t\0g", 3},
};

static void
test_msg_spawn_round_trip(void **state)
{
	struct msg_spawn m;
	struct msg_head head;

	(void)state;
	assert_true(msg_encode_spawn(&head, buf, sizeof buf, &spawn) > 0);
	assert_int_equal(msg_decode_spawn(&head, buf, &m, NULL), 0);
	assert_int_equal(m.key, 0x1234);
	assert_int_equal(m.flags, SPAWN_ADOPT | SPAWN_NICE);
	assert_int_equal(m.deadline, 99);
	assert_string_equal(m.argv[1], "--root");
	assert_string_equal(m.argv[2], "");
	assert_null(m.argv[3]);
	assert_string_equal(m.envp[1], "B=");
	assert_null(m.envp[2]);
	assert_string_equal(m.cwd, "/tmp");
	assert_string_equal(m.pid_file, "12.pid");
	assert_int_equal(m.n_fds, 3);
	assert_int_equal(m.fd_nums[2], 7);
	assert_int_equal(m.tag.len, 3);
	assert_memory_equal(m.tag.p, "t\0g", 3);
	free((void *)(uintptr_t)m.argv);
	free((void *)(uintptr_t)m.envp);
}

static void
test_msg_spawn_refuses(void **state)
{
	static const uint32_t twice[] = {3, 3}, high[] = {256};
	static char *const none[] = {NULL};
	struct msg_spawn bad[8], m;
	struct msg_head head;
	size_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		bad[i] = spawn;
	bad[0].pid_file = "../x";
	bad[1].pid_file = NULL;
	bad[2].fd_nums = twice;
	bad[2].n_fds = 2;
	bad[3].fd_nums = high;
	bad[3].n_fds = 1;
	bad[4].argv = none;
	bad[5].flags = 0x8000;
	bad[6].tag = (struct msg_bytes){buf + 30000, MSG_TAG_MAX + 1};
	bad[7].pid_file = "";
	for (i = 0; i < 8; i++) {
		assert_true(msg_encode_spawn(&head, buf, 20000, &bad[i]) >= 0);
		assert_int_equal(msg_decode_spawn(&head, buf, &m, NULL), -EBADMSG);
	}
	assert_int_equal(msg_encode_spawn(&head, buf, 64, &spawn), -EMSGSIZE);
}

static void
test_msg_step_and_exit_round_trip(void **state)
{
	struct msg_step s = {.key = KEY_INTERNAL | 5,
	    .kind = STEP_SPAWN,
	    .state = STEP_FAILED,
	    .error = ENOENT,
	    .wait_status = 0x0900,
	    .timed_out = true,
	    .snapshot = true,
	    .t = 77,
	    .child_pid = 123,
	    .child_start = UINT64_C(1) << 40,
	    .tag = {"abc", 3},
	    .text = "exec 'x'"};
	struct msg_exit e = {.key = 9,
	    .seq = 3,
	    .pid = 44,
	    .start = 55,
	    .wait_status = 137 << 8,
	    .t_real_ns = -1,
	    .t_boot = 66,
	    .tag = {"q", 1}};
	struct msg_step s2;
	struct msg_exit e2;
	struct msg_head head;

	(void)state;
	assert_true(msg_encode_step(&head, buf, sizeof buf, &s) > 0);
	assert_int_equal(msg_decode_step(&head, buf, &s2, NULL), 0);
	assert_true(s2.key == s.key && s2.kind == s.kind && s2.state == s.state);
	assert_true(s2.error == ENOENT && s2.wait_status == 0x0900 && s2.timed_out);
	assert_true(s2.snapshot && s2.t == 77 && s2.child_pid == 123);
	assert_true(s2.child_start == UINT64_C(1) << 40 && s2.tag.len == 3);
	assert_string_equal(s2.text, "exec 'x'");
	s.text = NULL;
	s.tag.len = 0;
	assert_true(msg_encode_step(&head, buf, sizeof buf, &s) > 0);
	assert_int_equal(msg_decode_step(&head, buf, &s2, NULL), 0);
	assert_string_equal(s2.text, "");
	assert_int_equal(s2.tag.len, 0);
	assert_true(msg_encode_exit(&head, buf, sizeof buf, &e) > 0);
	assert_int_equal(msg_decode_exit(&head, buf, &e2, NULL), 0);
	assert_true(e2.key == 9 && e2.seq == 3 && e2.pid == 44 && e2.start == 55);
	assert_true(e2.wait_status == 137 << 8 && e2.t_real_ns == -1 && e2.t_boot == 66);
	assert_true(e2.tag.len == 1);
}

static void
test_msg_request_round_trip(void **state)
{
	struct msg_request r = {.n = 12,
	    .conn = 0xffffffff,
	    .flags = REQ_REDELIVERED | REQ_CONDEMNED,
	    .t_recv = 5,
	    .frame = {"frame", 5}};
	struct msg_request r2;
	struct msg_head head;

	(void)state;
	msg_head_request(&head, &r);
	assert_int_equal(msg_decode_request(&head, "frame", &r2, NULL), 0);
	assert_true(r2.n == 12 && r2.conn == 0xffffffff && r2.flags == r.flags);
	assert_true(r2.t_recv == 5 && r2.frame.len == 5);
	head.key = 0;
	assert_int_equal(msg_decode_request(&head, "frame", &r2, NULL), -EBADMSG);
}

static void
test_msg_strings_end_in_their_field(void **state)
{
	struct msg_head head = {.type = MSG_FDNAME};
	size_t len = 0;

	(void)state;
	assert_int_equal(msg_put(buf, sizeof buf, &len, MF_NAME, "abc", 3), 0);
	head.len = (uint32_t)len;
	assert_null(msg_get_str(&head, buf, MF_NAME)); /* no NUL */
	len = 0;
	assert_int_equal(msg_put(buf, sizeof buf, &len, MF_NAME, "a\0c", 4), 0);
	head.len = (uint32_t)len;
	assert_null(msg_get_str(&head, buf, MF_NAME)); /* two */
	len = 0;
	assert_int_equal(msg_put(buf, sizeof buf, &len, (enum msg_field)999, "x", 1), 0);
	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_NAME, NULL), 0);
	assert_int_equal(msg_put_str(buf, sizeof buf, &len, MF_NAME, "abc"), 0);
	head.len = (uint32_t)len;
	assert_string_equal(msg_get_str(&head, buf, MF_NAME), "abc");
}

static void
decode_anything(const struct msg_head *head, const void *p)
{
	struct msg_hello hello;
	struct msg_welcome welcome;
	struct msg_spawn sp;
	struct msg_step step;
	struct msg_exit ex;
	struct msg_request req;
	struct err err = ERR_INIT;

	(void)msg_decode_hello(head, p, &hello, &err);
	(void)msg_decode_welcome(head, p, &welcome, &err);
	(void)msg_decode_step(head, p, &step, &err);
	(void)msg_decode_exit(head, p, &ex, &err);
	(void)msg_decode_request(head, p, &req, &err);
	(void)msg_get_str(head, p, MF_NAME);
	if (msg_decode_spawn(head, p, &sp, &err) == 0) {
		char *const *v;
		size_t n = 0;

		for (v = sp.argv; *v != NULL; v++)
			n += strlen(*v);
		for (v = sp.envp; v != NULL && *v != NULL; v++)
			n += strlen(*v);
		assert_true(n <= head->len);
		free((void *)(uintptr_t)sp.argv);
		free((void *)(uintptr_t)sp.envp);
	}
}

/*
 * Each prefix of a good message, and each byte of it turned into several
 * others, in a block of its exact size so that ASan sees one byte too far.
 */
static void
test_msg_survives_garbage_at_every_byte(void **state)
{
	static const unsigned char flips[] = {0xff, 0x80, 0x01, 0x07};
	struct msg_step s = {.key = 5,
	    .kind = STEP_SPAWN,
	    .state = STEP_DONE,
	    .tag = {"abc", 3},
	    .text = "t"};
	struct msg_hello h = {1, 3, 4, 5, "0.1 abc"};
	int which;

	(void)state;
	for (which = 0; which < 3; which++) {
		struct msg_head head, cut;
		size_t i, k, len;
		char *p;
		int rc = which == 0 ? msg_encode_spawn(&head, buf, sizeof buf, &spawn)
		    : which == 1    ? msg_encode_step(&head, buf, sizeof buf, &s)
				    : msg_encode_hello(&head, buf, sizeof buf, &h);

		assert_true(rc > 0);
		len = (size_t)rc;
		for (i = 0; i < len; i++) {
			cut = head;
			cut.len = (uint32_t)i;
			p = malloc(i > 0 ? i : 1);
			assert_non_null(p);
			memcpy(p, buf, i);
			decode_anything(&cut, p);
			free(p);
		}
		p = malloc(len);
		assert_non_null(p);
		for (i = 0; i < len; i++) {
			for (k = 0; k < sizeof flips; k++) {
				memcpy(p, buf, len);
				p[i] = (char)(p[i] ^ flips[k]);
				decode_anything(&head, p);
			}
		}
		free(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_msg_names),
	    cmocka_unit_test(test_msg_hello_and_welcome_round_trip),
	    cmocka_unit_test(test_msg_spawn_round_trip),
	    cmocka_unit_test(test_msg_spawn_refuses),
	    cmocka_unit_test(test_msg_step_and_exit_round_trip),
	    cmocka_unit_test(test_msg_request_round_trip),
	    cmocka_unit_test(test_msg_strings_end_in_their_field),
	    cmocka_unit_test(test_msg_survives_garbage_at_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

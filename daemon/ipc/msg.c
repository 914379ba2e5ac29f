/*
 * The codec of the keeper–worker messages. A payload is a row of fields, each
 * padded to 8 bytes, so that numbers inside are aligned when the payload is.
 *
 * Decoders trust nothing: the worker may be corrupt, and the keeper must not
 * follow it. Nothing is copied; strings are checked to end inside their field.
 */
#include "ipc/msg.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define FIELD_HEAD 8u
#define PAD8(n)	   (((n) + 7u) & ~(size_t)7u)

struct field {
	uint16_t id;
	const char *p;
	size_t len;
};

const char *
msg_name(unsigned type)
{
	switch (type) {
#define X(num, NAME, name, from)                                                         \
	case num: return #NAME;
		MSG_TABLE(X)
#undef X
	}
	return "?";
}

/* --- writing -------------------------------------------------------------- */

int
msg_put(void *buf, size_t cap, size_t *len, enum msg_field field, const void *p, size_t n)
{
	uint16_t id[2] = {(uint16_t)field, 0};
	uint32_t n32 = (uint32_t)n;
	char *out;

	if (n > UINT32_MAX - 16 || *len > cap || cap - *len < FIELD_HEAD + PAD8(n))
		return -EMSGSIZE;
	out = (char *)buf + *len;
	memcpy(out, id, sizeof id);
	memcpy(out + 4, &n32, sizeof n32);
	if (n > 0)
		memcpy(out + FIELD_HEAD, p, n);
	memset(out + FIELD_HEAD + n, 0, PAD8(n) - n);
	*len += FIELD_HEAD + PAD8(n);
	return 0;
}

int
msg_put_str(void *buf, size_t cap, size_t *len, enum msg_field field, const char *s)
{
	return s == NULL ? 0 : msg_put(buf, cap, len, field, s, strlen(s) + 1);
}

static int
put_bytes(void *buf, size_t cap, size_t *len, enum msg_field field,
    const struct msg_bytes *bytes)
{
	return bytes->len == 0 ? 0 : msg_put(buf, cap, len, field, bytes->p, bytes->len);
}

/* The end of every encoder: rc is 0 or what a msg_put() said. */
static int
finish(struct msg_head *head, enum msg_type type, size_t len, int rc)
{
	if (rc < 0)
		return rc;
	if (len > INT_MAX)
		return -EMSGSIZE;
	head->type = (uint16_t)type;
	head->flags = 0;
	head->len = (uint32_t)len;
	return (int)len;
}

int
msg_encode_hello(struct msg_head *head, void *buf, size_t cap, const struct msg_hello *m)
{
	uint64_t num[4] = {m->proto_min, m->proto_max, m->schema_min, m->schema_max};
	size_t len = 0;
	int rc;

	*head = (struct msg_head){0};
	rc = msg_put(buf, cap, &len, MF_NUM, num, sizeof num);
	if (rc == 0)
		rc = msg_put_str(buf, cap, &len, MF_BUILD, m->build);
	return finish(head, MSG_HELLO, len, rc);
}

int
msg_encode_welcome(
    struct msg_head *head, void *buf, size_t cap, const struct msg_welcome *m)
{
	uint64_t num[4] = {m->proto, m->gen, m->failed_boots, (uint64_t)m->mode};
	size_t len = 0;
	int rc;

	*head = (struct msg_head){.a = m->suspect};
	rc = msg_put(buf, cap, &len, MF_NUM, num, sizeof num);
	if (rc == 0)
		rc = msg_put(buf, cap, &len, MF_INST, m->inst, sizeof m->inst);
	if (rc == 0)
		rc = msg_put_str(buf, cap, &len, MF_NAME, m->dir_alias);
	return finish(head, MSG_WELCOME, len, rc);
}

static int
put_strings(void *buf, size_t cap, size_t *len, enum msg_field field, char *const *v)
{
	int rc = 0;

	for (; v != NULL && *v != NULL && rc == 0; v++)
		rc = msg_put_str(buf, cap, len, field, *v);
	return rc;
}

int
msg_encode_spawn(struct msg_head *head, void *buf, size_t cap, const struct msg_spawn *m)
{
	size_t len = 0;
	int rc;

	*head = (struct msg_head){.key = m->key, .a = m->flags, .b = m->deadline};
	rc = put_strings(buf, cap, &len, MF_ARG, m->argv);
	if (rc == 0)
		rc = put_strings(buf, cap, &len, MF_ENV, m->envp);
	if (rc == 0)
		rc = msg_put_str(buf, cap, &len, MF_CWD, m->cwd);
	if (rc == 0)
		rc = msg_put_str(buf, cap, &len, MF_PIDFILE, m->pid_file);
	if (rc == 0 && m->n_fds > 0)
		rc = msg_put(
		    buf, cap, &len, MF_FDS, m->fd_nums, m->n_fds * sizeof *m->fd_nums);
	if (rc == 0)
		rc = put_bytes(buf, cap, &len, MF_TAG, &m->tag);
	return finish(head, MSG_SPAWN, len, rc);
}

/* STEP's a: kind, state and two flags. */
#define STEP_A_TIMED_OUT (UINT64_C(1) << 16)
#define STEP_A_SNAPSHOT	 (UINT64_C(1) << 17)

int
msg_encode_step(struct msg_head *head, void *buf, size_t cap, const struct msg_step *m)
{
	uint64_t num[4] = {(uint64_t)(int64_t)m->error, (uint64_t)(int64_t)m->wait_status,
	    (uint64_t)(int64_t)m->child_pid, m->child_start};
	size_t len = 0;
	int rc;

	*head = (struct msg_head){.key = m->key, .b = m->t};
	head->a = (uint64_t)m->kind | (uint64_t)m->state << 8;
	if (m->timed_out)
		head->a |= STEP_A_TIMED_OUT;
	if (m->snapshot)
		head->a |= STEP_A_SNAPSHOT;
	rc = msg_put(buf, cap, &len, MF_NUM, num, sizeof num);
	if (rc == 0)
		rc = put_bytes(buf, cap, &len, MF_TAG, &m->tag);
	if (rc == 0)
		rc = msg_put_str(buf, cap, &len, MF_TEXT, m->text);
	return finish(head, MSG_STEP, len, rc);
}

int
msg_encode_exit(struct msg_head *head, void *buf, size_t cap, const struct msg_exit *m)
{
	uint64_t num[4] = {(uint64_t)(int64_t)m->pid, m->start,
	    (uint64_t)(int64_t)m->wait_status, (uint64_t)m->t_real_ns};
	size_t len = 0;
	int rc;

	*head = (struct msg_head){.key = m->key, .a = m->seq, .b = m->t_boot};
	rc = msg_put(buf, cap, &len, MF_NUM, num, sizeof num);
	if (rc == 0)
		rc = put_bytes(buf, cap, &len, MF_TAG, &m->tag);
	return finish(head, MSG_EXIT, len, rc);
}

void
msg_head_request(struct msg_head *head, const struct msg_request *m)
{
	*head = (struct msg_head){.type = MSG_REQUEST,
	    .len = (uint32_t)m->frame.len,
	    .key = m->n,
	    .a = m->conn | (uint64_t)m->flags << 32,
	    .b = m->t_recv};
}

/* --- reading -------------------------------------------------------------- */

/* The field at *off. 1 and *off moved, 0 at the end, -EBADMSG. */
static int
field_next(const char *buf, size_t len, size_t *off, struct field *f)
{
	uint32_t n;

	if (*off >= len)
		return 0;
	if (len - *off < FIELD_HEAD)
		return -EBADMSG;
	memcpy(&f->id, buf + *off, sizeof f->id);
	memcpy(&n, buf + *off + 4, sizeof n);
	if (len - *off - FIELD_HEAD < PAD8((size_t)n))
		return -EBADMSG;
	f->p = buf + *off + FIELD_HEAD;
	f->len = n;
	*off += FIELD_HEAD + PAD8((size_t)n);
	return 1;
}

const void *
msg_get(const struct msg_head *head, const void *buf, enum msg_field field, size_t *n)
{
	struct field f;
	size_t off = 0;

	while (field_next(buf, head->len, &off, &f) == 1) {
		if (f.id != (uint16_t)field)
			continue;
		*n = f.len;
		return f.p;
	}
	return NULL;
}

static bool
is_string(const char *p, size_t len)
{
	return len > 0 && memchr(p, '\0', len) == p + len - 1;
}

const char *
msg_get_str(const struct msg_head *head, const void *buf, enum msg_field field)
{
	size_t len = 0;
	const char *p = msg_get(head, buf, field, &len);

	return p != NULL && is_string(p, len) ? p : NULL;
}

/* Every field's frame is sound, and every string field is a string. */
static int
check_fields(
    const struct msg_head *head, const void *buf, enum msg_type type, struct err *err)
{
	struct field f;
	size_t off = 0;
	int rc;

	if (head->type != type)
		return err_setx(err, EBADMSG, "message %s is not a %s",
		    msg_name(head->type), msg_name(type));
	if (((uintptr_t)buf & 7) != 0)
		return err_setx(err, EBADMSG, "%s is not aligned", msg_name(type));
	while ((rc = field_next(buf, head->len, &off, &f)) == 1) {
		bool text = f.id == MF_ARG || f.id == MF_ENV || f.id == MF_CWD ||
		    f.id == MF_PIDFILE || f.id == MF_NAME || f.id == MF_TEXT ||
		    f.id == MF_BUILD;

		if (text && !is_string(f.p, f.len))
			return err_setx(err, EBADMSG, "%s: field %u is no string",
			    msg_name(type), f.id);
		if (f.id == MF_TAG && f.len > MSG_TAG_MAX)
			return err_setx(
			    err, EBADMSG, "%s: tag of %zu bytes", msg_name(type), f.len);
	}
	if (rc < 0)
		return err_setx(err, EBADMSG, "%s: a field is cut off", msg_name(type));
	return 0;
}

static int
get_nums(const struct msg_head *head, const void *buf, uint64_t *num, size_t n,
    struct err *err)
{
	size_t len = 0;
	const void *p = msg_get(head, buf, MF_NUM, &len);

	/* more numbers than we know: a newer peer */
	if (p == NULL || len < n * sizeof *num)
		return err_setx(
		    err, EBADMSG, "%s: numbers are missing", msg_name(head->type));
	memcpy(num, p, n * sizeof *num);
	return 0;
}

static void
get_tag(const struct msg_head *head, const void *buf, struct msg_bytes *tag)
{
	tag->len = 0;
	tag->p = msg_get(head, buf, MF_TAG, &tag->len);
}

int
msg_decode_hello(
    const struct msg_head *head, const void *buf, struct msg_hello *m, struct err *err)
{
	uint64_t num[4];
	int rc = check_fields(head, buf, MSG_HELLO, err);

	if (rc == 0)
		rc = get_nums(head, buf, num, 4, err);
	if (rc < 0)
		return rc;
	m->proto_min = (uint32_t)num[0];
	m->proto_max = (uint32_t)num[1];
	m->schema_min = (uint32_t)num[2];
	m->schema_max = (uint32_t)num[3];
	m->build = msg_get_str(head, buf, MF_BUILD);
	if (m->build == NULL)
		m->build = "";
	return 0;
}

int
msg_decode_welcome(
    const struct msg_head *head, const void *buf, struct msg_welcome *m, struct err *err)
{
	uint64_t num[4];
	const void *inst;
	size_t len = 0;
	int rc = check_fields(head, buf, MSG_WELCOME, err);

	if (rc == 0)
		rc = get_nums(head, buf, num, 4, err);
	if (rc < 0)
		return rc;
	inst = msg_get(head, buf, MF_INST, &len);
	if (inst == NULL || len != sizeof m->inst)
		return err_setx(err, EBADMSG, "WELCOME: no instance id");
	if (num[3] > BOOT_UPGRADE)
		return err_setx(err, EBADMSG, "WELCOME: unknown boot mode");
	memcpy(m->inst, inst, sizeof m->inst);
	m->proto = (uint32_t)num[0];
	m->gen = (uint32_t)num[1];
	m->failed_boots = (uint32_t)num[2];
	m->mode = (enum boot_mode)num[3];
	m->suspect = head->a;
	m->dir_alias = msg_get_str(head, buf, MF_NAME);
	if (m->dir_alias == NULL)
		m->dir_alias = "";
	return 0;
}

/* NULL-terminated vector of the strings with that number; NULL and 0: no memory. */
static char **
get_strings(const struct msg_head *head, const void *buf, enum msg_field field, size_t *n)
{
	struct field f;
	size_t off, i = 0;
	char **v;

	*n = 0;
	for (off = 0; field_next(buf, head->len, &off, &f) == 1;)
		*n += f.id == (uint16_t)field;
	v = calloc(*n + 1, sizeof *v);
	for (off = 0; v != NULL && field_next(buf, head->len, &off, &f) == 1;)
		if (f.id == (uint16_t)field)
			v[i++] = (char *)(uintptr_t)f.p; /* exec's types are not const */
	return v;
}

static int
decode_spawn_fds(
    const struct msg_head *head, const void *buf, struct msg_spawn *m, struct err *err)
{
	size_t i, j, len = 0;

	m->fds = NULL;
	m->fd_nums = msg_get(head, buf, MF_FDS, &len);
	m->n_fds = m->fd_nums == NULL ? 0 : len / sizeof *m->fd_nums;
	if (len % sizeof *m->fd_nums != 0 || m->n_fds > MSG_FDS_MAX)
		return err_setx(err, EBADMSG, "SPAWN: bad descriptor numbers");
	for (i = 0; i < m->n_fds; i++) {
		if (m->fd_nums[i] > 255)
			return err_setx(
			    err, EBADMSG, "SPAWN: descriptor number %u", m->fd_nums[i]);
		for (j = 0; j < i; j++)
			if (m->fd_nums[i] == m->fd_nums[j])
				return err_setx(err, EBADMSG,
				    "SPAWN: descriptor number %u twice", m->fd_nums[i]);
	}
	return 0;
}

int
msg_decode_spawn(
    const struct msg_head *head, const void *buf, struct msg_spawn *m, struct err *err)
{
	const unsigned known = SPAWN_ADOPT | SPAWN_CONSOLE | SPAWN_NICE | SPAWN_SURVIVE;
	char **argv, **envp;
	size_t n_args, n_envs;
	int rc = check_fields(head, buf, MSG_SPAWN, err);

	if (rc == 0)
		rc = decode_spawn_fds(head, buf, m, err);
	if (rc < 0)
		return rc;
	if ((head->a & ~(uint64_t)known) != 0)
		return err_setx(err, EBADMSG, "SPAWN: unknown flags");
	m->key = head->key;
	m->flags = (unsigned)head->a;
	m->deadline = head->b;
	m->cwd = msg_get_str(head, buf, MF_CWD);
	m->pid_file = msg_get_str(head, buf, MF_PIDFILE);
	if ((m->flags & SPAWN_ADOPT) != 0 && m->pid_file == NULL)
		return err_setx(err, EBADMSG, "SPAWN: ADOPT without a pid file");
	if (m->pid_file != NULL &&
	    (strchr(m->pid_file, '/') != NULL || m->pid_file[0] == '.' ||
		m->pid_file[0] == '\0'))
		return err_setx(err, EBADMSG, "SPAWN: bad pid file name");
	get_tag(head, buf, &m->tag);
	argv = get_strings(head, buf, MF_ARG, &n_args);
	envp = get_strings(head, buf, MF_ENV, &n_envs);
	if (argv == NULL || envp == NULL || n_args == 0) {
		free(argv);
		free(envp);
		if (n_args == 0)
			return err_setx(err, EBADMSG, "SPAWN: no arguments");
		return err_set(err, ENOMEM, "SPAWN");
	}
	if (n_envs == 0) {
		free(envp);
		envp = NULL;
	}
	m->argv = argv;
	m->envp = envp;
	return 0;
}

int
msg_decode_step(
    const struct msg_head *head, const void *buf, struct msg_step *m, struct err *err)
{
	unsigned kind = head->a & 0xff, state = head->a >> 8 & 0xff;
	uint64_t num[4];
	int rc = check_fields(head, buf, MSG_STEP, err);

	if (rc == 0)
		rc = get_nums(head, buf, num, 4, err);
	if (rc < 0)
		return rc;
	if (kind < STEP_SPAWN || kind > STEP_SIGNAL || state < STEP_RUNNING ||
	    state > STEP_FAILED)
		return err_setx(err, EBADMSG, "STEP: unknown kind or state");
	m->key = head->key;
	m->kind = (enum step_kind)kind;
	m->state = (enum step_state)state;
	m->timed_out = (head->a & STEP_A_TIMED_OUT) != 0;
	m->snapshot = (head->a & STEP_A_SNAPSHOT) != 0;
	m->t = head->b;
	m->error = (int)num[0];
	m->wait_status = (int)num[1];
	m->child_pid = (int)num[2];
	m->child_start = num[3];
	get_tag(head, buf, &m->tag);
	m->text = msg_get_str(head, buf, MF_TEXT);
	if (m->text == NULL)
		m->text = "";
	return 0;
}

int
msg_decode_exit(
    const struct msg_head *head, const void *buf, struct msg_exit *m, struct err *err)
{
	uint64_t num[4];
	int rc = check_fields(head, buf, MSG_EXIT, err);

	if (rc == 0)
		rc = get_nums(head, buf, num, 4, err);
	if (rc < 0)
		return rc;
	m->key = head->key;
	m->seq = head->a;
	m->t_boot = head->b;
	m->pid = (int)num[0];
	m->start = num[1];
	m->wait_status = (int)num[2];
	m->t_real_ns = (int64_t)num[3];
	get_tag(head, buf, &m->tag);
	return 0;
}

int
msg_decode_request(
    const struct msg_head *head, const void *buf, struct msg_request *m, struct err *err)
{
	if (head->type != MSG_REQUEST || head->key == 0)
		return err_setx(err, EBADMSG, "REQUEST: no number");
	m->n = head->key;
	m->conn = (uint32_t)head->a;
	m->flags = (unsigned)(head->a >> 32);
	m->t_recv = head->b;
	m->frame.p = buf;
	m->frame.len = head->len;
	return 0;
}

/*
 * Writing containers, processes, answers and meta. Everything here goes to
 * the write log (store_tx.c); parameters stand in the order of the SQL.
 */
#include "state/store_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

void
store_put_container(struct store *st, const struct row_container *row)
{
	op_begin(st, S_PUT_CONTAINER);
	op_text(st, row->id);
	op_text(st, row->bundle);
	op_text(st, row->runtime);
	op_text(st, row->runtime_root);
	op_text(st, row->cgroup);
	op_text(st, row->options);
	op_int(st, (int64_t)row->state);
	op_int(st, row->own_pidns);
	op_int(st, row->rootfs_mounted);
	op_int(st, row->create_sent);
	op_int(st, (int64_t)row->oom_seen);
	op_int(st, row->created_at);
	op_end(st);
}

/* Before a row of init goes: what `delete` may ask for later. */
static void
save_exit(struct store *st, const char *container)
{
	op_begin(st, S_SAVE_EXIT);
	op_text(st, container);
	op_int(st, (int64_t)st->next_exit++);
	op_end(st);
}

void
store_delete_container(struct store *st, const char *id)
{
	bool own = !st->in_tx;

	if (own)
		store_begin(st); /* not half of it */
	save_exit(st, id);
	op_begin(st, S_DELETE_PROCESSES);
	op_text(st, id);
	op_end(st);
	op_begin(st, S_DELETE_CONTAINER);
	op_text(st, id);
	op_end(st);
	if (own)
		(void)store_commit(st, STORE_KEEP, NULL);
}

void
store_put_process(struct store *st, const struct row_process *row)
{
	op_begin(st, S_PUT_PROCESS);
	op_text(st, row->container);
	op_text(st, row->exec_id);
	op_int(st, (int64_t)row->key);
	op_text(st, row->stdin_path);
	op_text(st, row->stdout_path);
	op_text(st, row->stderr_path);
	op_int(st, row->terminal);
	op_blob(st, row->spec, row->spec_len);
	op_int(st, row->pid);
	op_int(st, (int64_t)row->start_time);
	op_int(st, (int64_t)row->state);
	op_int(st, row->exit_status);
	op_int(st, row->started_at);
	op_int(st, row->exited_at);
	op_int(st, row->exit_sent);
	op_end(st);
}

void
store_delete_process(struct store *st, const char *container, const char *exec_id)
{
	bool init = exec_id == NULL || *exec_id == '\0', own = init && !st->in_tx;

	if (own)
		store_begin(st);
	if (init)
		save_exit(st, container);
	op_begin(st, S_DELETE_PROCESS);
	op_text(st, container);
	op_text(st, exec_id);
	op_end(st);
	if (own)
		(void)store_commit(st, STORE_KEEP, NULL);
}

void
store_put_answer(struct store *st, uint64_t n, const void *response, size_t len)
{
	op_begin(st, S_PUT_ANSWER);
	op_int(st, (int64_t)n);
	op_blob(st, response == NULL ? "" : response, response == NULL ? 0 : len);
	op_end(st);
}

void
store_delete_answer(struct store *st, uint64_t n)
{
	op_begin(st, S_DELETE_ANSWER);
	op_int(st, (int64_t)n);
	op_end(st);
}

void
store_prune_answers(struct store *st, const uint64_t *keep, size_t n_keep)
{
	/* a JSON list: the one way to give SQL any number of numbers */
	AUTO_FREE char *list = mem_zalloc(n_keep * 21 + 3);
	size_t i, len = 0;

	list[len++] = '[';
	for (i = 0; i < n_keep; i++)
		len += (size_t)snprintf(list + len, 22, "%s%lld", i == 0 ? "" : ",",
		    (long long)keep[i]);
	list[len++] = ']';
	op_begin(st, S_PRUNE_ANSWERS);
	op_text(st, list);
	op_end(st);
}

void
store_set_meta(struct store *st, const char *key, const char *value)
{
	op_begin(st, value == NULL ? S_DELETE_META : S_SET_META);
	op_text(st, key);
	if (value != NULL)
		op_text(st, value);
	op_end(st);
}

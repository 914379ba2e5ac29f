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
	write_begin(st, S_PUT_CONTAINER);
	write_text(st, row->id);
	write_text(st, row->bundle);
	write_text(st, row->runtime);
	write_text(st, row->runtime_root);
	write_text(st, row->cgroup);
	write_text(st, row->options);
	write_int(st, (int64_t)row->state);
	write_int(st, row->own_pidns);
	write_int(st, row->rootfs_mounted);
	write_int(st, row->create_sent);
	write_int(st, (int64_t)row->oom_seen);
	write_int(st, row->created_at);
	write_end(st);
}

/* Before a row of init goes: what `delete` may ask for later. */
static void
save_exit(struct store *st, const char *container)
{
	write_begin(st, S_SAVE_EXIT);
	write_text(st, container);
	write_int(st, (int64_t)st->next_exit++);
	write_end(st);
}

void
store_forget_exits(struct store *st, const char *id)
{
	write_begin(st, S_FORGET_EXIT);
	write_text(st, id);
	write_end(st);
}

void
store_delete_container(struct store *st, const char *id)
{
	bool own = !st->in_tx;

	if (own)
		store_begin(st); /* not half of it */
	save_exit(st, id);
	write_begin(st, S_DELETE_PROCESSES);
	write_text(st, id);
	write_end(st);
	write_begin(st, S_DELETE_CONTAINER);
	write_text(st, id);
	write_end(st);
	if (own)
		(void)store_commit(st, STORE_KEEP, NULL);
}

void
store_put_process(struct store *st, const struct row_process *row)
{
	write_begin(st, S_PUT_PROCESS);
	write_text(st, row->container);
	write_text(st, row->exec_id);
	write_int(st, (int64_t)row->key);
	write_text(st, row->stdin_path);
	write_text(st, row->stdout_path);
	write_text(st, row->stderr_path);
	write_int(st, row->terminal);
	write_blob(st, row->spec, row->spec_len);
	write_int(st, row->pid);
	write_int(st, (int64_t)row->start_time);
	write_int(st, (int64_t)row->state);
	write_int(st, row->exit_status);
	write_int(st, row->started_at);
	write_int(st, row->exited_at);
	write_int(st, row->exit_sent);
	write_end(st);
}

void
store_delete_process(struct store *st, const char *container, const char *exec_id)
{
	bool init = exec_id == NULL || *exec_id == '\0', own = init && !st->in_tx;

	if (own)
		store_begin(st);
	if (init)
		save_exit(st, container);
	write_begin(st, S_DELETE_PROCESS);
	write_text(st, container);
	write_text(st, exec_id);
	write_end(st);
	if (own)
		(void)store_commit(st, STORE_KEEP, NULL);
}

void
store_put_answer(struct store *st, uint64_t n, const void *response, size_t len)
{
	write_begin(st, S_PUT_ANSWER);
	write_int(st, (int64_t)n);
	write_blob(st, response == NULL ? "" : response, response == NULL ? 0 : len);
	write_end(st);
}

void
store_delete_answer(struct store *st, uint64_t n)
{
	write_begin(st, S_DELETE_ANSWER);
	write_int(st, (int64_t)n);
	write_end(st);
}

void
store_prune_answers(struct store *st, const uint64_t *keep, size_t n_keep)
{
	/* a JSON list: the one way to give SQL any number of numbers */
	AUTO_FREE char *list = mem_zalloc(n_keep * 21 + 3);
	size_t i, len = 0;

	list[len++] = '[';
	for (i = 0; i < n_keep; i++)
		len += (size_t)snprintf(
		    list + len, 22, "%s%lld", i == 0 ? "" : ",", (long long)keep[i]);
	list[len++] = ']';
	write_begin(st, S_PRUNE_ANSWERS);
	write_text(st, list);
	write_end(st);
}

void
store_set_meta(struct store *st, const char *key, const char *value)
{
	write_begin(st, value == NULL ? S_DELETE_META : S_SET_META);
	write_text(st, key);
	if (value != NULL)
		write_text(st, value);
	write_end(st);
}

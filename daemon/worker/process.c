/*
 * Processes: the two tables they stand in (by exec id in their container, by
 * key in the pod), their states, their rows.
 */
#include "worker/process.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/record.h"
#include "worker/container.h"
#include "worker/io.h"
#include "worker/link.h"
#include "worker/pod.h"

struct process *
process_new(struct container *c, const char *exec_id)
{
	struct process *p = mem_zalloc(sizeof *p);

	p->c = c;
	p->exec_id = mem_strdup(exec_id);
	p->stdin_path = mem_strdup("");
	p->stdout_path = mem_strdup("");
	p->stderr_path = mem_strdup("");
	p->state = TASK_CREATED;
	if (process_is_init(p)) {
		assert(c->init == NULL);
		c->init = p;
	} else {
		HASH_ADD_KEYPTR(hh, c->execs, p->exec_id, strlen(p->exec_id), p);
	}
	return p;
}

struct process *
process_find(struct container *c, const char *exec_id)
{
	struct process *p;

	if (exec_id[0] == '\0')
		return c->init;
	HASH_FIND_STR(c->execs, exec_id, p);
	return p;
}

void
process_free(struct process *p)
{
	if (p == NULL)
		return;
	assert(p->waiters == NULL);
	if (process_is_init(p))
		p->c->init = NULL;
	else
		HASH_DEL(p->c->execs, p);
	if (p->key != 0)
		HASH_DELETE(hh_key, p->c->pod->processes, p);
	if (p->io != NULL)
		io_free(p->io);
	free(p->exec_id);
	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	process_set_spec(p, NULL, 0);
	free(p);
}

void
process_set_spec(struct process *p, char *spec, size_t len)
{
	struct pod *pod = p->c->pod;

	pod->specs_len -= p->spec_len;
	free(p->spec);
	p->spec = spec;
	p->spec_len = len;
	pod->specs_len += len;
}

void
process_bind(struct process *p, uint64_t key, int pid, uint64_t start_time)
{
	assert(p->key == 0);
	p->key = key;
	p->pid = pid;
	p->start_time = start_time;
	HASH_ADD(hh_key, p->c->pod->processes, key, sizeof p->key, p);
}

struct process *
process_by_key(struct pod *pod, uint64_t key)
{
	struct process *p;

	HASH_FIND(hh_key, pod->processes, &key, sizeof key, p);
	return p;
}

void
process_move(struct process *p, enum task_state next)
{
	bool ok = (p->state == TASK_CREATED && next == TASK_RUNNING) ||
	    (p->state == TASK_CREATED && next == TASK_STOPPED) ||
	    (p->state == TASK_RUNNING && next == TASK_STOPPED);

	log_debug("process %s/%s: %s -> %s", p->c->id, p->exec_id,
	    task_state_name(p->state), task_state_name(next));
	assert(ok);
	(void)ok;
	p->state = next;
	if (process_is_init(p))
		p->c->state = next;
}

void
process_put(const struct process *p)
{
	const struct row_process row = {
	    .container = p->c->id,
	    .exec_id = p->exec_id,
	    .key = p->key,
	    .stdin_path = p->stdin_path,
	    .stdout_path = p->stdout_path,
	    .stderr_path = p->stderr_path,
	    .terminal = p->terminal,
	    .spec = p->spec,
	    .spec_len = p->spec_len,
	    .pid = p->pid,
	    .start_time = p->start_time,
	    .state = p->state,
	    .exit_status = p->exit_status,
	    .started_at = p->started_at,
	    .exited_at = p->exited_at,
	    .exit_sent = p->exit_sent,
	};

	store_put_process(p->c->pod->store, &row);
}

bool
process_failed_start(const struct process *p)
{
	return !process_is_init(p) && p->state == TASK_CREATED && p->spec == NULL;
}

void
process_io_spec(const struct process *p, struct io_spec *spec)
{
	const struct container *c = p->c;

	*spec = (struct io_spec){
	    .container = c->id,
	    .exec_id = p->exec_id,
	    .stdin_path = p->stdin_path,
	    .stdout_path = p->stdout_path,
	    .stderr_path = p->stderr_path,
	    .terminal = p->terminal,
	    .direct = process_is_init(p) && c->pod->conf.stdio_direct,
	    .uid = c->has_opts ? c->opts.io_uid : 0,
	    .gid = c->has_opts ? c->opts.io_gid : 0,
	    .ns = c->pod->ns,
	};
}

char *
process_tty_name(const struct process *p, uint64_t key)
{
	return p->terminal ? mem_printf("tty/%" PRIx64, key) : NULL;
}

void
process_drop_tty(struct pod *pod, uint64_t key)
{
	AUTO_FREE char *name = mem_printf("tty/%" PRIx64, key);

	if (key != 0)
		link_fd_drop(pod->link, name, false);
}

char *
process_cgroup(const struct process *p)
{
	AUTO_FREE char *path = NULL;
	struct err err = ERR_INIT;

	if (cgroup_of_pid(p->pid, &path, &err) < 0) {
		log_debug("container '%s': no cgroup: %s", p->c->id, err.text);
		return mem_strdup("");
	}
	/* behind the look, or it might have ended in between */
	if (record_start_ticks(p->pid) != p->start_time) {
		log_debug("container '%s': pid %d has ended", p->c->id, p->pid);
		return mem_strdup("");
	}
	return steal_ptr(&path);
}

uint32_t
process_status_of(int wait_status)
{
	if (WIFSIGNALED(wait_status))
		return 128u + (uint32_t)WTERMSIG(wait_status);
	return (uint32_t)WEXITSTATUS(wait_status);
}

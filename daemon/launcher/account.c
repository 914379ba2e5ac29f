/*
 * Piecing together what is known of a container whose keeper is gone or silent.
 *
 * The database is read by whoever may be its second reader at that moment, so
 * all of it is copied at once. Files in the bundle are containerd's and ours,
 * in a directory of root's; still, a pid found there alone is believed only if
 * its process sits in a cgroup named after the container.
 */
#include "launcher/account.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/record.h"
#include "oci/runtime.h"

#define BUNDLE_FILE_MAX (1024u * 1024u)

bool
victim_is_alive(const struct victim *v)
{
	uint64_t now = v->pid > 0 ? record_start_ticks(v->pid) : 0;

	return now != 0 && (v->start_time == 0 || v->start_time == now);
}

static bool
is_given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

static void
account_add_victim(struct account *acc, int pid, uint64_t start_time)
{
	if (pid <= 1)
		return;
	acc->victims =
	    mem_realloc(acc->victims, (acc->n_victims + 1) * sizeof *acc->victims);
	acc->victims[acc->n_victims++] =
	    (struct victim){.pid = pid, .start_time = start_time};
}

/* --- from the database -------------------------------------------------------- */

/* The row's --root counts, whatever its options say: there the state is. */
static void
account_take_root(struct account *acc, const char *root, const char *ns)
{
	size_t len = strlen(root), ns_len = strlen(ns);

	free(acc->runtime_root);
	acc->runtime_root = mem_strdup(root);
	if (len <= ns_len + 1 || strcmp(root + len - ns_len, ns) != 0 ||
	    root[len - ns_len - 1] != '/')
		return;
	free(acc->options.root);
	acc->options.root = mem_printf("%.*s", (int)(len - ns_len - 1), root);
}

static void
account_on_container(const struct row_container *row, void *arg)
{
	struct account *acc = arg;

	acc->in_db = true;
	acc->own_pidns = row->own_pidns;
	free(acc->cgroup);
	acc->cgroup = is_given(row->cgroup) ? mem_strdup(row->cgroup) : NULL;
	if (acc->bundle == NULL)
		acc->bundle = mem_strdup(row->bundle);
	options_fini(&acc->options);
	if (!is_given(row->options) ||
	    options_from_json(row->options, &acc->options, NULL) < 0)
		(void)options_decode(NULL, NULL, 0, &acc->options, NULL);
	if (is_given(row->runtime)) {
		free(acc->options.binary_name);
		acc->options.binary_name = mem_strdup(row->runtime);
	}
	if (is_given(row->runtime_root))
		account_take_root(acc, row->runtime_root, acc->ns);
}

static void
account_on_process(const struct row_process *row, void *arg)
{
	struct account *acc = arg;
	bool init = !is_given(row->exec_id);

	if (init) {
		acc->pid = row->pid;
		acc->exited = row->state == TASK_STOPPED;
		acc->exit_status = row->exit_status;
		acc->exited_at = row->exited_at;
	}
	if (row->state != TASK_STOPPED)
		account_add_victim(acc, row->pid, row->start_time);
}

static void
account_from_db(struct account *acc, struct store *st)
{
	(void)store_find_container(st, acc->id, account_on_container, acc, NULL);
	if (acc->in_db) {
		(void)store_each_process(st, acc->id, account_on_process, acc, NULL);
		return;
	}
	acc->last_exit = store_last_exit(st, acc->id, &acc->pid, &acc->exit_status,
			     &acc->exited_at) == 0;
	acc->exited = acc->last_exit;
}

/* --- from the bundle ------------------------------------------------------------ */

static char *
bundle_text(int bundle_fd, const char *name)
{
	char *text = NULL;
	size_t len;

	if (bundle_fd < 0 ||
	    file_read(bundle_fd, name, BUNDLE_FILE_MAX, &text, &len, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void
account_options_from_bundle(struct account *acc, int bundle_fd)
{
	AUTO_FREE char *binary = bundle_text(bundle_fd, "runtime");
	AUTO_FREE char *json = NULL;
	size_t len;

	if (bundle_fd >= 0)
		(void)file_read(
		    bundle_fd, "options.json", BUNDLE_FILE_MAX, &json, &len, NULL);
	if (json == NULL || options_from_json(json, &acc->options, NULL) < 0)
		(void)options_decode(NULL, NULL, 0, &acc->options, NULL);
	if (is_given(binary)) {
		free(acc->options.binary_name);
		acc->options.binary_name = steal_ptr(&binary);
	}
}

/* runc's and crun's names, with the cgroupfs driver and with systemd. */
static bool
component_is_of(const char *name, size_t len, const char *id)
{
	static const char scope[] = ".scope";
	size_t id_len = strlen(id), scope_len = strlen(scope);

	if (len == id_len)
		return strncmp(name, id, len) == 0;
	if (len < id_len + scope_len ||
	    strncmp(name + len - scope_len, scope, scope_len) != 0)
		return false;
	len -= scope_len;
	return strncmp(name + len - id_len, id, id_len) == 0 &&
	    (len == id_len || name[len - id_len - 1] == '-');
}

bool
account_cut_cgroup(char *path, const char *id)
{
	char *name = path;
	size_t len;

	while (*(name += strspn(name, "/")) != '\0') {
		len = strcspn(name, "/");
		if (component_is_of(name, len, id)) {
			name[len] = '\0';
			return true;
		}
		name += len;
	}
	return false;
}

/* Did it run when the file was written? One that began later only has its number. */
static bool
pid_is_as_old(pid_t pid, int bundle_fd, const char *file)
{
	uint64_t ticks = record_start_ticks(pid), now = clock_boot_ticks();
	int64_t hz = sysconf(_SC_CLK_TCK), age;
	struct stat st;

	if (ticks == 0 || fstatat(bundle_fd, file, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return false;
	age = (clock_real_ns() - (st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec)) /
	    (NS_PER_S / hz);
	/* a second, for clocks that were set and for the grain of both */
	return (int64_t)(now - ticks) + hz >= age;
}

/*
 * init.pid, if what runs under that number is the container's beyond doubt: a
 * number alone may have gone to a stranger since.
 */
static void
account_pid_from_bundle(struct account *acc, int bundle_fd)
{
	AUTO_FREE char *text = bundle_text(bundle_fd, "init.pid");
	AUTO_FREE char *cgroup = NULL;
	long pid;

	pid = text == NULL ? 0 : strtol(text, NULL, 10);
	if (pid <= 1 || pid > 0x7fffffff)
		return;
	acc->pid = (int)pid;
	if (!pid_is_as_old((pid_t)pid, bundle_fd, "init.pid") ||
	    cgroup_of_pid((pid_t)pid, &cgroup, NULL) < 0 ||
	    !account_cut_cgroup(cgroup, acc->id))
		return;
	account_add_victim(acc, (int)pid, record_start_ticks((pid_t)pid));
	acc->cgroup = steal_ptr(&cgroup);
}

void
account_load(struct account *acc, struct store *st, int bundle_fd, const char *bundle,
    const char *ns, const char *id)
{
	AUTO_CLOSE int own_fd = -1;

	*acc = (struct account){
	    .id = mem_strdup(id), .ns = ns, .bundle = mem_strdup(bundle)};
	if (st != NULL)
		account_from_db(acc, st);
	if (bundle_fd < 0 && acc->bundle != NULL) {
		own_fd = open(acc->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bundle_fd = own_fd;
	}
	if (!acc->in_db) {
		account_options_from_bundle(acc, bundle_fd);
		if (!acc->last_exit)
			account_pid_from_bundle(acc, bundle_fd);
	}
	if (acc->runtime_root == NULL)
		acc->runtime_root = runtime_root(&acc->options, ns);
	if (acc->cgroup == NULL && acc->n_victims > 0 &&
	    victim_is_alive(&acc->victims[0]))
		(void)cgroup_of_pid(acc->victims[0].pid, &acc->cgroup, NULL);
}

void
account_fini(struct account *acc)
{
	free(acc->id);
	free(acc->bundle);
	free(acc->cgroup);
	free(acc->runtime_root);
	options_fini(&acc->options);
	free(acc->victims);
	*acc = (struct account){0};
}

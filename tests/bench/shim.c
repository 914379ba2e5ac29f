/*
 * A container under either shim, as containerd 1.6 drives one: the bundle, the
 * `start` and `delete` actions, the Task calls. And the same container under
 * the bare runtime, with the options that shims give it.
 */
#include "tests/bench/bench.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned last_id;

static const char *
binary_of(enum peer p)
{
	static char *ours;

	if (p == RUNC_V2)
		return "containerd-shim-runc-v2";
	if (!ours)
		ours = mem_printf("%s/bin/containerd-shim-podshim-v1", bench.prefix);
	return ours;
}

void
use_config(const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/podshim.conf", bench.dir);
	struct err err = ERR_INIT;

	if (!text)
		text = "";
	if (file_write(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0 ||
	    setenv("PODSHIM_CONFIG", path, 1) == -1)
		die("%s", err.text);
}

void
must(int code, const char *what, const struct con *c)
{
	if (code != 0)
		die("%s: %s of %s: error %d, %s", peer_name(c->peer), what, c->id, code,
		    task_error());
}

/* {"a","b"} */
static char *
json_strings(const char *const *argv)
{
	struct pb out = PB_INIT;

	for (size_t i = 0; argv[i]; i++) {
		AUTO_FREE char *q = json_quote(argv[i]);

		pb_raw(&out, ",", i > 0);
		pb_raw(&out, q, strlen(q));
	}
	pb_raw(&out, "", 1);
	return (char *)out.data;
}

static void
write_config(const struct con *c, int flags, const char *const *argv)
{
	AUTO_FREE char *args = json_strings(argv);
	AUTO_FREE char *path = mem_printf("%s/config.json", c->bundle);
	AUTO_FREE char *text = mem_printf(
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":%s,\"args\":[%s],"
	    "\"cwd\":\"/\","
	    "\"env\":[\"PATH=/bin\",\"TERM=xterm\"],\"user\":{\"uid\":0,\"gid\":0},"
	    "\"noNewPrivileges\":true},"
	    "\"root\":{\"path\":\"%s/rootfs\",\"readonly\":true},\"hostname\":\"t\","
	    "\"mounts\":[{\"destination\":\"/"
	    "proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	    "\"options\":[\"nosuid\",\"mode=755\",\"size=64k\"]},"
	    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	    "\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}],"
	    "\"annotations\":{\"io.containerd.runc.v2.group\":\"%s\"},"
	    "\"linux\":{\"cgroupsPath\":\"/%s/%s\","
	    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},"
	    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},"
	    "{\"type\":\"uts\"}]}}",
	    flags & BUNDLE_TTY ? "true" : "false", args, bench.dir, c->group, bench.ns,
	    c->id);
	struct err err = ERR_INIT;

	if (file_write(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
		die("%s", err.text);
}

void
con_make(
    struct con *c, enum peer p, const char *group, int flags, const char *const *argv)
{
	AUTO_FREE char *fifo = mem_printf("%s/log.fifo", bench.dir);
	AUTO_FREE char *log = NULL;
	AUTO_FREE char *ids = mem_printf("%s/ids", bench.dir);
	FILE *f;

	*c = (struct con){.peer = p};
	snprintf(c->id, sizeof c->id, "%s-%u", peer_name(p), ++last_id);
	snprintf(c->group, sizeof c->group, "%s", group ? group : c->id);
	c->bundle = mem_printf("%s/raw/%s", bench.dir, c->id);
	if (mkdir(c->bundle, 0700) == -1)
		die("mkdir '%s': %s", c->bundle, strerror(errno));
	log = mem_printf("%s/log", c->bundle);
	if (p < SHIMS && link(fifo, log) == -1)
		die("link '%s': %s", log, strerror(errno));
	write_config(c, flags, argv);
	/* the sweep at the end looks for sockets of these */
	f = fopen(ids, "ae");
	if (!f || fprintf(f, "%s\n", c->id) < 0 || fclose(f) != 0)
		die("write '%s'", ids);
}

/* The action's whole output; its wall time. */
static double
action(struct con *c, const char *word, char **out)
{
	const char *const argv[] = {binary_of(c->peer), "-namespace", bench.ns,
	    "-address", bench.address, "-publish-binary", bench.publish, "-id", c->id,
	    "-bundle", c->bundle, word, NULL};
	double t0 = now_us(), t1;
	int fds[2], status;
	struct err err = ERR_INIT;
	size_t len;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		die("pipe: %s", strerror(errno));
	pid = spawn_in(c->peer, c->bundle, argv, fds[1]);
	fd_close(&fds[1]);
	if (fd_read_all(fds[0], 1u << 20, out, &len, &err) < 0)
		die("%s: %s", word, err.text);
	status = wait_pid(pid);
	t1 = now_us();
	fd_close(&fds[0]);
	if (status != 0)
		die("%s: '%s' ended with %#x: %s", peer_name(c->peer), word,
		    (unsigned)status, *out);
	return t1 - t0;
}

double
con_start(struct con *c)
{
	struct err err = ERR_INIT;
	double us = action(c, "start", &c->address);

	c->address[strcspn(c->address, "\n")] = '\0';
	c->t = ttrpc_connect(c->address, &err);
	if (!c->t)
		die("%s: %s", peer_name(c->peer), err.text);
	return us;
}

double
con_delete_action(struct con *c)
{
	AUTO_FREE char *out = NULL;

	return action(c, "delete", &out);
}

void
con_create(struct con *c, const struct task_stdio *io)
{
	struct task_create_args args = {.bundle = c->bundle, .binary_name = c->runtime};

	if (io)
		args.io = *io;
	must(task_create(c->t, c->id, &args, NULL), "Create", c);
}

void
con_run(struct con *c, const struct task_stdio *io)
{
	(void)con_start(c);
	con_create(c, io);
	must(task_start(c->t, c->id, NULL, NULL), "Start", c);
}

static void
con_free(struct con *c)
{
	static const char *const names[] = {"config.json", "log", "address", "init.pid",
	    "log.json", "work", "options.json", "runtime", "rootfs", "pid", "conmon.log",
	    "attach", "ctl", "winsz", NULL};

	for (size_t i = 0; names[i]; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", c->bundle, names[i]);

		(void)remove(path);
	}
	ttrpc_free(c->t);
	free(c->bundle);
	free(c->address);
	*c = (struct con){0};
}

double
con_finish(struct con *c)
{
	AUTO_FREE char *bundle = mem_strdup(c->bundle);
	double us;
	int rc;

	us = now_us();
	rc = task_shutdown(c->t, c->id);
	sample("shutdown", c->peer, (now_us() - us) / 1e3);
	/* the Go shim may end before its answer is out */
	if (rc != -EPIPE && rc != -ECONNRESET)
		must(rc, "Shutdown", c);
	ttrpc_free(c->t);
	c->t = NULL;
	us = con_delete_action(c);
	con_free(c);
	(void)rmdir(bundle);
	return us;
}

void
con_end(struct con *c)
{
	/* It may have ended by itself. */
	if (task_kill(c->t, c->id, NULL, 9, true) == 0)
		must(task_wait(c->t, c->id, NULL, NULL), "Wait", c);
	must(task_delete(c->t, c->id, NULL, NULL), "Delete", c);
	(void)con_finish(c);
}

void
con_sleeper(struct con *c, enum peer p, const char *group)
{
	con_make(c, p, group, 0, (const char *const[]){"sleep", "100000", NULL});
	con_run(c, NULL);
}

/* --- bare ------------------------------------------------------------------- */

static void
bare(struct con *c, const char *const *words)
{
	AUTO_FREE char *root = mem_printf("%s/bare", bench.dir);
	AUTO_FREE char *log = mem_printf("%s/log.json", c->bundle);
	AUTO_STRV struct strv argv = {0};

	strv_add(&argv, c->runtime ? c->runtime : "runc");
	strv_add(&argv, "--root");
	strv_add(&argv, root);
	strv_add(&argv, "--log");
	strv_add(&argv, log);
	strv_add(&argv, "--log-format");
	strv_add(&argv, "json");
	for (; *words; words++)
		strv_add(&argv, *words);
	run_in(c->peer, c->bundle, (const char *const *)argv.v);
}

void
bare_create(struct con *c)
{
	bare(c,
	    (const char *const[]){
		"create", "--bundle", c->bundle, "--pid-file", "init.pid", c->id, NULL});
}

void
bare_start(struct con *c)
{
	bare(c, (const char *const[]){"start", c->id, NULL});
}

void
bare_delete(struct con *c)
{
	AUTO_FREE char *bundle = mem_strdup(c->bundle);

	bare(c, (const char *const[]){"delete", c->id, NULL});
	con_free(c);
	(void)rmdir(bundle);
}

static pid_t
read_pid(const struct con *c, const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", c->bundle, name);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	size_t len;

	if (file_read(AT_FDCWD, path, 64, &text, &len, &err) < 0)
		die("%s", err.text);
	return (pid_t)strtol(text, NULL, 10);
}

pid_t
bare_pid(const struct con *c)
{
	return read_pid(c, "init.pid");
}

void
bare_exec(struct con *c, const char *process_file)
{
	bare(c,
	    (const char *const[]){"exec", "--process", process_file, "--detach",
		"--pid-file", "pid", c->id, NULL});
	(void)wait_pid(read_pid(c, "pid"));
}

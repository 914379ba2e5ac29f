/*
 * podshimctl run: a container without containerd, on the same shim, in the same
 * database. podshimctl makes the bundle, calls the launcher, sends Create and
 * Start, and plays the foreground; everything that outlives it (the exit file,
 * --rm) is done by the pod's events (run_event.c), so nothing waits beside a
 * container in the background.
 *
 * Exit codes as docker's and podman's: the container's own, or 125 (bad usage,
 * podshim or the runtime failed), 126 (the command cannot be executed), 127 (there is none).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podlock.h"
#include "base/podpath.h"
#include "client/ctl.h"
#include "client/foreground.h"
#include "client/json.h"
#include "client/pods.h"
#include "client/relay.h"
#include "client/rpc.h"
#include "client/run_dir.h"
#include "client/run_logger.h"
#include "client/run_remove.h"
#include "client/run_shim.h"
#include "client/run_spec.h"
#include "client/verbs.h"
#include "ipc/attach.h"
#include "proto/any.pb-c.h"
#include "proto/options.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"

/* The runtime's own limit is the shim's affair (podshim.conf). */
#define CREATE_MS   600000
#define START_MS    600000
#define REMOVE_US   (30 * US_PER_S)
#define OPTIONS_URL "containerd.runc.v1.Options"

struct run {
	struct ctl *ctl;
	struct run_info info;
	bool terminal, interactive, detach;
	const char *runtime;
	char *log_uri;
	char *dir;  /* the bundle */
	int dir_fd; /* our lock on it */
	struct pods pods;
	struct rpc *rpc;
	uint32_t wait; /* the stream of our Wait */
	uint32_t pid;
	bool made; /* there is something to take away */
	/* in the foreground, until there is a container that can take signals */
	int signal_fd;
	sigset_t early;
	boot_us_t early_at; /* the first came; 0: none did */
};

static int
run_fail(struct run *r, const struct err *err)
{
	return ctl_fail_as(r->ctl, CTL_NOT_RUN, "%s", err->text);
}

/* --- what was asked for -------------------------------------------------------------- */

/* podshimctl's own directory is nobody's later on. */
static char *
absolute(const char *path)
{
	AUTO_FREE char *cwd = NULL;

	if (path == NULL || path[0] == '/')
		return mem_strdup(path);
	cwd = getcwd(NULL, 0);
	return mem_printf("%s/%s", cwd == NULL ? "" : cwd, path);
}

static int
run_options(struct run *r)
{
	struct ctl *ctl = r->ctl;
	const char *pod = ctl_option(ctl, "pod");
	const char *runtime = ctl_option(ctl, "runtime");

	r->info.ns = mem_strdup(ctl->ns != NULL ? ctl->ns : RUN_NAMESPACE);
	r->info.id = mem_strdup(ctl->argv[0]);
	r->info.pod = mem_strdup(pod != NULL ? pod : r->info.id);
	r->terminal = ctl_option(ctl, "tty") != NULL;
	r->interactive = ctl_option(ctl, "interactive") != NULL;
	r->detach = ctl_option(ctl, "detach") != NULL;
	r->info.remove = ctl_option(ctl, "rm") != NULL;
	r->info.pid_file = absolute(ctl_option(ctl, "pid-file"));
	r->info.exit_file = absolute(ctl_option(ctl, "exit-file"));
	r->runtime = runtime != NULL ? runtime : "";
	if (!pod_id_valid(r->info.id))
		return ctl_misuse(ctl,
		    "'%s' is no name for a container: letters and digits, with single "
		    "'.', '_' or '-' between them",
		    r->info.id);
	if (!pod_id_valid(r->info.pod))
		return ctl_misuse(ctl, "'%s' is no name for a pod", r->info.pod);
	if (!pod_id_valid(r->info.ns))
		return ctl_misuse(ctl, "'%s' is no name for a namespace", r->info.ns);
	if ((ctl_option(ctl, "bundle") != NULL) == (ctl_option(ctl, "rootfs") != NULL))
		return ctl_misuse(ctl, "'run' wants either --bundle or --rootfs");
	return CTL_OK;
}

/* A file of ours that will be written later: better to hear of it now. */
static int
run_check_file(const char *option, const char *path, struct err *err)
{
	AUTO_FREE char *dir = mem_strdup(path);
	struct stat st;

	if (path == NULL)
		return 0;
	*strrchr(dir, '/') = '\0';
	if (stat(dir[0] != '\0' ? dir : "/", &st) == -1)
		return err_set(err, errno, "--%s '%s': its directory", option, path);
	if (!S_ISDIR(st.st_mode) || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return err_setx(err, EINVAL, "--%s '%s' is no file", option, path);
	return 0;
}

/* Where the output goes: podshim-logger's keys, from which the URI is made. */
static void
run_log(struct run *r, struct strv *words)
{
	const char *log = ctl_option(r->ctl, "log"), *word;
	AUTO_FREE char *attach = mem_printf("%s/" RUN_ATTACH, r->dir);
	size_t i;

	strv_addf(words, "attach=%s", attach);
	if (log != NULL && (strcmp(log, "none") == 0 || strcmp(log, "journald") == 0)) {
		strv_addf(words, "format=%s", log);
	} else {
		r->info.own_log = log == NULL;
		r->info.log =
		    log == NULL ? run_default_log(r->info.ns, r->info.id) : absolute(log);
		strv_addf(words, "path=%s", r->info.log);
	}
	for (i = 0; (word = ctl_option_nth(r->ctl, "log-opt", i)) != NULL; i++)
		strv_add(words, word);
}

static int
run_config(const struct run *r, struct err *err)
{
	const struct ctl *ctl = r->ctl;
	const char *net = ctl_option(ctl, "net"), *word;
	AUTO_STRV struct strv env = {0};
	AUTO_FREE char *text = NULL;
	struct run_spec spec = {
	    .ns = r->info.ns,
	    .id = r->info.id,
	    .pod = r->info.pod,
	    .rootfs = ctl_option(ctl, "rootfs"),
	    .bundle = ctl_option(ctl, "bundle"),
	    .args = ctl->argv + 1,
	    .terminal = r->terminal,
	    .cwd = ctl_option(ctl, "cwd"),
	    .host_net = net != NULL && strcmp(net, "host") == 0,
	    .read_only = ctl_option(ctl, "read-only") != NULL,
	};
	size_t i;
	int rc;

	if (net != NULL && !spec.host_net && strcmp(net, "none") != 0)
		return err_setx(err, EINVAL, "--net '%s' is neither none nor host", net);
	for (i = 0; (word = ctl_option_nth(ctl, "env", i)) != NULL; i++) {
		if (strchr(word, '=') == NULL)
			return err_setx(
			    err, EINVAL, "--env '%s' is not NAME=VALUE", word);
		strv_add(&env, word);
	}
	spec.env = env.v;
	rc = run_spec_make(&spec, &text, err);
	if (rc < 0)
		return rc;
	return file_write(r->dir_fd, "config.json", text, strlen(text), 0600, err);
}

/* --- the bundle and its shim ------------------------------------------------------------ */

static int
run_make_dir(struct run *r, struct err *err)
{
	AUTO_STRV struct strv words = {0};
	int rc = run_check_file("pid-file", r->info.pid_file, err);

	if (rc == 0)
		rc = run_check_file("exit-file", r->info.exit_file, err);
	if (rc < 0)
		return rc;
	rc = run_dir_make(r->dir, &r->dir_fd, err);
	if (rc == -EEXIST)
		return err_setx(err, EEXIST,
		    "there is a container '%s' already ('podshimctl delete %s' takes it "
		    "away)",
		    r->info.id, r->info.id);
	if (rc < 0)
		return rc;
	r->made = true;
	run_log(r, &words);
	/* first of all: it says what there is to take away again */
	rc = run_info_write(r->dir_fd, &r->info, err);
	if (rc == 0)
		rc = run_config(r, err);
	if (rc == 0)
		rc = run_logger_check(words.v, err);
	if (rc == 0)
		rc = run_logger_uri(words.v, &r->log_uri, err);
	/* the shim's own log: it is opened, not made, by the shim */
	if (rc == 0)
		rc = file_write(r->dir_fd, "log", "", 0, 0600, err);
	if (rc == 0 && r->interactive && mkfifoat(r->dir_fd, RUN_STDIN, 0600) == -1)
		rc = err_set(err, errno, "make a FIFO in '%s'", r->dir);
	return rc;
}

static int
run_connect(struct run *r, struct err *err)
{
	AUTO_FREE char *address = NULL;
	struct pod *pod;
	int rc =
	    run_shim_start(r->ctl->root, r->info.ns, r->info.id, r->dir, &address, err);

	if (rc < 0)
		return err_wrap(err, rc, "start the shim");
	pod = run_pod_of(r->ctl->root, r->info.ns, r->dir, &r->pods);
	if (pod == NULL)
		return err_setx(err, ENOENT, "the shim at '%s' has no pod", address);
	return rpc_open(pod, &r->rpc, err);
}

/* --- the container -------------------------------------------------------------------------- */

/*
 * Only the runtime knows whether the command was at fault, and tells in a
 * sentence: runc `exec: "x": executable file not found in $PATH`, `exec: "/x": stat
 * /x: no such file or directory`, `permission denied`; crun `executable file `x'
 * not found`, `open executable: Permission denied`.
 */
static enum ctl_exit
run_exit_of(const char *text)
{
	if (strstr(text, "exec: ") == NULL && strstr(text, "executable") == NULL)
		return CTL_NOT_RUN;
	if (strcasestr(text, "not found") != NULL ||
	    strcasestr(text, "no such file") != NULL)
		return CTL_NO_FILE;
	if (strcasestr(text, "permission denied") != NULL ||
	    strcasestr(text, "is a directory") != NULL ||
	    strcasestr(text, "format error") != NULL ||
	    strcasestr(text, "not a regular file") != NULL)
		return CTL_NO_EXEC;
	return CTL_NOT_RUN;
}

/* Is there one for us among the signals that came? */
static bool
run_gives_up(struct run *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof info) == sizeof info) {
		(void)sigaddset(&r->early, (int)info.ssi_signo);
		if (info.ssi_signo == SIGWINCH)
			continue;
		if (r->early_at == 0)
			r->early_at = clock_boot_us();
		else if (clock_boot_us() - r->early_at >= SIGNAL_PATIENCE_US)
			return true;
	}
	return false;
}

/* What came early is the container's: it comes again. */
static void
run_raise_early(struct run *r)
{
	int signo;

	for (signo = 1; signo < SIGRTMIN; signo++)
		if (sigismember(&r->early, signo) == 1)
			(void)kill(getpid(), signo);
}

/* rpc_call() of what may take long; -EINTR: the user did not want to wait for it. */
static int
run_call(struct run *r, const char *method, const ProtobufCMessage *msg, int timeout_ms,
    const ProtobufCMessageDescriptor *want, ProtobufCMessage **out, struct err *err)
{
	struct pollfd p[] = {{.fd = rpc_fd(r->rpc), .events = POLLIN},
	    {.fd = r->signal_fd, .events = POLLIN}};
	uint32_t stream;
	int rc = rpc_begin(r->rpc, method, msg, timeout_ms, &stream, err), over = 0;

	if (rc < 0)
		return rc;
	while ((rc = rpc_end(r->rpc, stream, RPC_LOOK, want, out, err)) == -EINPROGRESS) {
		if (over < 0)
			return over;
		if (poll(p, ARRAY_LEN(p), timeout_ms) == 0)
			return rpc_end(r->rpc, stream, 0, want, out, err);
		if (run_gives_up(r)) {
			r->made = false;
			return err_setx(err, EINTR,
			    "the shim does not take signals: gave up; 'podshimctl delete "
			    "--force %s' takes away what has been made of container '%s'",
			    r->info.id, r->info.id);
		}
		over = rpc_take_in(r->rpc, err);
	}
	return rc;
}

static int
run_create(struct run *r, struct err *err)
{
	Containerd__Task__V2__CreateTaskRequest req =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Runc__V1__Options opts = CONTAINERD__RUNC__V1__OPTIONS__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	AUTO_FREE char *in =
	    r->interactive ? mem_printf("%s/" RUN_STDIN, r->dir) : mem_strdup("");
	AUTO_FREE char *url = mem_strdup(OPTIONS_URL);
	AUTO_FREE char *runtime = mem_strdup(r->runtime);
	AUTO_FREE void *bytes = NULL;
	ProtobufCMessage *answer = NULL;
	int rc;

	opts.binary_name = runtime;
	wire_pack(&opts.base, &bytes, &any.value.len);
	any.type_url = url;
	any.value.data = bytes;
	req.id = r->info.id;
	req.bundle = r->dir;
	req.stdin = in;
	req.stdout = r->log_uri;
	/* a terminal has one stream */
	req.stderr = r->terminal ? req.stderr : r->log_uri;
	req.terminal = r->terminal;
	req.options = &any;
	rc = run_call(r, "Create", &req.base, CREATE_MS,
	    &containerd__task__v2__create_task_response__descriptor, &answer, err);
	if (rc < 0)
		return rc;
	r->pid = ((const Containerd__Task__V2__CreateTaskResponse *)answer)->pid;
	protobuf_c_message_free_unpacked(answer, NULL);
	return 0;
}

static int
run_start(struct run *r, struct err *err)
{
	Containerd__Task__V2__WaitRequest wait = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	Containerd__Task__V2__StartRequest start =
	    CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char text[16];
	int n = snprintf(text, sizeof text, "%u", r->pid), rc = 0;

	if (r->info.pid_file != NULL)
		rc = file_write(AT_FDCWD, r->info.pid_file, text, (size_t)n, 0644, err);
	if (rc < 0)
		return rc;
	wait.id = start.id = r->info.id;
	if (!r->detach) {
		rc = rpc_begin(r->rpc, "Wait", &wait.base, 0, &r->wait, err);
		if (rc == 0 && r->terminal)
			relay_resize(r->rpc, r->info.id);
	}
	return rc < 0 ? rc : run_call(r, "Start", &start.base, START_MS, NULL, NULL, err);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Whatever has been made goes. */
static void
run_undo(struct run *r)
{
	struct err err = ERR_INIT;

	if (!r->made)
		return;
	if (run_remove(r->ctl->root, r->info.ns, r->info.id, &err) < 0)
		(void)ctl_fail(r->ctl, "%s", err.text);
}

static int
run_ended(struct run *r, const struct relay_end *end)
{
	struct err err = ERR_INIT;
	int rc = 0;

	if (end->missed > 0)
		(void)ctl_fail(r->ctl,
		    "%llu bytes of output were missed; the log has them",
		    (unsigned long long)end->missed);
	if (r->info.exit_file != NULL)
		rc = run_write_exit(r->info.exit_file, end->status, end->exited_at, &err);
	if (rc < 0)
		(void)ctl_fail(r->ctl, "%s", err.text);
	if (r->info.remove) {
		/* The events let us go first, but between our two locks one may be first. */
		(void)flock_until(r->dir_fd, LOCK_EX, clock_boot_us() + REMOVE_US);
		run_undo(r);
	}
	return (int)end->status;
}

static int
run_foreground(struct run *r, int attach_fd, int stdin_fd)
{
	const struct relay_spec spec = {.rpc = r->rpc,
	    .id = r->info.id,
	    .attach_fd = attach_fd,
	    .stdin_fifo = stdin_fd,
	    .close_stdin = true,
	    .terminal = r->terminal};
	struct err err = ERR_INIT;
	struct relay_end end;
	int rc;

	run_raise_early(r);
	rc = relay_run(&spec, r->wait, &end, &err);
	if (rc < 0)
		return ctl_fail_as(r->ctl, CTL_NOT_RUN, "%s%s",
		    rc == -EINTR ? "" : "the pod's shim is lost: ", err.text);
	if (end.detached) {
		(void)fprintf(r->ctl->err,
		    "detached: 'podshimctl attach %s' comes back\n", r->info.id);
		return CTL_OK;
	}
	return run_ended(r, &end);
}

static int
run_background(struct run *r)
{
	struct logged log;

	if (!ctl_is_json(r->ctl)) {
		(void)fprintf(r->ctl->out, "%s\n", r->info.id);
		return CTL_OK;
	}
	/* of all that was said of it the last counts */
	(void)logged_of_uri(r->log_uri, r->info.id, r->info.ns, &log);
	js_print(r->ctl,
	    json_pack("{s:o, s:o, s:o, s:i, s:o}", "namespace", js_text(r->info.ns),
		"pod", js_text(r->info.pod), "container", js_text(r->info.id), "pid",
		(int)r->pid, "log", js_text(log.path)));
	logged_fini(&log);
	return CTL_OK;
}

/* From the directory to the started container. */
static int
run_up(struct run *r, int *attach_fd, int *stdin_fd)
{
	AUTO_FREE char *attach = mem_printf("%s/" RUN_ATTACH, r->dir);
	AUTO_FREE char *in = mem_printf("%s/" RUN_STDIN, r->dir);
	struct err err = ERR_INIT;
	int rc = run_make_dir(r, &err);

	if (rc == 0)
		rc = run_connect(r, &err);
	if (rc < 0)
		return run_fail(r, &err);
	rc = run_create(r, &err);
	if (rc < 0)
		return ctl_fail_as(r->ctl, run_exit_of(err.text), "%s", err.text);
	if (!r->detach) {
		*attach_fd = relay_attach(attach, ATTACH_HOLD, &err);
		if (*attach_fd < 0)
			return run_fail(r, &err);
	}
	if (!r->detach && r->interactive) {
		*stdin_fd = relay_open_stdin(in, &err);
		if (*stdin_fd < 0)
			return run_fail(r, &err);
	}
	rc = run_start(r, &err);
	if (rc < 0)
		return ctl_fail_as(r->ctl, run_exit_of(err.text), "%s", err.text);
	return CTL_OK;
}

static int
cmd_run(struct ctl *ctl)
{
	struct run r = {.ctl = ctl, .dir_fd = -1, .signal_fd = -1};
	int attach_fd = -1, stdin_fd = -1;
	int rc = run_options(&r);

	if (rc == CTL_OK) {
		r.dir = run_dir_path(ctl->root, r.info.ns, r.info.id);
		(void)sigemptyset(&r.early);
		if (!r.detach) {
			relay_hold_signals();
			r.signal_fd = foreground_signal_fd();
		}
		rc = run_up(&r, &attach_fd, &stdin_fd);
		if (rc != CTL_OK) {
			fd_close(&attach_fd);
			fd_close(&stdin_fd);
			run_undo(&r);
		} else if (r.detach) {
			rc = run_background(&r);
		} else {
			rc = run_foreground(&r, attach_fd, stdin_fd);
		}
	}
	rpc_close(r.rpc);
	pods_fini(&r.pods);
	fd_close(&r.signal_fd);
	fd_close(&r.dir_fd);
	free(r.dir);
	free(r.log_uri);
	run_info_fini(&r.info);
	return rc;
}

static const struct ctl_option run_options_table[] = {
    {"rootfs", 0, "DIR", "the root file system; the rest of the bundle is made"},
    {"bundle", 'b', "DIR", "an OCI bundle: its config.json is taken, it is not changed"},
    {"pod", 'p', "POD", "run it in this pod; by default in one of its own, named ID"},
    {"interactive", 'i', NULL, "the container's stdin is ours"},
    {"tty", 't', NULL, "give it a terminal"},
    {"detach", 'd', NULL, "print ID and return; the container runs on"},
    {"rm", 0, NULL, "remove it when it has ended"},
    {"env", 'e', "NAME=VALUE", "set in its environment; may be repeated"},
    {"cwd", 'w', "DIR", "its working directory"},
    {"net", 0, "none|host", "an empty network namespace (default), or the host's"},
    {"read-only", 0, NULL, "it cannot write to its root file system"},
    {"runtime", 'r', "NAME", "the OCI runtime: runc (default), crun, or a path"},
    {"log", 'l', "FILE", "log file, \"none\" or \"journald\""},
    {"log-opt", 0, "KEY=VALUE", "for podshim-logger: format, max-size, ...; repeatable"},
    {"pid-file", 0, "FILE", "write its pid there"},
    {"exit-file", 0, "FILE", "write its exit status there when it has ended"},
    {0},
};

const struct ctl_verb verb_run = {
    .name = "run",
    .group = GROUP_RUN,
    .args = "ID [CMD [ARG...]]",
    .summary = "run a container without containerd",
    .text =
	"The same shim runs it, in namespace 'podshim' unless -n names another; all\n"
	"other commands know it. Its output goes to /var/log/podshim/NAMESPACE/ID.log\n"
	"and, without -d, here. Signals are passed on; one that comes when the shim has\n"
	"not taken an earlier one for a second ends podshimctl alone. ctrl-p ctrl-q\n"
	"detaches from a terminal. The exit status is the container's, or 125 if the\n"
	"call was wrong, podshim or the runtime failed, 126 if CMD cannot be executed,\n"
	"127 if there is no such CMD.",
    .options = run_options_table,
    .examples =
	"  podshimctl run --rm --rootfs /srv/busybox hello echo hello\n"
	"  podshimctl run -it --rm --rootfs /srv/busybox shell sh\n"
	"  podshimctl run -d --pod web --bundle /srv/web --exit-file /run/web.exit web",
    .order = ORDER_FIRST,
    .min_args = 1,
    .max_args = CTL_ANY_NUMBER,
    .run = cmd_run,
    .misuse = CTL_NOT_RUN,
};

/*
 * The launcher gets a clean environment: what a keeper inherits stays with it
 * for the pod's life, and the next worker has it, too.
 */
#include "client/run_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define SHIM_BINARY "containerd-shim-podshim-v1"
#define ANSWER_MAX  (64u * 1024u)
#define PATH_ENV    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

int
run_sibling(const char *name, char **out, struct err *err)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	AUTO_FREE char *path = NULL;

	if (n <= 0)
		return err_set(err, errno, "read /proc/self/exe");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	path = mem_printf("%s/%s", self, name);
	if (access(path, X_OK) == -1)
		return err_set(err, errno, "'%s'", path);
	*out = steal_ptr(&path);
	return 0;
}

static void
shim_env(const char *state_root, struct strv *env)
{
	const char *path = getenv("PATH");
	char **e;

	if (path != NULL)
		strv_addf(env, "PATH=%s", path);
	else
		strv_add(env, PATH_ENV);
	for (e = environ; *e != NULL; e++) {
		if (strncmp(*e, "PODSHIM_", 8) == 0 &&
		    strncmp(*e, "PODSHIM_STATE_ROOT=", 19) != 0)
			strv_add(env, *e);
	}
	strv_addf(env, "PODSHIM_STATE_ROOT=%s", state_root);
}

/* In the child: nothing of ours but the two pipes. */
static void __attribute__((noreturn)) program_exec(const char *path, const char *dir,
    char *const *argv, char *const *env, int out, int errs)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGTTOU, SIG_DFL);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(errs, 2) == 2 &&
	    chdir(dir) == 0)
		(void)execve(path, argv, env);
	(void)dprintf(errs, "%s: %s", path, strerror(errno));
	_exit(127);
}

/* What it says on both, and how it ended. */
static int
program_wait(pid_t pid, const char *name, int out, int errs, char **text, struct err *err)
{
	AUTO_FREE char *said = NULL;
	AUTO_FREE char *complaint = NULL;
	size_t len;
	int status, rc;

	/* neither says much: one after the other is enough */
	rc = fd_read_all(out, ANSWER_MAX, &said, &len, err);
	if (rc == 0)
		rc = fd_read_all(errs, ANSWER_MAX, &complaint, &len, err);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (rc < 0)
		return err_wrap(err, rc, "%s", name);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		*text = steal_ptr(&said);
		return 0;
	}
	complaint[strcspn(complaint, "\n")] = '\0';
	if (complaint[0] == '\0')
		return err_setx(
		    err, ECHILD, "%s ended with status %#x", name, (unsigned)status);
	return err_setx(err, ECHILD, "%s", complaint);
}

int
run_program(const char *name, const char *dir, char *const *argv, char *const *env,
    char **text, struct err *err)
{
	AUTO_FREE char *path = NULL;
	int out[2] = {-1, -1}, errs[2] = {-1, -1};
	int rc = run_sibling(name, &path, err);
	pid_t pid;

	if (rc < 0)
		return rc;
	if (pipe2(out, O_CLOEXEC) == -1 || pipe2(errs, O_CLOEXEC) == -1) {
		rc = err_set(err, errno, "make a pipe");
		fd_close(&out[0]);
		fd_close(&out[1]);
		return rc;
	}
	pid = fork();
	if (pid == 0)
		program_exec(path, dir, argv, env, out[1], errs[1]);
	fd_close(&out[1]);
	fd_close(&errs[1]);
	rc = pid == -1 ? err_set(err, errno, "fork")
		       : program_wait(pid, name, out[0], errs[0], text, err);
	fd_close(&out[0]);
	fd_close(&errs[0]);
	return rc;
}

static int
shim_run(const char *state_root, const char *ns, const char *id, const char *bundle,
    const char *flag, const char *action, char **text, struct err *err)
{
	AUTO_STRV struct strv argv = {0}, env = {0};
	AUTO_FREE char *self = NULL;
	int rc = run_sibling("podshimctl", &self, err);

	if (rc < 0)
		return rc;
	strv_add(&argv, SHIM_BINARY);
	strv_add(&argv, "-namespace");
	strv_add(&argv, ns);
	strv_add(&argv, "-address");
	strv_add(&argv, RUN_ADDRESS);
	strv_add(&argv, "-publish-binary");
	strv_add(&argv, self);
	strv_add(&argv, "-id");
	strv_add(&argv, id);
	strv_add(&argv, "-bundle");
	strv_add(&argv, bundle);
	if (flag != NULL)
		strv_add(&argv, flag);
	strv_add(&argv, action);
	shim_env(state_root, &env);
	return run_program(SHIM_BINARY, bundle, argv.v, env.v, text, err);
}

int
run_shim_start(const char *state_root, const char *ns, const char *id, const char *bundle,
    char **address, struct err *err)
{
	AUTO_FREE char *text = NULL;
	int rc = shim_run(state_root, ns, id, bundle, NULL, "start", &text, err);

	if (rc < 0)
		return rc;
	text[strcspn(text, "\n")] = '\0';
	*address = steal_ptr(&text);
	return 0;
}

int
run_shim_delete(const char *state_root, const char *ns, const char *id,
    const char *bundle, struct err *err)
{
	AUTO_FREE char *text = NULL;

	return shim_run(state_root, ns, id, bundle, "-whole", "delete", &text, err);
}

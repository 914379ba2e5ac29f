/*
 * An OCI runtime that costs a millisecond: real processes, real pid files,
 * real consoles, one cgroup per container, no namespaces. It writes down each
 * time it is run (<bundle>/calls), so that a command run twice is seen.
 *
 * Under the name crash-publish it is the publish binary: it hands the event
 * to the crash harness. As /prog in a real container it is the program.
 *
 * The bundle's config.json, or an exec's process file, is searched for the
 * text PROG=...; see program.h. @N makes each command of this process take N
 * milliseconds, half before and half after its effect; !create, !start and
 * !exec make that command fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

struct args {
	const char *root, *log, *bundle, *pid_file, *console, *process, *verb;
	const char *words[4];
	unsigned n_words;
	int force, all;
};

static struct args args;
static char state_dir[PATH_MAX];
static char bundle[PATH_MAX];
static char cgroup[PATH_MAX];

__attribute__((noreturn, format(printf, 1, 2))) static void
fail(const char *fmt, ...)
{
	char text[512];
	FILE *f = args.log != NULL ? fopen(args.log, "ae") : NULL;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (f != NULL) {
		(void)fprintf(f,
		    "{\"level\":\"error\",\"msg\":\"%s\",\"time\":\"2024-01-01T00:00:"
		    "00Z\"}\n",
		    text);
		(void)fclose(f);
	}
	(void)fprintf(stderr, "fakeruntime: %s\n", text);
	_exit(1);
}

static char *
slurp(const char *path)
{
	static char buf[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1)
		return NULL;
	n = read(fd, buf, sizeof buf - 1);
	(void)close(fd);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

static void
put(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	if (fd == -1 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("write '%s': %s", path, strerror(errno));
	(void)close(fd);
}

__attribute__((format(printf, 2, 3))) static const char *
path_of(const char *dir, const char *fmt, ...)
{
	static char path[4][PATH_MAX + 128];
	static unsigned turn;
	char name[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
	turn = (turn + 1) % 4;
	(void)snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
	return path[turn];
}

/* one of v1's hierarchies, or v2 */
static const char *
cgroup_base(void)
{
	static const char v1[] = "/sys/fs/cgroup/pids";

	return access(v1, F_OK) == 0 ? v1 : "/sys/fs/cgroup";
}

/* Runs beside each other have the same ids, but roots of their own. */
static void
find_cgroup(void)
{
	uint32_t sum = 2166136261u; /* FNV-1a */
	const char *p;

	for (p = args.root; *p != '\0'; p++)
		sum = (sum ^ (unsigned char)*p) * 16777619u;
	(void)snprintf(cgroup, sizeof cgroup, "%s/podshim-crash/%08" PRIx32 "-%s",
	    cgroup_base(), sum, args.words[0]);
}

static void
wait_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	while (ms > 0 && nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

/* The PROG=... of a JSON text; NULL if there is none. */
static char *
find_prog(const char *json)
{
	const char *p = json != NULL ? strstr(json, "PROG=") : NULL;
	char *prog;

	if (p == NULL)
		return NULL;
	prog = strdup(p + 5);
	prog[strcspn(prog, "\"")] = '\0';
	return prog;
}

static long
prog_delay(const char *prog)
{
	const char *p = strchr(prog, '@');

	return p != NULL ? strtol(p + 1, NULL, 10) : 0;
}

static const char *
prog_tag(const char *prog)
{
	static char tag[64];
	const char *p = strchr(prog, '#');

	(void)snprintf(tag, sizeof tag, "%.*s", p != NULL ? (int)strcspn(p, ";") : 0,
	    p != NULL ? p : "");
	return tag;
}

static void
note_call(const char *tag)
{
	char line[128];
	unsigned i;

	(void)snprintf(line, sizeof line, "%s%s%s", args.verb,
	    args.force ? " --force" : "", args.all ? " --all" : "");
	for (i = 1; i < args.n_words; i++)
		(void)snprintf(line + strlen(line), sizeof line - strlen(line), " %s",
		    args.words[i]);
	(void)snprintf(line + strlen(line), sizeof line - strlen(line), " %s\n", tag);
	put(path_of(bundle, "calls"), line, O_APPEND);
}

/* --- processes -------------------------------------------------------------- */

static int
alive(pid_t pid)
{
	char *stat = slurp(path_of("/proc", "%d/stat", (int)pid));
	const char *p = stat != NULL ? strrchr(stat, ')') : NULL;

	return p != NULL && p[2] != 'Z' && p[2] != 'X';
}

static pid_t
init_pid(void)
{
	const char *text = slurp(path_of(state_dir, "pid"));

	if (text == NULL)
		fail("container does not exist");
	return (pid_t)strtol(text, NULL, 10);
}

static int
make_console(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char name[] = "/dev/ptmx";
	struct iovec iov = {name, sizeof name - 1};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {{0}};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = ctl.buf,
	    .msg_controllen = sizeof ctl.buf};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave, s;

	if (master == -1 || grantpt(master) == -1 || unlockpt(master) == -1)
		fail("pty: %s", strerror(errno));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (slave == -1 || s == -1 || strlen(args.console) >= sizeof sun.sun_path)
		fail("console: %s", strerror(errno));
	memcpy(sun.sun_path, args.console, strlen(args.console) + 1);
	if (connect(s, (struct sockaddr *)&sun, sizeof sun) == -1)
		fail("connect '%s': %s", args.console, strerror(errno));
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &master, sizeof master);
	if (sendmsg(s, &mh, 0) == -1)
		fail("send console: %s", strerror(errno));
	(void)close(s);
	(void)close(master);
	return slave;
}

/* fork a process of the container, its first one or another; gate: a FIFO to wait at, or NULL */
static void
launch(const char *prog, const char *gate, int init)
{
	int slave = args.console != NULL ? make_console() : -1, go[2];
	char text[32], c;
	pid_t pid;

	if (pipe(go) == -1)
		fail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == -1)
		fail("fork: %s", strerror(errno));
	if (pid == 0) {
		(void)setsid();
		(void)close(go[1]);
		(void)!read(go[0], &c, 1); /* it is in its cgroup now */
		(void)close(go[0]);
		if (slave != -1) {
			(void)ioctl(slave, TIOCSCTTY, 0);
			(void)dup2(slave, 0);
			(void)dup2(slave, 1);
			(void)dup2(slave, 2);
		}
		if (chdir("/") == -1)
			_exit(95);
		if (gate != NULL && open(gate, O_RDONLY | O_CLOEXEC) == -1)
			_exit(96);
		program_run(prog);
	}
	(void)snprintf(text, sizeof text, "%d", (int)pid);
	(void)close(go[0]);
	put(path_of(cgroup, "cgroup.procs"), text, 0);
	(void)close(go[1]);
	if (init)
		put(path_of(state_dir, "pid"), text, O_TRUNC);
	if (args.pid_file != NULL) {
		const char *tmp = path_of(state_dir, "pidfile.%d", (int)getpid());

		put(tmp, text, O_TRUNC);
		if (rename(tmp, args.pid_file) == -1)
			put(args.pid_file, text, O_TRUNC);
	}
}

/* --- commands --------------------------------------------------------------- */

/* restored: from a checkpoint, and it runs at once */
static void
do_create(int restored)
{
	char *prog;

	(void)snprintf(
	    bundle, sizeof bundle, "%s", args.bundle != NULL ? args.bundle : ".");
	prog = find_prog(slurp(path_of(bundle, "config.json")));
	if (prog == NULL)
		fail("no PROG in config.json");
	note_call("");
	wait_ms(prog_delay(prog) / 2);
	if (strstr(prog, "!create") != NULL)
		fail("create was told to fail");
	(void)snprintf(cgroup, sizeof cgroup, "%s", args.root);
	if (strrchr(cgroup, '/') != NULL)
		*strrchr(cgroup, '/') = '\0';
	(void)mkdir(cgroup, 0711);
	(void)mkdir(args.root, 0700);
	find_cgroup();
	if (mkdir(state_dir, 0700) == -1)
		fail("container with given ID already exists (%s: %s)", state_dir,
		    strerror(errno));
	(void)mkdir(path_of(cgroup_base(), "podshim-crash"), 0755);
	if (mkdir(cgroup, 0755) == -1 && errno != EEXIST)
		fail("mkdir '%s': %s", cgroup, strerror(errno));
	put(path_of(state_dir, "bundle"), bundle, O_TRUNC);
	put(path_of(state_dir, "prog"), prog, O_TRUNC);
	if (!restored && mkfifo(path_of(state_dir, "gate"), 0600) == -1)
		fail("mkfifo: %s", strerror(errno));
	launch(prog, restored ? NULL : path_of(state_dir, "gate"), 1);
	wait_ms(prog_delay(prog) / 2);
}

static char *
load(void)
{
	const char *text = slurp(path_of(state_dir, "bundle"));

	if (text == NULL)
		fail("container does not exist");
	(void)snprintf(bundle, sizeof bundle, "%s", text);
	text = slurp(path_of(state_dir, "prog"));
	return strdup(text != NULL ? text : "");
}

static void
do_start(void)
{
	char *prog = load();
	char *gate = strdup(path_of(state_dir, "gate"));
	pid_t pid = init_pid();
	int fd;

	note_call("");
	wait_ms(prog_delay(prog) / 2);
	if (strstr(prog, "!start") != NULL)
		fail("start was told to fail");
	while ((fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) == -1) {
		if (errno != ENXIO || !alive(pid))
			fail("cannot start a container that has stopped");
		wait_ms(1);
	}
	(void)unlink(gate);
	(void)close(fd);
	wait_ms(prog_delay(prog) / 2);
}

static void
do_exec(void)
{
	char *prog;

	free(load());
	prog = find_prog(slurp(args.process));
	if (prog == NULL)
		fail("no PROG in the process file");
	note_call(prog_tag(prog));
	wait_ms(prog_delay(prog) / 2);
	if (!alive(init_pid()))
		fail("cannot exec in a stopped container");
	if (strstr(prog, "!exec") != NULL)
		fail("exec was told to fail");
	launch(prog, NULL, 0);
	wait_ms(prog_delay(prog) / 2);
}

/* signal all members of the cgroup; how many there were */
static unsigned
kill_members(int sig)
{
	const char *p = slurp(path_of(cgroup, "cgroup.procs"));
	unsigned n = 0;
	char *end;

	while (p != NULL && *p != '\0') {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 0 && alive(pid)) {
			(void)kill(pid, sig);
			n++;
		}
		p = strchr(p, '\n') != NULL ? strchr(p, '\n') + 1 : NULL;
	}
	return n;
}

static void
do_kill(void)
{
	int sig = args.n_words > 1 ? (int)strtol(args.words[1], NULL, 10) : SIGTERM;

	free(load());
	note_call("");
	if (args.all) {
		(void)kill_members(sig);
		return;
	}
	if (!alive(init_pid()) || kill(init_pid(), sig) == -1)
		fail("container not running");
}

static void
do_delete(void)
{
	const char *text = slurp(path_of(state_dir, "bundle"));
	char *prog;
	int i;

	if (text == NULL) {
		if (args.force)
			return;
		fail("container does not exist");
	}
	prog = load();
	note_call("");
	wait_ms(prog_delay(prog) / 2);
	/* one that was never started may go: it still has its gate */
	if (alive(init_pid()) && !args.force &&
	    access(path_of(state_dir, "gate"), F_OK) == -1)
		fail("cannot delete container that is not stopped");
	for (i = 0; i < 2000 && kill_members(SIGKILL) > 0; i++)
		wait_ms(1);
	for (i = 0; i < 2000 && rmdir(cgroup) == -1 && errno == EBUSY; i++)
		wait_ms(1);
	(void)unlink(path_of(state_dir, "gate"));
	(void)unlink(path_of(state_dir, "pid"));
	(void)unlink(path_of(state_dir, "prog"));
	(void)unlink(path_of(state_dir, "bundle"));
	(void)rmdir(state_dir);
	wait_ms(prog_delay(prog) / 2);
}

/* --- the publish binary ------------------------------------------------------ */

static int
publish(int argc, char **argv)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	static char buf[65536];
	const char *topic = "", *ns = "";
	size_t len = 0;
	ssize_t n;
	char ok = 'n';
	int i, s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	for (i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--address") == 0)
			(void)snprintf(
			    sun.sun_path, sizeof sun.sun_path, "%s.pub", argv[i + 1]);
		else if (strcmp(argv[i], "--topic") == 0)
			topic = argv[i + 1];
		else if (strcmp(argv[i], "--namespace") == 0)
			ns = argv[i + 1];
	}
	len = (size_t)snprintf(buf, sizeof buf, "%s%c%s", topic, '\0', ns) + 1;
	while ((n = read(0, buf + len, sizeof buf - len)) > 0)
		len += (size_t)n;
	if (s == -1 || connect(s, (struct sockaddr *)&sun, sizeof sun) == -1 ||
	    send(s, buf, len, MSG_NOSIGNAL) == -1 || recv(s, &ok, 1, 0) != 1 ||
	    ok != 'y') {
		(void)fprintf(stderr, "publish: nobody took it\n");
		return 1;
	}
	return 0;
}

/* --- main ---------------------------------------------------------------------- */

static void
parse(int argc, char **argv)
{
	static const struct {
		const char *name;
		const char **value;
	} options[] = {{"--root", &args.root}, {"--log", &args.log},
	    {"--bundle", &args.bundle}, {"--pid-file", &args.pid_file},
	    {"--console-socket", &args.console}, {"--process", &args.process}};
	const char *unused;
	size_t k;
	int i;

	for (i = 1; i < argc; i++) {
		for (k = 0; k < sizeof options / sizeof options[0]; k++)
			if (strcmp(argv[i], options[k].name) == 0)
				break;
		if (k < sizeof options / sizeof options[0] && i + 1 < argc)
			*options[k].value = argv[++i];
		else if (strcmp(argv[i], "--log-format") == 0 ||
		    strcmp(argv[i], "--format") == 0 ||
		    strcmp(argv[i], "--image-path") == 0 ||
		    strcmp(argv[i], "--work-path") == 0 ||
		    strcmp(argv[i], "--resources") == 0)
			unused = argv[++i], (void)unused;
		else if (strcmp(argv[i], "--force") == 0)
			args.force = 1;
		else if (strcmp(argv[i], "--all") == 0)
			args.all = 1;
		else if (strncmp(argv[i], "--", 2) == 0)
			continue;
		else if (args.verb == NULL)
			args.verb = argv[i];
		else if (args.n_words < 4)
			args.words[args.n_words++] = argv[i];
	}
	if (args.verb == NULL || args.n_words == 0 || args.root == NULL)
		fail("usage");
	(void)snprintf(state_dir, sizeof state_dir, "%s/%s", args.root, args.words[0]);
	find_cgroup();
}

int
main(int argc, char **argv)
{
	const char *name =
	    strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];

	if (argc == 2 && strncmp(argv[1], "PROG=", 5) == 0)
		program_run(argv[1] + 5);
	if (strcmp(name, "crash-publish") == 0)
		return publish(argc, argv);
	parse(argc, argv);
	if (strcmp(args.verb, "create") == 0) {
		do_create(0);
	} else if (strcmp(args.verb, "restore") == 0) {
		do_create(1);
	} else if (strcmp(args.verb, "start") == 0) {
		do_start();
	} else if (strcmp(args.verb, "exec") == 0) {
		do_exec();
	} else if (strcmp(args.verb, "kill") == 0) {
		do_kill();
	} else if (strcmp(args.verb, "delete") == 0) {
		do_delete();
	} else {
		/* pause, resume, update, checkpoint: nothing to do but to be counted */
		char *prog = load();

		note_call("");
		wait_ms(prog_delay(prog));
	}
	return 0;
}

/*
 * podshim-worker: all the thinking of one pod, in a process that may die at any
 * instruction and be replaced by the next one (HACKING.md).
 *
 * Started by its keeper with the channel as fd 3. With --mount it is the helper
 * that mounts a rootfs instead (mount.h), with --log-file the one that writes
 * a container's output to a file (logger.h), with --stack PID the one that says where
 * a worker is that cannot say so itself (stack.h); with --check it says whether it
 * could take over a pod's store.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/exits.h"
#include "worker/fatal.h"
#include "worker/halt.h"
#include "worker/link.h"
#include "worker/logger.h"
#include "oci/mount.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/pod.h"
#include "worker/recover.h"
#include "worker/report.h"
#include "worker/rpc.h"
#include "worker/stack.h"

#define WORKER_CHANNEL_FD 3
#define WORKER_LOCK	  "worker.lock"
#define WORKER_LOCK_MS	  1000
#define WORKER_LEAVE_US	  (2 * US_PER_S)
#define WORKER_SAFE_AFTER 3u /* boots that failed in a row */
#define WORKER_REFUSED	  78 /* exit status: not with this keeper or this store */

struct worker_args {
	const char *ns;
	const char *id;
	const char *address;
	const char *publish_binary;
	const char *dir;
	const char *log;
	const char *check;
	const char *proto; /* with check: what the keeper speaks, "MIN-MAX" */
	bool debug;
	bool version;
	bool mount;
};

struct worker {
	struct pod pod;
	bool rebuild;
	int lock_fd;
	struct event *leave_ev;
};

/* --- the command line ------------------------------------------------------------ */

static int
worker_parse(int argc, char **argv, struct worker_args *a, struct err *err)
{
	const struct {
		const char *name;
		const char **value;
		bool *flag;
	} options[] = {
	    {"namespace", &a->ns, NULL},
	    {"id", &a->id, NULL},
	    {"address", &a->address, NULL},
	    {"publish-binary", &a->publish_binary, NULL},
	    {"dir", &a->dir, NULL},
	    {"log", &a->log, NULL},
	    {"check", &a->check, NULL},
	    {"proto", &a->proto, NULL},
	    {"debug", NULL, &a->debug},
	    {"mount", NULL, &a->mount},
	    {"v", NULL, &a->version},
	};
	int i;
	size_t j;

	for (i = 1; i < argc; i++) {
		const char *name = argv[i] + strspn(argv[i], "-");

		for (j = 0; j < ARRAY_LEN(options); j++) {
			if (argv[i][0] == '-' && strcmp(name, options[j].name) == 0)
				break;
		}
		if (j == ARRAY_LEN(options))
			return err_setx(err, EINVAL, "unknown argument '%s'", argv[i]);
		if (options[j].flag != NULL)
			*options[j].flag = true;
		else if (i + 1 == argc)
			return err_setx(err, EINVAL, "'%s' needs a value", argv[i]);
		else
			*options[j].value = argv[++i];
	}
	if (!a->version && !a->mount && a->check == NULL &&
	    (a->ns == NULL || a->id == NULL || a->dir == NULL))
		return err_setx(err, EINVAL, "-namespace, -id and -dir are needed");
	return 0;
}

/* --- what the link tells us --------------------------------------------------------- */

static void
worker_on_request(const struct msg_request *req, void *arg)
{
	struct worker *w = arg;

	if (w->pod.leaving)
		return; /* the keeper keeps it for the next worker */
	if ((req->flags & REQ_CONDEMNED) != 0)
		recover_condemned(&w->pod, req->n);
	else
		rpc_request(&w->pod, req);
}

static void
worker_on_cancel(uint64_t n, void *arg)
{
	struct worker *w = arg;

	if (!w->pod.leaving)
		op_cancel(&w->pod, n);
}

static void
worker_on_exit(const struct msg_exit *ex, void *arg)
{
	struct worker *w = arg;

	exits_on_exit(&w->pod, ex);
}

static void
worker_on_pinned(const char *id, void *arg)
{
	struct worker *w = arg;

	/* a worker that died between answer and UNPIN left that to us */
	if (container_visible(&w->pod, id) != NULL)
		link_unpin(w->pod.link, id);
}

static void
worker_on_sync(void *arg)
{
	struct worker *w = arg;

	CRASH_POINT("boot.sync");
	recover_sync(&w->pod, w->rebuild);
	CRASH_POINT("boot.ready");
	link_ready(w->pod.link);
	CRASH_POINT("boot.readied");
}

static void
worker_on_go(void *arg)
{
	struct worker *w = arg;
	struct pod *pod = &w->pod;
	struct err err = ERR_INIT;

	CRASH_POINT("boot.go");
	if (store_commit_migration(pod->store, &err) < 0)
		log_errx("%s", err.text);
	CRASH_POINT("boot.migrated");
	pod->live = true;
	link_release(pod->link);
	(void)pod_flush(pod, NULL);
	recover_go(pod);
	log_debug("up: %zu containers", container_count(pod));
}

static void
worker_on_leave(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	loop_stop(w->pod.loop);
}

static void
worker_leave(struct worker *w)
{
	struct err err = ERR_INIT;

	w->pod.leaving = true;
	if (w->pod.store != NULL && store_backlog(w->pod.store) > 0 &&
	    store_flush(w->pod.store, &err) != 0)
		log_errx("rows are lost: %s", err.text);
	/* what we said must be out before we are */
	pod_timer_set(w->leave_ev, link_queued(w->pod.link) > 0 ? WORKER_LEAVE_US : 0);
}

static void
worker_on_quiesce(enum quiesce_why why, void *arg)
{
	struct worker *w = arg;

	CRASH_POINT("quiesce");
	log_info("leaving: %s",
	    why == QUIESCE_END		 ? "the pod is empty"
		: why == QUIESCE_UPGRADE ? "upgrade"
					 : "restart");
	worker_leave(w);
}

static void
worker_on_tell(int fd, void *arg)
{
	struct worker *w = arg;

	report_write(&w->pod, fd);
}

static void
worker_on_end(void *arg)
{
	struct worker *w = arg;

	if (!w->pod.leaving)
		log_errx("the keeper is gone, leaving");
	exits_apply_all(&w->pod); /* containerd's `delete` asks the store for them */
	worker_leave(w);
}

static void
worker_on_pass(void *arg)
{
	struct worker *w = arg;

	link_loop_pass(w->pod.link);
	if (w->pod.leaving && link_queued(w->pod.link) == 0)
		loop_stop(w->pod.loop);
}

/* --- coming up ------------------------------------------------------------------------ */

/*
 * Held for life, so that a `delete` that comes when the keeper is gone can wait
 * for our last commit. Contended only by such a `delete`, or by an older worker
 * that cannot die (D state): not worth more than a second.
 */
static int
worker_lock(int dirfd)
{
	int fd =
	    openat(dirfd, WORKER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	boot_us_t end = clock_boot_us() + WORKER_LOCK_MS * US_PER_MS;

	if (fd == -1) {
		log_warn("open '%s', ignoring", WORKER_LOCK);
		return -1;
	}
	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK || clock_boot_us() >= end) {
			log_warn("lock '%s', ignoring", WORKER_LOCK);
			break;
		}
		(void)poll(NULL, 0, 10);
	}
	return fd;
}

static void
worker_boot_id(char out[40])
{
	AUTO_FREE char *text = NULL;
	size_t len;

	out[0] = '\0';
	if (file_read(
		AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &text, &len, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(out, 40, "%s", text);
}

static int
worker_open_store(struct worker *w, const struct msg_welcome *welcome, struct err *err)
{
	struct store_identity id = {
	    .ns = w->pod.ns,
	    .group = w->pod.group,
	    .build = PACKAGE_VERSION,
	    .first = welcome->gen == 1,
	};
	struct store *st = NULL;
	AUTO_FREE char *why = NULL, *partial = NULL;
	bool safe =
	    welcome->mode == BOOT_SAFE || welcome->failed_boots >= WORKER_SAFE_AFTER;
	int rc;

	memcpy(id.inst, welcome->inst, sizeof id.inst);
	worker_boot_id(id.boot_id);
	rc = store_open(w->pod.dir, &id, safe, &st, &why, err);
	if (rc < 0)
		return rc;
	pod_use_store(&w->pod, st);
	if (rc == STORE_SET_ASIDE)
		log_errx("the store was set aside: %s", why != NULL ? why : "?");
	/* also where a worker before us made the file and did not get to fill it */
	partial = store_get_meta(st, STORE_PARTIAL);
	w->rebuild = partial != NULL;
	return 0;
}

static void
worker_limits(void)
{
	/* one that somebody has stopped must notice all the same that its keeper died */
	(void)prctl(PR_SET_PDEATHSIG, SIGCONT);
	mem_stay_small();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file too long is an error, not the end */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN); /* the keeper says QUIESCE */
	(void)signal(SIGUSR1, SIG_IGN); /* until there is where to write an answer */
	(void)chdir("/");
}

static int
worker_come_up(struct worker *w, const struct worker_args *a, struct err *err)
{
	static const struct link_ops ops = {
	    .on_request = worker_on_request,
	    .on_cancel = worker_on_cancel,
	    .on_exit = worker_on_exit,
	    .on_pinned = worker_on_pinned,
	    .on_sync = worker_on_sync,
	    .on_go = worker_on_go,
	    .on_quiesce = worker_on_quiesce,
	    .on_tell = worker_on_tell,
	    .on_end = worker_on_end,
	};
	const char *ttrpc_address = getenv("TTRPC_ADDRESS");
	const struct outbox_target target = {
	    .ns = a->ns,
	    .grpc_address = a->address != NULL ? a->address : "",
	    .ttrpc_address = ttrpc_address != NULL ? ttrpc_address : "",
	    .publish_binary = a->publish_binary != NULL ? a->publish_binary : "",
	};
	struct pod *pod = &w->pod;
	struct msg_welcome welcome;
	int rc;

	pod->ns = a->ns;
	pod->group = a->id;
	pod->dir = a->dir;
	pod->log_path = mem_strdup(a->log);
	pod->dirfd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pod->dirfd == -1)
		return err_set(err, errno, "open '%s'", a->dir);
	pod->exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (pod->exe_fd == -1)
		return err_set(err, errno, "open /proc/self/exe");
#ifdef ENABLE_CRASH_POINTS
	crashpoint_init(pod->dirfd);
#endif
	rc = link_open(pod->loop, WORKER_CHANNEL_FD, PACKAGE_VERSION, &ops, w, &pod->link,
	    &welcome, err);
	if (rc < 0)
		return rc;
	pod->suspect = welcome.suspect;
	fatal_init(link_blackbox(pod->link), WORKER_CHANNEL_FD);
	log_set_trace(link_trace);
	CRASH_POINT("boot.hello");
	halt_init(link_blackbox(pod->link), pod->conf.wait);
	(void)halt_at(HALT_BOOT, "", "");
	w->lock_fd = worker_lock(pod->dirfd);
	rc = worker_open_store(w, &welcome, err);
	if (rc < 0)
		return rc;
	CRASH_POINT("boot.store");
	pod->outbox = outbox_new(pod->loop, pod->link, pod->store, &pod->conf, &target);
	rc = recover_load(pod, err);
	if (rc < 0)
		return rc;
	pod_choose_log(pod, NULL);
	CRASH_POINT("boot.loaded");
	return 0;
}

static int
worker_run(const struct worker_args *a)
{
	struct worker w = {.lock_fd = -1};
	struct err err = ERR_INIT;
	struct loop *loop = loop_new();
	int rc;

	if (loop == NULL)
		abort();
	pod_init(&w.pod, loop);
	w.leave_ev = pod_timer_new(&w.pod, worker_on_leave, &w);
	log_init("worker", a->id, a->log);
	log_set_debug(a->debug);
	worker_limits();
	conf_load(&w.pod.conf);
	if (w.pod.conf.debug)
		log_set_debug(true);
	rc = worker_come_up(&w, a, &err);
	if (rc < 0) {
		log_errx("%s%s", err.text,
		    rc == -EPROTO ? "; refusing to work, nothing is changed" : "");
		return rc == -EPROTO ? WORKER_REFUSED : 1;
	}
	loop_run(loop, worker_on_pass, &w);
	/* everything else is given back by exiting; the store's file is not */
	store_close(w.pod.store);
	return 0;
}

/* The keeper's words for the protocols it speaks; an older one does not say. */
static int
worker_check_proto(const char *text, struct err *err)
{
	unsigned long min, max;
	char *end;

	if (text == NULL)
		return 0;
	min = strtoul(text, &end, 10);
	max = *end == '-' ? strtoul(end + 1, &end, 10) : min;
	if (*end != '\0')
		return err_setx(err, EINVAL, "'%s' is no range of protocols", text);
	if (max < IPC_PROTO_MIN || min > IPC_PROTO_MAX)
		return err_setx(err, EPROTO,
		    "this keeper speaks protocol %lu to %lu, worker %s speaks %u to %u",
		    min, max, PACKAGE_VERSION, IPC_PROTO_MIN, IPC_PROTO_MAX);
	return 0;
}

/* Could we take over? Without a store we could: we would make one. */
static int
worker_check(const struct worker_args *a)
{
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc = worker_check_proto(a->proto, &err);

	if (rc == 0)
		rc = store_open_readonly(a->check, &st, &err);
	if (rc < 0 && rc != -ENOENT) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	store_close(st);
	return 0;
}

int
main(int argc, char **argv)
{
	struct worker_args a = {0};
	struct err err = ERR_INIT;

	if (argc > 1 && strncmp(argv[1], "--log-", 6) == 0)
		return log_file_main(argc, argv);
	if (argc == 3 && strcmp(argv[1], "--stack") == 0)
		return stack_main(argv[2]);
	if (worker_parse(argc, argv, &a, &err) < 0) {
		(void)fprintf(stderr, "podshim-worker: %s\n", err.text);
		return 2;
	}
	if (a.version) {
		(void)printf("podshim-worker %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (a.mount)
		return mount_main();
	if (a.check != NULL)
		return worker_check(&a);
	return worker_run(&a);
}

/*
 * The configuration file, read at each worker start: nobody waits for us but
 * the pod, so whatever is wrong with it is logged and passed over. It is read
 * as a whole first, since a FIFO or a device in its place must not stop us.
 */
#include "worker/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define CONF_PATH "/etc/podshim/podshim.conf"
#define CONF_MAX  (64u * 1024u)

static const struct conf conf_defaults = {
    .events_transport = TRANSPORT_AUTO,
    .stdio_direct = false,
    .runtime_timeout_us = 120 * US_PER_S,
    .drain_timeout_us = 10 * US_PER_S,
    .end_delay_us = 30 * US_PER_S,
    .debug = false,
    .wait = HALT_NONE,
};

/* Each sets its member and returns true, or leaves it alone. */
static bool
conf_set_transport(struct conf *c, const char *value)
{
	if (strcmp(value, "auto") == 0)
		c->events_transport = TRANSPORT_AUTO;
	else if (strcmp(value, "publish-binary") == 0)
		c->events_transport = TRANSPORT_PUBLISH_BINARY;
	else if (strcmp(value, "ttrpc") == 0)
		c->events_transport = TRANSPORT_TTRPC;
	else
		return false;
	return true;
}

static bool
conf_choose(bool *out, const char *value, const char *no, const char *yes)
{
	if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
		return false;
	*out = strcmp(value, yes) == 0;
	return true;
}

/* Whole seconds, least to most. */
static bool
conf_seconds(uint64_t *out_us, const char *value, uint64_t least, uint64_t most)
{
	unsigned long long s;
	char *end;

	if (value[0] < '0' || value[0] > '9')
		return false;
	errno = 0;
	s = strtoull(value, &end, 10);
	if (errno != 0 || *end != '\0' || s < least || s > most)
		return false;
	*out_us = s * US_PER_S;
	return true;
}

static bool
conf_set_direct(struct conf *c, const char *value)
{
	return conf_choose(&c->stdio_direct, value, "never", "always");
}

static bool
conf_set_drain(struct conf *c, const char *value)
{
	return conf_seconds(&c->drain_timeout_us, value, 0, 3600);
}

static bool
conf_set_timeout(struct conf *c, const char *value)
{
	return conf_seconds(&c->runtime_timeout_us, value, 1, 86400);
}

static bool
conf_set_end_delay(struct conf *c, const char *value)
{
	return conf_seconds(&c->end_delay_us, value, 0, 86400);
}

static bool
conf_set_level(struct conf *c, const char *value)
{
	return conf_choose(&c->debug, value, "info", "debug");
}

static bool
conf_set_wait(struct conf *c, const char *value)
{
	return halt_parse(value, &c->wait);
}

static const struct {
	const char *section, *key;
	bool (*set)(struct conf *c, const char *value);
} conf_keys[] = {
    {"events", "transport", conf_set_transport},
    {"stdio", "direct", conf_set_direct},
    {"stdio", "drain", conf_set_drain},
    {"runtime", "timeout", conf_set_timeout},
    {"pod", "end_delay", conf_set_end_delay},
    {"log", "level", conf_set_level},
    {"debug", "wait", conf_set_wait},
};

struct conf_reading {
	struct conf *conf;
	const char *path;
};

static int
conf_on_pair(void *arg, const char *section, const char *key, const char *value)
{
	const struct conf_reading *r = arg;
	size_t i;

	for (i = 0; i < ARRAY_LEN(conf_keys); i++) {
		if (strcmp(conf_keys[i].section, section) != 0 ||
		    strcmp(conf_keys[i].key, key) != 0)
			continue;
		if (!conf_keys[i].set(r->conf, value == NULL ? "" : value))
			log_warnx("%s: '%.200s' is no value for %s in [%s], ignoring",
			    r->path, value == NULL ? "" : value, key, section);
		return 1;
	}
	log_warnx(
	    "%s: unknown key '%.200s' in [%.200s], ignoring", r->path, key, section);
	return 1;
}

static int
conf_read(const char *path, char **text, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	size_t len;

	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_setx(err, EINVAL, "'%s' is not a regular file", path);
	return fd_read_all(fd, CONF_MAX, text, &len, err);
}

void
conf_load(struct conf *conf)
{
	const char *named = getenv("PODSHIM_CONFIG");
	const char *path = named != NULL && named[0] != '\0' ? named : CONF_PATH;
	struct conf_reading r = {.conf = conf, .path = path};
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	int rc;

	*conf = conf_defaults;
	rc = conf_read(path, &text, &err);
	if (rc == -ENOENT && path != named)
		return; /* most hosts need none */
	if (rc < 0) {
		log_warnx("configuration: %s, ignoring", err.text);
		return;
	}
	rc = ini_parse_string(text, conf_on_pair, &r);
	if (rc != 0)
		log_warnx("%s: line %d makes no sense, ignoring", path, rc);
}

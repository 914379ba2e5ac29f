/*
 * Nobody sees what a log program prints, so what is wrong here costs somebody an
 * hour: each message names the key, the value and what would be right.
 */
#include "logger/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "logger/journal.h"

#define MAX_SIZE_DEFAULT (UINT64_C(10) * 1024 * 1024)
#define MAX_SIZE_LEAST	 4096
#define MAX_FILES_MOST	 1000

static const struct {
	const char *name;
	enum log_format format;
} formats[] = {
    {"cri", LOG_CRI},
    {"plain", LOG_PLAIN},
    {"journald", LOG_JOURNALD},
    {"none", LOG_NONE},
};

static int
set_format(struct logger_conf *c, const char *value, struct err *err)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(formats); i++) {
		if (strcmp(value, formats[i].name) == 0) {
			c->format = formats[i].format;
			return 0;
		}
	}
	return err_setx(
	    err, EINVAL, "format '%s' is none of cri, plain, journald, none", value);
}

static int
set_path(struct logger_conf *c, const char *value, struct err *err)
{
	if (value[0] != '/')
		return err_setx(err, EINVAL, "path '%s' is not absolute", value);
	free(c->path);
	c->path = mem_strdup(value);
	return 0;
}

static int
set_max_size(struct logger_conf *c, const char *value, struct err *err)
{
	static const char units[] = "kmg";
	const char *unit;
	char *end;
	unsigned long long n;
	unsigned shift = 0;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end != '\0' &&
	    (unit = strchr(units, tolower((unsigned char)*end))) != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 ||
	    n > UINT64_MAX >> 1 >> shift)
		return err_setx(err, EINVAL,
		    "max-size '%s' is no number of bytes (or k, m, g)", value);
	c->max_size = n << shift;
	if (c->max_size != 0 && c->max_size < MAX_SIZE_LEAST)
		return err_setx(err, EINVAL,
		    "max-size '%s' is less than %d bytes; 0 is for no rotation", value,
		    MAX_SIZE_LEAST);
	return 0;
}

/* A number up to most, in that base. */
static bool
number(const char *value, int base, unsigned long most, unsigned *out)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, base);
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || n > most)
		return false;
	*out = (unsigned)n;
	return true;
}

static int
set_max_files(struct logger_conf *c, const char *value, struct err *err)
{
	if (!number(value, 10, MAX_FILES_MOST, &c->max_files) || c->max_files == 0)
		return err_setx(err, EINVAL, "max-files '%s' is no number from 1 to %d",
		    value, MAX_FILES_MOST);
	return 0;
}

static int
set_mode(struct logger_conf *c, const char *value, struct err *err)
{
	unsigned mode;

	if (!number(value, 8, 0777, &mode) || (mode & 0600) != 0600)
		return err_setx(err, EINVAL,
		    "mode '%s' is no octal file mode that lets its owner read and write",
		    value);
	c->mode = (mode_t)mode;
	return 0;
}

static int
set_attach(struct logger_conf *c, const char *value, struct err *err)
{
	if (value[0] != '/')
		return err_setx(err, EINVAL, "attach '%s' is not absolute", value);
	c->attach = value;
	return 0;
}

static int
set_journal(struct logger_conf *c, const char *value, struct err *err)
{
	(void)err;
	c->journal = value;
	return 0;
}

static int
set_id(struct logger_conf *c, const char *value, struct err *err)
{
	(void)err;
	c->id = value;
	return 0;
}

static int
set_tag(struct logger_conf *c, const char *value, struct err *err)
{
	(void)err;
	c->tag = value;
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct logger_conf *c, const char *value, struct err *err);
} keys[] = {
    {"path", set_path},
    {"format", set_format},
    {"max-size", set_max_size},
    {"max-files", set_max_files},
    {"mode", set_mode},
    {"id", set_id},
    {"tag", set_tag},
    {"attach", set_attach},
    {"journal", set_journal},
};

/* They become part of a path and of journald's fields. */
static int
check_name(const char *what, const char *name, struct err *err)
{
	const char *p;

	for (p = name; *p != '\0'; p++) {
		if (!isgraph((unsigned char)*p) || *p == '/')
			break;
	}
	if (*p != '\0' || name[0] == '.' || strlen(name) > 200)
		return err_setx(err, EINVAL, "%s '%s' is no name", what, name);
	return 0;
}

/* Every {id} and {namespace} in the path. */
static void
expand(struct logger_conf *c)
{
	const struct mem_word words[] = {{"{id}", c->id}, {"{namespace}", c->ns}};
	char *path = mem_expand(c->path, words, ARRAY_LEN(words));

	free(c->path);
	c->path = path;
}

static int
finish(struct logger_conf *c, struct err *err)
{
	int rc = check_name("id", c->id, err);

	if (rc == 0)
		rc = check_name("namespace", c->ns, err);
	if (c->tag == NULL)
		c->tag = c->id;
	if (rc == 0)
		rc = check_name("tag", c->tag, err);
	if (rc < 0)
		return rc;
	if (c->path != NULL)
		expand(c);
	else if (c->format == LOG_CRI || c->format == LOG_PLAIN)
		return err_setx(err, EINVAL, "the key 'path' is missing");
	return 0;
}

int
logger_conf_parse(char *const *words, const char *id, const char *ns,
    struct logger_conf *out, struct err *err)
{
	struct logger_conf c = {
	    .format = LOG_CRI,
	    .max_size = MAX_SIZE_DEFAULT,
	    .max_files = 5,
	    .mode = 0640,
	    .id = id != NULL ? id : "container",
	    .ns = ns != NULL ? ns : "default",
	    .journal = JOURNAL_SOCKET,
	};
	size_t i;
	int rc = 0;

	for (; rc == 0 && words[0] != NULL; words += 2) {
		for (i = 0; i < ARRAY_LEN(keys); i++) {
			if (strcmp(words[0], keys[i].name) == 0)
				break;
		}
		if (i == ARRAY_LEN(keys))
			rc = err_setx(err, EINVAL, "unknown key '%s'", words[0]);
		else if (words[1] == NULL)
			rc = err_setx(err, EINVAL, "the key '%s' has no value", words[0]);
		else
			rc = keys[i].set(&c, words[1], err);
	}
	if (rc == 0)
		rc = finish(&c, err);
	if (rc < 0)
		logger_conf_fini(&c);
	else
		*out = c;
	return rc;
}

void
logger_conf_fini(struct logger_conf *conf)
{
	free(conf->path);
	conf->path = NULL;
}

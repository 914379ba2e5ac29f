/*
 * As much TOML as containerd's CRI plugin writes when it hands an options
 * table on as text: `key = value` lines. Tables, arrays, floats and dates are
 * legal but say nothing to us; they are recognised only to be passed over.
 */
#ifndef PODSHIM_OCI_OPTIONS_TOML_H
#define PODSHIM_OCI_OPTIONS_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum toml_kind { TOML_STRING, TOML_BOOL, TOML_INT, TOML_OTHER };

struct toml_value {
	enum toml_kind kind;
	const char *string; /* unescaped, NUL-terminated; borrowed */
	bool boolean;
	int64_t integer;
};

/*
 * Calls cb for each key outside of any table, in order. cb returns 0 or
 * -errno with err filled, which ends the reading. -EINVAL for a syntax error,
 * with its line.
 */
typedef int (*toml_cb)(
    const char *key, const struct toml_value *value, void *arg, struct err *err);
int toml_read(const char *text, size_t len, toml_cb cb, void *arg, struct err *err);

#endif

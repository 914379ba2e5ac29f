/*
 * podshimctl's command line: options, help, names that are nearly right,
 * formats, and what the shell's completion is told.
 */
#include "client_helper.h"

#include "client/args.h"
#include "client/json.h"
#include "client/nearest.h"
#include "client/sheet.h"
#include "client/verbs.h"

/* --- the table of verbs ---------------------------------------------------- */

/* Whatever a verb declares is in its help, and makes no nonsense. */
static void
check_verb(const char *path, const struct ctl_verb *v)
{
	const struct ctl_option *o, *g;
	size_t i;

	assert_true((v->run != NULL) != (v->subs != NULL));
	assert_true(v->max_args >= v->min_args);
	assert_non_null(v->summary);
	assert_null(strchr(v->summary, '.'));
	AUTO_FREE char *line = mem_printf("%s --help", path);
	struct strv words = {0};
	char *save = NULL, *word;

	for (word = strtok_r(line, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		strv_add(&words, word);
	AUTO_RUN struct run r = run_v(NULL, (const char *const *)words.v);
	AUTO_FREE char *usage = mem_printf("usage: podshimctl %s", path);

	strv_fini(&words);
	if (v->order == ORDER_NONE)
		return;
	assert_int_equal(r.code, CTL_OK);
	assert_ptr_equal(strstr(r.out, usage), r.out);
	for (o = v->options; o != NULL && o->name != NULL; o++) {
		AUTO_FREE char *name = mem_printf("--%s", o->name);

		assert_non_null(strstr(r.out, name));
		assert_non_null(strstr(r.out, o->text));
		for (g = ctl_global_options; g->name != NULL; g++) {
			assert_string_not_equal(g->name, o->name);
			assert_true(o->letter == 0 || o->letter != g->letter);
		}
	}
	if (v->examples != NULL)
		assert_non_null(strstr(r.out, v->examples));
	for (i = 0; v->subs != NULL && v->subs[i] != NULL; i++) {
		AUTO_FREE char *below = mem_printf("%s %s", path, v->subs[i]->name);

		check_verb(below, v->subs[i]);
	}
}

static void
test_client_args_every_verb_has_help(void **state)
{
	const struct ctl_verb *const *v;

	(void)state;
	AUTO_RUN struct run all = RUN(NULL, "--help");
	assert_int_equal(all.code, CTL_OK);
	for (v = ctl_verbs; *v != NULL; v++) {
		AUTO_FREE char *line = mem_printf("\n  %s ", (*v)->name);

		assert_non_null(strstr(all.out, line));
		assert_non_null(strstr(all.out, (*v)->summary));
		check_verb((*v)->name, *v);
	}
	AUTO_RUN struct run one = RUN(NULL, "help", "upgrade");
	AUTO_RUN struct run same = RUN(NULL, "upgrade", "--help");
	assert_string_equal(one.out, same.out);
	AUTO_RUN struct run none = RUN(NULL, "help", "nothing");
	assert_int_equal(none.code, CTL_USAGE);
}

static void
test_client_args_bad_ones_are_named(void **state)
{
	static const char *const bad[][5] = {
	    {"unknown command 'lits', did you mean 'list'", "lits"},
	    {"unknown option '-x'", "list", "-x"},
	    {"unknown option '--frob'", "list", "--frob"},
	    {"option '--exact' takes no value", "list", "--exact=1"},
	    {"option '-o' wants a value", "list", "-o"},
	    {"unknown output format 'xml'", "list", "-o", "xml"},
	    {"'--jobs 65': not a number from 1 to 64", "restart", "web", "--jobs", "65"},
	    {"either a pod or '--all'", "restart", "web", "--all"},
	    {"wants a pod or '--all'", "restart"},
	    {"'inspect' wants POD|CONTAINER", "inspect"},
	    {"one argument too many: 'b'", "inspect", "a", "b"},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const char *args[5] = {bad[i][1], bad[i][2], bad[i][3], bad[i][4], NULL};
		AUTO_RUN struct run r = run_v(*state, args);

		assert_int_equal(r.code, CTL_USAGE);
		assert_string_equal(r.out, "");
		assert_non_null(strstr(r.err, bad[i][0]));
	}
}

/* --- formats --------------------------------------------------------------- */

static void
test_client_args_formats(void **state)
{
	pods_make(*state);
	AUTO_RUN struct run lines = RUN(*state, "tasks", "-ojsonl");
	assert_int_equal(lines.code, CTL_OK);
	assert_ptr_equal(
	    strstr(lines.out, "{\"namespace\":\"default\",\"pod\":\"web\","), lines.out);
	char *p = lines.out;
	size_t n = 0;

	for (; *p != '\0'; p++)
		n += *p == '\n';
	assert_int_equal(n, 4);
	AUTO_RUN struct run empty = RUN("/nonexistent", "list", "-o", "jsonl");
	assert_string_equal(empty.out, "");
	AUTO_RUN struct run wide = RUN(*state, "list", "--output=wide");
	assert_non_null(strstr(wide.out, "  DEATHS  "));
	assert_non_null(strstr(wide.out, "  now  "));
	AUTO_RUN struct run table = RUN(*state, "list");
	assert_null(strstr(table.out, "  DEATHS  "));
	AUTO_RUN struct run ago = RUN(*state, "tasks");
	assert_non_null(strstr(ago.out, " ago"));
	AUTO_RUN struct run one = RUN(NULL, "version", "-o", "jsonl");
	assert_string_equal(one.out, "{\"version\":\"" PACKAGE_VERSION "\"}\n");
}

static char *
sheet_out(enum ctl_format format, bool exact)
{
	static const struct column columns[] = {{"A", "a", 0}, {"B", NULL, 0},
	    {NULL, "c", 0}, {"D", "d", SHOW_WIDE}, {"E", "e", 0}, {"F", "f", 0},
	    {"G", "g", 0}, {0}};
	char *out = NULL;
	size_t len;
	struct ctl ctl = {
	    .out = open_memstream(&out, &len), .format = format, .exact = exact};
	struct sheet *s = sheet_new(&ctl, columns);

	sheet_text(s, "");
	sheet_num(s, 7);
	sheet_bool(s, true);
	sheet_bytes(s, 2048);
	sheet_span(s, 90 * NS_PER_S);
	sheet_real(s, 12.345, 1);
	sheet_time(s, 1);
	sheet_print(s);
	sheet_free(s);
	(void)fclose(ctl.out);
	return out;
}

static void
test_client_args_sheet(void **state)
{
	AUTO_FREE char *json = sheet_out(FORMAT_JSONL, false);
	AUTO_FREE char *exact = sheet_out(FORMAT_WIDE, true);
	AUTO_FREE char *table = sheet_out(FORMAT_TABLE, false);

	(void)state;
	assert_string_equal(json,
	    "{\"a\":null,\"c\":true,\"d\":2048,\"e\":90.0,\"f\":12.345,"
	    "\"g\":\"1970-01-01T00:00:00.000000001Z\"}\n");
	assert_string_equal(exact,
	    "A  B  D     E         F     G\n"
	    "-  7  2048  90.000 s  12.3  1970-01-01T00:00:00.000000001Z\n");
	assert_non_null(strstr(table, "-  7  1 min 30 s  12.3  5"));
	assert_non_null(strstr(table, " y ago\n"));
}

/* --- names and completion --------------------------------------------------- */

static void
assert_nearest(const struct nearest *n, const char *want)
{
	AUTO_FREE char *text = nearest_text(n);

	assert_string_equal(text, want);
}

static void
test_client_args_nearest(void **state)
{
	struct nearest n = {.want = "web"};

	(void)state;
	assert_int_equal(edit_distance("", ""), 0);
	assert_int_equal(edit_distance("abc", ""), 3);
	assert_int_equal(edit_distance("kitten", "sitting"), 3);
	assert_int_equal(edit_distance("list", "lits"), 1);
	nearest_offer(&n, "database");
	assert_nearest(&n, "");
	nearest_offer(&n, "website");
	nearest_offer(&n, "wed");
	nearest_offer(&n, "wed");
	nearest_offer(&n, "ewb");
	nearest_offer(&n, "wxb");
	assert_nearest(&n, ", did you mean 'wed', 'ewb' or 'wxb'?");
}

static void
assert_completes(const char *root, const char *want, const char *const *words)
{
	const char *args[10] = {"complete"};
	size_t i;

	for (i = 0; words[i] != NULL; i++)
		args[i + 1] = words[i];
	AUTO_RUN struct run r = run_v(root, args);
	assert_int_equal(r.code, CTL_OK);
	assert_string_equal(r.out, want);
}
#define COMPLETES(want, ...)                                                             \
	assert_completes(*state, want, (const char *const[]){__VA_ARGS__, NULL})

static void
test_client_args_completion(void **state)
{
	pods_make(*state);
	COMPLETES("words\ntasks\n", "ta");
	COMPLETES("words\ninspect\n", "-o", "json", "--exact", "ins");
	COMPLETES("words\njson\njsonl\n", "list", "-o", "j");
	COMPLETES("words\njson\njsonl\n", "list", "--output", "=", "j");
	COMPLETES("words\ntable\nwide\njson\njsonl\n", "list", "--output", "=");
	COMPLETES("words\nweb\ndb\n", "tasks", "");
	COMPLETES("words\nweb\n", "-n", "default", "tasks", "");
	COMPLETES("words\nfront\n", "inspect", "f");
	COMPLETES("words\ndefault\n", "list", "-n", "d");
	COMPLETES("words\n--worker\n", "upgrade", "--w");
	COMPLETES("files\n", "upgrade", "--worker", "/bi");
	COMPLETES("dirs\n", "--state-root", "");
	COMPLETES("words\n", "tasks", "web", "");
	COMPLETES("words\n", "upgrade", "--", "--w");
	COMPLETES("words\n", "no-such-verb", "");
	COMPLETES("words\nupgrade\n", "help", "up");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_client_args_every_verb_has_help),
	    TEST_IN_DIR(test_client_args_bad_ones_are_named),
	    TEST_IN_DIR(test_client_args_formats),
	    cmocka_unit_test(test_client_args_sheet),
	    cmocka_unit_test(test_client_args_nearest),
	    TEST_IN_DIR(test_client_args_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

# Unit tests: one program per module, registered by its name alone.
LOG_DRIVER = env CMOCKA_MESSAGE_OUTPUT=TAP AM_TAP_AWK='$(AWK)' \
	$(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/lib/tap-run
unit_tests =
include tests/lib/local.mk
include tests/system/local.mk
include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/crash/local.mk
include tests/fault/local.mk
include tests/bench/local.mk
include tests/matrix/local.mk
include tests/vm/local.mk
if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

# The same programs once more under valgrind, but for three: test_io_death, whose
# children are killed in mid-copy for minutes, tests the kernel's splice; test_mount
# needs openat2, which Debian 12's valgrind does not know; and test_launcher_members, whose
# pidfd_open it does not know either.
valgrind_tests = $(filter-out %D%/unit/test_io_death %D%/unit/test_mount %D%/unit/test_launcher_members,$(unit_tests))
check-valgrind: $(unit_tests)
	@printf '%s\n' $(valgrind_tests) | srcdir=$(srcdir) xargs -P 2 -I '{}' \
		$(SHELL) $(top_srcdir)/tests/lib/valgrind-run '{}' $(top_srcdir)
.PHONY: check-valgrind

EXTRA_DIST += %D%/check-source %D%/lint %D%/demo.sh %D%/valgrind.supp %D%/lib/valgrind-run

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
include tests/bench/local.mk
if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

# The same programs once more under valgrind; what they fork is not followed.
check-valgrind: $(unit_tests)
	@rc=0; for t in $(unit_tests); do \
		echo "valgrind $$t"; \
		valgrind -q --error-exitcode=9 --leak-check=full \
			--errors-for-leak-kinds=definite --child-silent-after-fork=yes \
			./$$t >$$t.vg 2>&1 || { cat $$t.vg; rc=1; }; \
		rm -f $$t.vg; \
	done; exit $$rc
.PHONY: check-valgrind

EXTRA_DIST += %D%/check-source %D%/lint %D%/demo.sh

# Drivers of the system tests; the tests themselves are run by tests/system/run
# against an installed tree, not by `make check`.
system_drivers = %D%/rpc
check_PROGRAMS += $(system_drivers)
tests_system_rpc_SOURCES = %D%/rpc.c
tests_system_rpc_LDADD = $(libtests_ldadd)
system-drivers: $(system_drivers)
.PHONY: system-drivers
EXTRA_DIST += %D%/run $(srcdir)/%D%/*.sh

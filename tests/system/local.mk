# Drivers of the system tests; the tests themselves are run by tests/system/run
# against an installed tree, not by `make check`.
system_drivers = %D%/rpc %D%/storm %D%/badinput %D%/flood
check_PROGRAMS += $(system_drivers)
tests_system_rpc_SOURCES = %D%/rpc.c
tests_system_rpc_LDADD = $(libtests_ldadd)
tests_system_storm_SOURCES = %D%/storm.c
tests_system_storm_LDADD = $(libtests_ldadd)
tests_system_badinput_SOURCES = %D%/badinput.c
tests_system_badinput_LDADD = $(libtests_ldadd)
tests_system_flood_SOURCES = %D%/flood.c
tests_system_flood_LDADD = $(libtests_ldadd)
system-drivers: $(system_drivers)
.PHONY: system-drivers
EXTRA_DIST += %D%/run $(srcdir)/%D%/*.sh

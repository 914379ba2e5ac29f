# Each module's tests stand in test_<module>.c; its line goes here.
unit_ldadd = libbase.a $(EVENT_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_err
tests_unit_test_err_SOURCES = %D%/test_err.c
tests_unit_test_err_LDADD = $(unit_ldadd)

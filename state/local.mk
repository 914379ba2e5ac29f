noinst_LIBRARIES += libstate.a
libstate_a_SOURCES = \
	%D%/store.h \
	%D%/store_sqlite.c
EXTRA_DIST += %D%/SCHEMA.md

noinst_LIBRARIES += libstate.a
libstate_a_SOURCES = \
	%D%/migrations.c \
	%D%/store.h \
	%D%/store_events.c \
	%D%/store_file.c \
	%D%/store_history.c \
	%D%/store_private.h \
	%D%/store_read.c \
	%D%/store_rows.c \
	%D%/store_sqlite.c \
	%D%/store_stmt.c \
	%D%/store_tx.c
EXTRA_DIST += %D%/SCHEMA.md

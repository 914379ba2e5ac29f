noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	%D%/clock.c %D%/clock.h \
	%D%/dir.c %D%/dir.h \
	%D%/err.c %D%/err.h \
	%D%/fd.c %D%/fd.h \
	%D%/log.c %D%/log.h \
	%D%/loop.c %D%/loop.h \
	%D%/mem.c %D%/mem.h \
	%D%/poddir.c %D%/poddir.h \
	%D%/podlock.c %D%/podlock.h \
	%D%/podpath.c %D%/podpath.h

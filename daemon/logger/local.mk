bin_PROGRAMS += podshim-logger
noinst_LIBRARIES += liblogger.a
# all of the log program but its main(), so that tests can link it
liblogger_a_SOURCES = \
	%D%/conf.c %D%/conf.h \
	%D%/journal.c %D%/journal.h \
	%D%/lines.c %D%/lines.h \
	%D%/logfile.c %D%/logfile.h \
	%D%/out.c %D%/out.h \
	%D%/watch.c %D%/watch.h
podshim_logger_SOURCES = %D%/main.c
podshim_logger_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshim_logger_LDADD = liblogger.a libipc.a libbase.a
dist_man_MANS += %D%/podshim-logger.1

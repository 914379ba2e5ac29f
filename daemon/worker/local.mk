pkglibexec_PROGRAMS += podshim-worker
noinst_LIBRARIES += libworker.a
# all of the worker but its main(), so that tests can link it
libworker_a_SOURCES =
podshim_worker_SOURCES = %D%/main.c
podshim_worker_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshim_worker_LDADD = libworker.a liboci.a libipc.a libstate.a libproto.a libframe.a \
	libbase.a $(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(INIH_LIBS)

# the core: link to the keeper, operations, methods, recovery
libworker_a_SOURCES += \
	%D%/birth.c %D%/birth.h \
	%D%/command.c %D%/command.h \
	%D%/container.c %D%/container.h \
	%D%/crashpoint.c %D%/crashpoint.h \
	%D%/criu.c %D%/criu.h \
	%D%/create_undo.c \
	%D%/events.c %D%/events.h \
	%D%/exits.c %D%/exits.h \
	%D%/fatal.c %D%/fatal.h \
	%D%/halt.c %D%/halt.h \
	%D%/leftover.c %D%/leftover.h \
	%D%/link.c %D%/link.h %D%/link_int.h \
	%D%/link_fd.c \
	%D%/link_step.c \
	%D%/note.c \
	%D%/oom.c %D%/oom.h \
	%D%/op.c %D%/op.h \
	%D%/pod.c %D%/pod.h \
	%D%/process.c %D%/process.h \
	%D%/purge.c %D%/purge.h \
	%D%/rebuild.c %D%/rebuild.h \
	%D%/recover.c %D%/recover.h \
	%D%/report.c %D%/report.h \
	%D%/rpc.c %D%/rpc.h \
	%D%/stack.c %D%/stack.h \
	%D%/steps.h \
	%D%/tag.c %D%/tag.h \
	%D%/task_checkpoint.c \
	%D%/task_create.c \
	%D%/task_delete.c \
	%D%/task_exec.c \
	%D%/task_io.c \
	%D%/task_kill.c \
	%D%/task_metrics.c \
	%D%/task_pause.c \
	%D%/task_query.c \
	%D%/task_restore.c \
	%D%/task_shutdown.c \
	%D%/task_stats.c \
	%D%/task_update.c \
	%D%/task_start.c %D%/tasks.h \
	%D%/undo_cgroup.c %D%/undo_cgroup.h

# configuration, figures, and events on their way to containerd
libworker_a_SOURCES += \
	%D%/conf.c %D%/conf.h \
	%D%/meter.c %D%/meter.h \
	%D%/metrics.c %D%/metrics.h %D%/metrics_v1.c %D%/metrics_v2.c \
	%D%/outbox.c %D%/outbox.h %D%/outbox_int.h %D%/outbox_end.c \
	%D%/outbox_publish.c %D%/outbox_ttrpc.c \
	%D%/ttrpc_client.c %D%/ttrpc_client.h
dist_man_MANS += %D%/podshim.conf.5
exampledir = $(docdir)/examples
dist_example_DATA = %D%/podshim.conf

# stdio
libworker_a_SOURCES += \
	%D%/console.c \
	%D%/io.c %D%/io.h %D%/io_int.h \
	%D%/io_log.c \
	%D%/io_open.c \
	%D%/io_read.c \
	%D%/log_file.c \
	%D%/logger.c %D%/logger.h \
	%D%/pump.c %D%/pump.h

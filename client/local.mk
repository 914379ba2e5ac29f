bin_PROGRAMS += podshimctl
noinst_LIBRARIES += libclient.a
# all of podshimctl but its main(), so that tests can link it
libclient_a_SOURCES = \
	%D%/act.c %D%/act.h \
	%D%/args.c %D%/args.h \
	%D%/build.c %D%/build.h \
	%D%/cmd_attach.c \
	%D%/cmd_complete.c \
	%D%/cmd_crashes.c \
	%D%/cmd_delete.c \
	%D%/cmd_doctor.c \
	%D%/cmd_debug.c %D%/cmd_debug.h \
	%D%/cmd_debug_net.c \
	%D%/cmd_debug_shell.c \
	%D%/cmd_dump.c \
	%D%/cmd_events.c \
	%D%/cmd_exec.c \
	%D%/cmd_gc.c \
	%D%/cmd_help.c \
	%D%/cmd_history.c \
	%D%/cmd_inspect.c \
	%D%/cmd_kill.c \
	%D%/cmd_list.c \
	%D%/cmd_logs.c \
	%D%/cmd_metrics.c \
	%D%/cmd_pause.c \
	%D%/cmd_ps.c \
	%D%/cmd_resize.c \
	%D%/cmd_run.c \
	%D%/cmd_stats.c \
	%D%/cmd_tasks.c \
	%D%/cmd_top.c \
	%D%/cmd_upgrade.c \
	%D%/cmd_version.c \
	%D%/cmd_wait.c \
	%D%/cmd_why.c \
	%D%/confirm.c %D%/confirm.h \
	%D%/crash.c %D%/crash.h \
	%D%/ctl.c %D%/ctl.h \
	%D%/exec_io.c %D%/exec_io.h \
	%D%/exec_spec.c %D%/exec_spec.h \
	%D%/find.c %D%/find.h \
	%D%/finding.c %D%/finding.h \
	%D%/foreground.c %D%/foreground.h \
	%D%/inside.c %D%/inside.h \
	%D%/inside_root.c \
	%D%/json.c %D%/json.h \
	%D%/leavings.c %D%/leavings.h \
	%D%/log_read.c %D%/log_read.h \
	%D%/look.c %D%/look.h \
	%D%/nearest.c %D%/nearest.h \
	%D%/node.c %D%/node.h \
	%D%/note.c %D%/note.h \
	%D%/past.c %D%/past.h \
	%D%/pod_load.c \
	%D%/pods.c %D%/pods.h \
	%D%/proc.c %D%/proc.h \
	%D%/process.c %D%/process.h \
	%D%/relay.c %D%/relay.h \
	%D%/rpc.c %D%/rpc.h \
	%D%/run_dir.c %D%/run_dir.h \
	%D%/run_event.c %D%/run_event.h \
	%D%/run_logger.c %D%/run_logger.h \
	%D%/run_remove.c %D%/run_remove.h \
	%D%/run_shim.c %D%/run_shim.h \
	%D%/run_spec.c %D%/run_spec.h \
	%D%/sheet.c %D%/sheet.h \
	%D%/stats.c %D%/stats.h \
	%D%/table.c %D%/table.h \
	%D%/term.c %D%/term.h \
	%D%/text.c %D%/text.h \
	%D%/unit.c %D%/unit.h \
	%D%/usage.c %D%/usage.h \
	%D%/verbs.c %D%/verbs.h \
	%D%/why.h %D%/why_container.c %D%/why_pod.c
podshimctl_SOURCES = %D%/main.c
podshimctl_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
client_ldadd = libclient.a liboci.a libipc.a libstate.a libproto.a libframe.a libbase.a \
	$(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(LIBMD_LIBS)
podshimctl_LDADD = $(client_ldadd)
dist_man_MANS += %D%/podshimctl.1
bashcompdir = $(datadir)/bash-completion/completions
dist_bashcomp_DATA = %D%/podshimctl.bash

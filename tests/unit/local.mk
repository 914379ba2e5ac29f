# Each module's tests stand in test_<module>.c; its line goes here.
unit_ldadd = libbase.a $(EVENT_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_backoff
tests_unit_test_backoff_SOURCES = %D%/test_backoff.c
tests_unit_test_backoff_LDADD = libkeeper.a $(unit_ldadd)

unit_tests += %D%/test_err
tests_unit_test_err_SOURCES = %D%/test_err.c
tests_unit_test_err_LDADD = $(unit_ldadd)

unit_tests += %D%/test_dir
tests_unit_test_dir_SOURCES = %D%/test_dir.c
tests_unit_test_dir_LDADD = $(unit_ldadd)

unit_tests += %D%/test_fd
tests_unit_test_fd_SOURCES = %D%/test_fd.c
tests_unit_test_fd_LDADD = $(unit_ldadd)

unit_tests += %D%/test_log
tests_unit_test_log_SOURCES = %D%/test_log.c
tests_unit_test_log_LDADD = $(unit_ldadd)

unit_tests += %D%/test_loop
tests_unit_test_loop_SOURCES = %D%/test_loop.c
tests_unit_test_loop_LDADD = $(unit_ldadd)

unit_tests += %D%/test_mem
tests_unit_test_mem_SOURCES = %D%/test_mem.c
tests_unit_test_mem_LDADD = $(unit_ldadd)

# for the tests of daemon/worker
worker_ldadd = libworker.a liboci.a libipc.a libstate.a libproto.a libframe.a libbase.a \
	$(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	$(INIH_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_cgroup
tests_unit_test_cgroup_SOURCES = %D%/test_cgroup.c
tests_unit_test_cgroup_LDADD = libworker.a liboci.a libbase.a $(CMOCKA_LIBS)

unit_tests += %D%/test_cgroup_dirs
tests_unit_test_cgroup_dirs_SOURCES = %D%/test_cgroup_dirs.c %D%/tmpdir.h
tests_unit_test_cgroup_dirs_LDADD = liboci.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_cgroup_dirs_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=file_read,--wrap=statfs \
	-Wl,--wrap=mountinfo_parse

unit_tests += %D%/test_conf
tests_unit_test_conf_SOURCES = %D%/test_conf.c
tests_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) -DSRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_conf_LDADD = libworker.a liboci.a libbase.a $(INIH_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_metrics
tests_unit_test_metrics_SOURCES = %D%/test_metrics.c
tests_unit_test_metrics_LDADD = $(worker_ldadd)

unit_tests += %D%/test_mount
tests_unit_test_mount_SOURCES = %D%/test_mount.c
tests_unit_test_mount_LDADD = libworker.a liboci.a libbase.a $(CMOCKA_LIBS)

unit_tests += %D%/test_mount_options
tests_unit_test_mount_options_SOURCES = %D%/test_mount_options.c
tests_unit_test_mount_options_LDADD = libworker.a liboci.a libbase.a $(CMOCKA_LIBS)

unit_tests += %D%/test_oci
tests_unit_test_oci_SOURCES = %D%/test_oci.c
tests_unit_test_oci_LDADD = libworker.a liboci.a libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_options
tests_unit_test_options_SOURCES = %D%/test_options.c
tests_unit_test_options_LDADD = libworker.a liboci.a libproto.a libbase.a $(PROTOBUF_C_LIBS) \
	$(JANSSON_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_pump
tests_unit_test_pump_SOURCES = %D%/test_pump.c
tests_unit_test_pump_LDADD = $(worker_ldadd)

unit_tests += %D%/test_outbox
tests_unit_test_outbox_SOURCES = %D%/test_outbox.c %D%/outbox_helper.h %D%/store_helper.h
tests_unit_test_outbox_LDADD = $(worker_ldadd)

unit_tests += %D%/test_outbox_end
tests_unit_test_outbox_end_SOURCES = %D%/test_outbox_end.c %D%/outbox_helper.h \
	%D%/store_helper.h
tests_unit_test_outbox_end_LDADD = $(worker_ldadd)

unit_tests += %D%/test_outbox_publish
tests_unit_test_outbox_publish_SOURCES = %D%/test_outbox_publish.c %D%/fake_link.c \
	%D%/fake_link.h %D%/store_helper.h
tests_unit_test_outbox_publish_LDADD = $(worker_ldadd)
tests_unit_test_outbox_publish_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=loop_timer_set

unit_tests += %D%/test_outbox_containerd
tests_unit_test_outbox_containerd_SOURCES = %D%/test_outbox_containerd.c %D%/fake_link.c \
	%D%/fake_link.h %D%/store_helper.h
tests_unit_test_outbox_containerd_LDADD = $(worker_ldadd)

unit_tests += %D%/test_ttrpc_client
tests_unit_test_ttrpc_client_SOURCES = %D%/test_ttrpc_client.c %D%/store_helper.h
tests_unit_test_ttrpc_client_LDADD = $(worker_ldadd)

unit_tests += %D%/test_caller
tests_unit_test_caller_SOURCES = %D%/test_caller.c %D%/store_helper.h
tests_unit_test_caller_LDADD = $(worker_ldadd)

unit_tests += %D%/test_runtime
tests_unit_test_runtime_SOURCES = %D%/test_runtime.c
tests_unit_test_runtime_LDADD = $(worker_ldadd)

unit_tests += %D%/test_frame
tests_unit_test_frame_SOURCES = %D%/test_frame.c
tests_unit_test_frame_LDADD = libframe.a $(unit_ldadd)

unit_tests += %D%/test_status
tests_unit_test_status_SOURCES = %D%/test_status.c
tests_unit_test_status_LDADD = libframe.a libproto.a $(unit_ldadd) $(PROTOBUF_C_LIBS)

unit_tests += %D%/test_wire
tests_unit_test_wire_SOURCES = %D%/test_wire.c
tests_unit_test_wire_LDADD = libproto.a $(unit_ldadd) $(PROTOBUF_C_LIBS)

# ipc and keeper
unit_ipc_ldadd = libipc.a $(unit_ldadd)
unit_tests += %D%/test_msg %D%/test_channel
tests_unit_test_msg_SOURCES = %D%/test_msg.c
tests_unit_test_msg_LDADD = $(unit_ipc_ldadd)
tests_unit_test_channel_SOURCES = %D%/test_channel.c
tests_unit_test_channel_LDADD = $(unit_ipc_ldadd)
unit_tests += %D%/test_admin
tests_unit_test_admin_SOURCES = %D%/test_admin.c
tests_unit_test_admin_LDADD = $(unit_ipc_ldadd)
unit_keeper_ldadd = libkeeper.a libipc.a libframe.a $(unit_ldadd)
unit_tests += %D%/test_fdstore %D%/test_step
tests_unit_test_fdstore_SOURCES = %D%/test_fdstore.c
tests_unit_test_fdstore_LDADD = $(unit_keeper_ldadd)
tests_unit_test_step_SOURCES = %D%/test_step.c
tests_unit_test_step_LDADD = $(unit_keeper_ldadd)

# run the built keeper with a worker whose part the test plays
keeper_rig_sources = %D%/keeper_rig.c %D%/keeper_rig.h
keeper_rig_ldadd = libipc.a libframe.a $(unit_ldadd)
keeper_rig_deps = podshim-keeper$(EXEEXT) %D%/keeper_worker$(EXEEXT)
check_PROGRAMS += %D%/keeper_worker
tests_unit_keeper_worker_SOURCES = %D%/keeper_worker.c
# the keeper with short times: what knows them is compiled once more
check_PROGRAMS += %D%/keeper_hasty
tests_unit_keeper_hasty_SOURCES = %D%/keeper_hasty.h daemon/keeper/main.c daemon/keeper/life.c \
	daemon/keeper/life_boot.c daemon/keeper/life_left.c daemon/keeper/request.c
tests_unit_keeper_hasty_CPPFLAGS = $(AM_CPPFLAGS) -include $(srcdir)/%D%/keeper_hasty.h
tests_unit_keeper_hasty_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
tests_unit_keeper_hasty_LDADD = $(podshim_keeper_LDADD)
unit_tests += %D%/test_keeper
tests_unit_test_keeper_SOURCES = %D%/test_keeper.c $(keeper_rig_sources)
tests_unit_test_keeper_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_DEPENDENCIES = $(keeper_rig_deps)
unit_tests += %D%/test_keeper_short
tests_unit_test_keeper_short_SOURCES = %D%/test_keeper_short.c %D%/sanitized.h $(keeper_rig_sources)
tests_unit_test_keeper_short_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_short_DEPENDENCIES = $(keeper_rig_deps)
unit_tests += %D%/test_keeper_runtime
tests_unit_test_keeper_runtime_SOURCES = %D%/test_keeper_runtime.c $(keeper_rig_sources)
tests_unit_test_keeper_runtime_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_runtime_DEPENDENCIES = $(keeper_rig_deps)
unit_tests += %D%/test_keeper_life
tests_unit_test_keeper_life_SOURCES = %D%/test_keeper_life.c $(keeper_rig_sources)
tests_unit_test_keeper_life_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_life_DEPENDENCIES = $(keeper_rig_deps)
unit_tests += %D%/test_keeper_boot
tests_unit_test_keeper_boot_SOURCES = %D%/test_keeper_boot.c $(keeper_rig_sources)
tests_unit_test_keeper_boot_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_boot_DEPENDENCIES = $(keeper_rig_deps) %D%/keeper_hasty$(EXEEXT)
unit_tests += %D%/test_keeper_end
tests_unit_test_keeper_end_SOURCES = %D%/test_keeper_end.c $(keeper_rig_sources)
tests_unit_test_keeper_end_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_end_DEPENDENCIES = $(keeper_rig_deps)
unit_tests += %D%/test_keeper_steps
tests_unit_test_keeper_steps_SOURCES = %D%/test_keeper_steps.c $(keeper_rig_sources)
tests_unit_test_keeper_steps_LDADD = $(keeper_rig_ldadd)
EXTRA_tests_unit_test_keeper_steps_DEPENDENCIES = $(keeper_rig_deps)

unit_tests += %D%/test_podpath
tests_unit_test_podpath_SOURCES = %D%/test_podpath.c
tests_unit_test_podpath_LDADD = $(unit_ldadd) $(LIBMD_LIBS)

store_ldadd = libstate.a $(unit_ldadd) $(SQLITE_LIBS)
unit_tests += %D%/test_store
tests_unit_test_store_SOURCES = %D%/test_store.c %D%/store_helper.h
tests_unit_test_store_LDADD = $(store_ldadd)
unit_tests += %D%/test_store_events
tests_unit_test_store_events_SOURCES = %D%/test_store_events.c %D%/store_helper.h
tests_unit_test_store_events_LDADD = $(store_ldadd)
unit_tests += %D%/test_store_disk
tests_unit_test_store_disk_SOURCES = %D%/test_store_disk.c %D%/store_helper.h
tests_unit_test_store_disk_LDADD = $(store_ldadd)
unit_tests += %D%/test_store_fault
tests_unit_test_store_fault_SOURCES = %D%/test_store_fault.c %D%/store_helper.h
tests_unit_test_store_fault_LDADD = $(store_ldadd)
unit_tests += %D%/test_client
tests_unit_test_client_SOURCES = %D%/test_client.c %D%/client_helper.h %D%/store_helper.h
tests_unit_test_client_LDADD = $(client_ldadd) $(CMOCKA_LIBS)
unit_tests += %D%/test_client_act
tests_unit_test_client_act_SOURCES = %D%/test_client_act.c %D%/client_helper.h %D%/store_helper.h
tests_unit_test_client_act_LDADD = $(client_ldadd) $(CMOCKA_LIBS)
unit_tests += %D%/test_client_args
tests_unit_test_client_args_SOURCES = %D%/test_client_args.c %D%/client_helper.h %D%/store_helper.h
tests_unit_test_client_args_LDADD = $(client_ldadd) $(CMOCKA_LIBS)
unit_tests += %D%/test_client_why
tests_unit_test_client_why_SOURCES = %D%/test_client_why.c %D%/store_helper.h
tests_unit_test_client_why_LDADD = $(client_ldadd) $(CMOCKA_LIBS)
tests_unit_test_client_why_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=stat,--wrap=mountinfo_each
unit_tests += %D%/test_client_see
tests_unit_test_client_see_SOURCES = %D%/test_client_see.c %D%/client_helper.h %D%/store_helper.h
tests_unit_test_client_see_LDADD = $(client_ldadd) $(CMOCKA_LIBS)
TESTS += %D%/test_podshimctl.sh
EXTRA_DIST += %D%/test_podshimctl.sh
unit_tests += %D%/test_store_open
tests_unit_test_store_open_SOURCES = %D%/test_store_open.c %D%/store_helper.h
tests_unit_test_store_open_LDADD = $(store_ldadd)

unit_tests += %D%/test_launcher_args
tests_unit_test_launcher_args_SOURCES = %D%/test_launcher_args.c
tests_unit_test_launcher_args_LDADD = liblauncher.a $(unit_ldadd) $(LIBMD_LIBS)

unit_tests += %D%/test_launcher_bootstrap
tests_unit_test_launcher_bootstrap_SOURCES = %D%/test_launcher_bootstrap.c
tests_unit_test_launcher_bootstrap_LDADD = liblauncher.a liboci.a libproto.a $(unit_ldadd) \
	$(PROTOBUF_C_LIBS) $(JANSSON_LIBS)

unit_tests += %D%/test_launcher_group
tests_unit_test_launcher_group_SOURCES = %D%/test_launcher_group.c
tests_unit_test_launcher_group_LDADD = liblauncher.a $(unit_ldadd) $(JANSSON_LIBS)

unit_tests += %D%/test_record
tests_unit_test_record_SOURCES = %D%/test_record.c
tests_unit_test_record_LDADD = liblauncher.a liboci.a libstate.a libproto.a libframe.a $(unit_ldadd) \
	$(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)

# run the built launcher
unit_tests += %D%/test_launcher_start
tests_unit_test_launcher_start_SOURCES = %D%/test_launcher_start.c \
	%D%/launcher_help.c %D%/launcher_help.h
tests_unit_test_launcher_start_LDADD = libipc.a libproto.a libframe.a $(unit_ldadd) \
	$(PROTOBUF_C_LIBS) $(LIBMD_LIBS)
EXTRA_tests_unit_test_launcher_start_DEPENDENCIES = containerd-shim-podshim-v1$(EXEEXT)

launcher_pods_sources = %D%/launcher_pods.c %D%/launcher_pods.h \
	%D%/launcher_help.c %D%/launcher_help.h
launcher_pods_ldadd = libipc.a libstate.a libproto.a libframe.a \
	$(unit_ldadd) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(LIBMD_LIBS)
unit_tests += %D%/test_launcher_delete
tests_unit_test_launcher_delete_SOURCES = %D%/test_launcher_delete.c $(launcher_pods_sources)
tests_unit_test_launcher_delete_LDADD = $(launcher_pods_ldadd)
EXTRA_tests_unit_test_launcher_delete_DEPENDENCIES = containerd-shim-podshim-v1$(EXEEXT)

unit_tests += %D%/test_launcher_at_once
tests_unit_test_launcher_at_once_SOURCES = %D%/test_launcher_at_once.c $(launcher_pods_sources)
tests_unit_test_launcher_at_once_LDADD = $(launcher_pods_ldadd)
EXTRA_tests_unit_test_launcher_at_once_DEPENDENCIES = containerd-shim-podshim-v1$(EXEEXT)

unit_tests += %D%/test_launcher_members
tests_unit_test_launcher_members_SOURCES = %D%/test_launcher_members.c %D%/tmpdir.h
tests_unit_test_launcher_members_LDADD = liblauncher.a liboci.a libipc.a libstate.a \
	libproto.a libframe.a $(unit_ldadd) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(LIBMD_LIBS)
tests_unit_test_launcher_members_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pidfd_of \
	-Wl,--wrap=cgroup_kill,--wrap=cgroup_thaw_next,--wrap=cgroup_remove \
	-Wl,--wrap=store_each_container

io_test_sources = %D%/io_fix.c %D%/io_fix.h %D%/io_help.c %D%/io_help.h \
	%D%/io_steps.c
io_test_ldadd = libworker.a liboci.a libbase.a $(EVENT_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_io
tests_unit_test_io_SOURCES = %D%/test_io.c $(io_test_sources)
tests_unit_test_io_LDADD = $(io_test_ldadd)

unit_tests += %D%/test_io_in
tests_unit_test_io_in_SOURCES = %D%/test_io_in.c $(io_test_sources)
tests_unit_test_io_in_LDADD = $(io_test_ldadd)

unit_tests += %D%/test_io_death
tests_unit_test_io_death_SOURCES = %D%/test_io_death.c %D%/sanitized.h $(io_test_sources)
tests_unit_test_io_death_LDADD = $(io_test_ldadd) -lutil

unit_tests += %D%/test_console
tests_unit_test_console_SOURCES = %D%/test_console.c $(io_test_sources)
tests_unit_test_console_LDADD = $(io_test_ldadd) -lutil
tests_unit_test_console_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=splice

# the worker's core against a keeper that is plain functions
worker_test_sources = %D%/worker_fake.c %D%/worker_fake.h %D%/worker_fake_io.c \
	%D%/worker_help.c %D%/worker_help.h
worker_test_ldadd = libworker.a liboci.a libstate.a libproto.a libframe.a libbase.a $(EVENT_LIBS) \
	$(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) $(CMOCKA_LIBS)
worker_test_ldflags = $(AM_LDFLAGS) -Wl,--wrap=store_commit,--wrap=cgroup_thaw \
	-Wl,--wrap=cgroup_is_frozen,--wrap=cgroup_of_pid

unit_tests += %D%/test_worker_ops
tests_unit_test_worker_ops_SOURCES = %D%/test_worker_ops.c $(worker_test_sources)
tests_unit_test_worker_ops_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_ops_LDFLAGS = $(worker_test_ldflags) -Wl,--wrap=cgroup_pids

unit_tests += %D%/test_worker_crash
tests_unit_test_worker_crash_SOURCES = %D%/test_worker_crash.c $(worker_test_sources)
tests_unit_test_worker_crash_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_crash_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_link
tests_unit_test_link_SOURCES = %D%/test_link.c
tests_unit_test_link_LDADD = libworker.a libipc.a libbase.a $(EVENT_LIBS) $(CMOCKA_LIBS)

unit_tests += %D%/test_worker_exits
tests_unit_test_worker_exits_SOURCES = %D%/test_worker_exits.c $(worker_test_sources)
tests_unit_test_worker_exits_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_exits_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_worker_freezer
tests_unit_test_worker_freezer_SOURCES = %D%/test_worker_freezer.c $(worker_test_sources)
tests_unit_test_worker_freezer_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_freezer_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_worker_full
tests_unit_test_worker_full_SOURCES = %D%/test_worker_full.c $(worker_test_sources)
tests_unit_test_worker_full_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_full_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_worker_purge
tests_unit_test_worker_purge_SOURCES = %D%/test_worker_purge.c $(worker_test_sources)
tests_unit_test_worker_purge_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_purge_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_worker_leftover
tests_unit_test_worker_leftover_SOURCES = %D%/test_worker_leftover.c $(worker_test_sources)
tests_unit_test_worker_leftover_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_leftover_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_worker_recover
tests_unit_test_worker_recover_SOURCES = %D%/test_worker_recover.c $(worker_test_sources)
tests_unit_test_worker_recover_LDADD = $(worker_test_ldadd)
tests_unit_test_worker_recover_LDFLAGS = $(worker_test_ldflags)

unit_tests += %D%/test_io_uri
tests_unit_test_io_uri_SOURCES = %D%/test_io_uri.c
tests_unit_test_io_uri_LDADD = liboci.a libbase.a $(CMOCKA_LIBS)

unit_tests += %D%/test_logger
tests_unit_test_logger_SOURCES = %D%/test_logger.c %D%/logger_helper.h $(io_test_sources)
tests_unit_test_logger_LDADD = $(io_test_ldadd) -lutil

unit_tests += %D%/test_logger_ends
tests_unit_test_logger_ends_SOURCES = %D%/test_logger_ends.c %D%/logger_helper.h \
	$(io_test_sources)
tests_unit_test_logger_ends_LDADD = $(io_test_ldadd)
tests_unit_test_logger_ends_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=stat

unit_tests += %D%/test_podshim_logger
tests_unit_test_podshim_logger_SOURCES = %D%/test_podshim_logger.c %D%/tmpdir.h
tests_unit_test_podshim_logger_LDADD = liblogger.a libipc.a $(unit_ldadd)

unit_tests += %D%/test_podshim_logger_file
tests_unit_test_podshim_logger_file_SOURCES = %D%/test_podshim_logger_file.c %D%/tmpdir.h
tests_unit_test_podshim_logger_file_LDADD = liblogger.a $(unit_ldadd)

unit_tests += %D%/test_client_run
tests_unit_test_client_run_SOURCES = %D%/test_client_run.c %D%/tmpdir.h
tests_unit_test_client_run_LDADD = $(client_ldadd) $(CMOCKA_LIBS)

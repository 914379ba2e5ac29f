# Bundles, OCI runtimes, mounts and cgroups: for the worker, and for the
# launcher's `delete`, which must do without a worker.
noinst_LIBRARIES += liboci.a
liboci_a_SOURCES = \
	%D%/cgroup.c %D%/cgroup.h \
	%D%/cgroup_dirs.c %D%/cgroup_dirs.h \
	%D%/cgroup_int.h %D%/cgroup_members.c \
	%D%/cgroup_spec.c \
	%D%/io_uri.c %D%/io_uri.h \
	%D%/mount.c %D%/mount.h %D%/mount_int.h %D%/mount_options.c \
	%D%/mount_idmap.c %D%/mount_loop.c %D%/mount_stage.c \
	%D%/mountinfo.c %D%/mountinfo.h \
	%D%/oci.c %D%/oci.h \
	%D%/options.c %D%/options.h \
	%D%/options_toml.c %D%/options_toml.h \
	%D%/record.c %D%/record.h \
	%D%/runtime.c %D%/runtime.h

# What tests share: a ttrpc client, bundles, a shim's caller, conditions.
# The shell half (tap.sh, containerd.sh, mkimage) is used where it stands.
check_LIBRARIES += libtests.a
libtests_a_SOURCES = \
	%D%/pb.c %D%/pb.h \
	%D%/task.c %D%/task.h \
	%D%/ttrpc.c %D%/ttrpc.h
libtests_ldadd = libtests.a libbase.a
EXTRA_DIST += %D%/cri.sh %D%/cri.py %D%/cri.proto %D%/tap.sh %D%/marks.sh %D%/containerd.sh %D%/raw.sh %D%/run.sh %D%/terminal.sh %D%/mkimage %D%/sweep %D%/tap-run %D%/schema.jq

# for cri.py, which makes its messages from it
%D%/cri.desc: %D%/cri.proto
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(srcdir) --descriptor_set_out=$@ $(srcdir)/%D%/cri.proto
CLEANFILES += %D%/cri.desc

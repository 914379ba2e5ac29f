noinst_LIBRARIES += libipc.a
libipc_a_SOURCES = \
	%D%/admin.c %D%/admin.h \
	%D%/attach.h \
	%D%/blackbox.h \
	%D%/channel.c %D%/channel.h \
	%D%/msg.c %D%/msg.h

#!/bin/sh
# A start that no Create follows: the shim does not stay for ever.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim stays for ever"
ctd_up
raw_new a sleep 1000
raw_new b sleep 1000
is "$(shim_pids | wc -l)" 2 "two shims"
# one is told, as by containerd after a Create that it gave up
call Shutdown b >/dev/null
raw_delete b >/dev/null
is $? 0 "delete"
check "the told one ends soon" wait_for 10 test ! -e "$(sock_path b)"
raw_unbundle b
check "the other one by itself, in less than 45 s" wait_for 45 test ! -e "$(sock_path a)"
check "no process" wait_for 60 shims_are 0
raw_unbundle a
finish

#!/bin/sh
# What the shim's processes look like to the host: descriptors, directories, limits.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promises"
ctd_up
exec 5<"$0" # a descriptor that nobody should inherit
raw_run a sleep 1000 >/dev/null
keeper=$(shim_pids)
worker=$(worker_pids)
for p in $keeper $worker; do
	name=$(cat "/proc/$p/comm")
	is "$(readlink "/proc/$p/cwd")" / "$name: its directory is /"
	is "$(find "/proc/$p/fd" -lname "$0" -o -lname '*/35-host.sh' | wc -l)" 0 "$name: no foreign descriptor"
	for fd in 0 1 2; do
		like "$(readlink "/proc/$p/fd/$fd")" "*" "$name: descriptor $fd is $(readlink "/proc/$p/fd/$fd")"
	done
	is "$(awk '/^Threads/ { print $2 }' "/proc/$p/status")" 1 "$name: one thread"
done
init=$(call State a | value pid)
wait_for 60 cmdline_is "$init" "sleep 1000"
is "$(find "/proc/$init/fd" -mindepth 1 -printf '%f ' | tr ' ' '\n' | sort -n | tr '\n' ' ' | sed 's/^ *//')" "0 1 2 " \
	"the container's process has three descriptors"
is "$(stat -c %a "$STATE_ROOT/$NS"/a.????????)" 700 "the pod's directory is root's"
is "$(stat -c %a "$STATE_ROOT/$NS"/a.????????/state.db)" 600 "its database too"
is "$(grep -c -e '^SigBlk:.*0000000000000000' -e '^SigIgn:.*0000000000000000' "/proc/$init/status")" 2 \
	"the container's process blocks and ignores no signal"
check "sqlite3 may read" sh -c "! command -v sqlite3 >/dev/null || sqlite3 -readonly '$STATE_ROOT/$NS/'a.????????/state.db 'select count(*) from container'"
# idle: no wake-ups
ctxt() { awk '/ctxt_switches/ { s += $2 } END { print s }' "/proc/$keeper/status" "/proc/$worker/status"; }
# nothing for 3 s: first the last events and what follows them must have gone
slept() {
	c0=$(ctxt)
	sleep 3
	c1=$(ctxt)
	[ $((c1 - c0)) -le 2 ]
}
wait_for 60 none_pending a
check "idle for 3 s: at most two wake-ups" wait_for 60 slept
raw_end a
exec 5<&-
finish

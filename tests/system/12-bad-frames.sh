#!/bin/sh
# Bad input on the socket: the answer that the protocol names, and no harm.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim of containerd 1.6 speaks ttrpc 1.1, which is less strict"
ctd_up
events_start
raw_run a sleep 1000 >/dev/null
keeper=$(shim_pids)
worker=$(worker_pids)
"$BIN/badinput" "$raw_addr" a >"$T/bad.out" 2>&1
rc=$?
while read -r line; do
	case $line in
	ok\ *) ok "${line#ok * - }" ;;
	"not ok "*) not_ok "${line#not ok * - }" ;;
	*) echo "$line" ;;
	esac
done <"$T/bad.out"
is $rc 0 "the driver ran to its end"
is "$(shim_pids)" "$keeper" "the same keeper"
is "$(worker_pids)" "$worker" "the same worker"
is "$(call Delete a | value exit_status)" 137 "Delete"
raw_rm a

# another user
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_run b sleep 1000 >/dev/null
raw_jq=.
sock=${raw_addr#unix://}
check "another user is refused by the socket's mode" "$BIN/badinput" "$raw_addr" b 65534
chmod 666 "$sock"
chmod 711 "$(dirname "$sock")" # this test's machine only: the directory is root's again below
check "and by the keeper" "$BIN/badinput" "$raw_addr" b 65534
chmod 600 "$sock"
chmod 700 "$(dirname "$sock")"
is "$(raw_state b)" "$RUNNING" "nobody minded"

# many connections that say nothing, and many at once
check "200 connections that say nothing" sh -c "i=0; while [ \$i -lt 200 ]; do
	'$BIN/rpc' '$raw_addr' Connect id= >/dev/null || exit 1; i=\$((i+1)); done"
is "$(raw_state b)" "$RUNNING" "still there"
few_fds() { [ "$(ls "/proc/$keeper/fd" | wc -l)" -lt 60 ]; }
check "connections do not add up" wait_for 60 few_fds
raw_end b a
finish

#!/bin/sh
# The first container of a pod goes first; the shim stays until the last one.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
quick_events
ctd_up
events_start
raw_run pause sleep 1000 >/dev/null
addr=$raw_addr
mkdir "$RAW/work"
: >"$RAW/work/log" # one of its own, to see who writes to it
raw_jq='.annotations["io.kubernetes.cri.sandbox-id"] = "pause" | .annotations["io.kubernetes.cri.container-type"] = "container"'
raw_run work sleep 1000 >/dev/null
raw_jq=.
is "$raw_addr" "$addr" "grouped by the sandbox's id"
shim=$(shim_pids)
is "$(echo "$shim" | wc -l)" 1 "one shim"

call Kill pause signal=9
is "$(call Wait pause | value exit_status)" 137 "pause ends"
is "$(call Delete pause | value exit_status)" 137 "and is deleted"
is "$(call Shutdown pause)" "" "Shutdown is answered"
raw_delete pause >/dev/null
is $? 0 "its delete call"
raw_unbundle pause
raw_addr=$addr
is "$(raw_state work)" "$RUNNING" "the workload runs on"
is "$(raw_exec work e true | value pid | grep -c .)" 1 "exec works, though the first bundle is gone"
call Wait work exec_id=e >/dev/null
is "$(shim_pids)" "$shim" "the same shim"
if [ -n "$PODSHIM" ]; then
	kill -KILL "$(worker_pids)"
	check "the keeper's log moves to the other bundle, too" \
		wait_for 10 grep -q 'role=keeper .*generation 2, is ready' "$RAW/work/log"
fi
is "$(call Connect "" | value shim_pid)" "$shim" "Connect"
is "$(call Shutdown work)" "" "Shutdown while it runs"
is "$(raw_state work)" "$RUNNING" "is ignored"

call Kill work signal=9
call Wait work >/dev/null
call Delete work >/dev/null
is "$(call Shutdown work)" "" "Shutdown of the last one"
check "the shim ends" wait_for 10 pid_gone "$shim"
check "and its socket" wait_for 5 test ! -e "${addr#unix://}"
raw_delete work >/dev/null
is $? 0 "the last delete call, after its end"
raw_unbundle work
check "all events left before" wait_for 5 events_has work /tasks/delete

# Shutdown, and at once the next container of the same group, many times
bad=
i=0
while [ $i -lt 15 ]; do
	raw_run "n$i" sleep 1000 >"$T/pid" || bad="$bad run:$i"
	raw_rm "n$i"
	call Shutdown "n$i" >/dev/null
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "n'$i'"'
	raw_run "m$i" sleep 1000 >"$T/pid" || bad="$bad again:$i"
	raw_jq=.
	[ -s "$T/pid" ] && [ "$(raw_state "m$i")" = "$RUNNING" ] || bad="$bad state:$i"
	raw_delete "n$i" >/dev/null
	raw_unbundle "n$i"
	[ "$(raw_state "m$i")" = "$RUNNING" ] || bad="$bad killed:$i"
	raw_end "m$i"
	i=$((i + 1))
done
is "$bad" "" "15 times: a newcomer while the shim ends"

# The same with containerd away: 5 s after Shutdown a pod's end drops what it could not
# deliver, but this is not the end.
if [ -n "$PODSHIM" ]; then
	raw_run old sleep 1000 >/dev/null
	check "nothing pending" wait_for 60 none_pending old
	ctd_kill
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "old"'
	raw_new new sleep 7
	raw_jq=.
	raw_rm old
	call Shutdown old >/dev/null
	raw_create new >/dev/null && call Start new >/dev/null
	call Wait new >/dev/null
	is "$(sqlite3 "file:$(ls "$STATE_ROOT/$NS"/old.????????/state.db)?mode=ro" \
		"SELECT topic, container FROM sent WHERE transport = 'dropped'")" "" "a newcomer: nothing is dropped"
	ctd_start
	check "all of it is delivered" wait_for 60 none_pending old
	raw_delete old >/dev/null
	raw_unbundle old
	raw_end new
fi
finish

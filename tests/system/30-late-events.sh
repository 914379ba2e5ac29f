#!/bin/sh
# Events while containerd is away: they wait, and come in order when it is back. What was
# sent is in the pod's database; that it has arrived is in containerd's own log, for no
# subscriber can be there before the events are.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim gives up after five tries"
ctd_debug=yes
ctd_up
run_opts=$(group_opts pod)
run_d a sh -c 'trap "exit 9" USR1; while :; do sleep 0.05; done'
run_d b sleep 1000
run_opts=
sent_of() { # ID: in order of delivery; one may be sent twice, but in no other order
	sqlite3 -separator ' ' "file:$(ls "$STATE_ROOT/$NS"/pod.????????/state.db)?mode=ro" \
		"SELECT topic, exec_id FROM sent WHERE container = '$1' ORDER BY n" | sed 's/ $//' | uniq | tr '\n' ','
}
# topics of this pod's events that containerd has taken since it was started; it says
# "forwarded" of those by ttrpc, "published" of those by its publish binary
arrived() {
	tail -n "+$log_start" "$T/containerd.log" |
		sed -n "s/.*msg=\"event [a-z]*ed\" ns=$NS topic=\([^ ]*\) .*/\1/p" | sort | uniq -c | awk '{ print $2, $1 }'
}
check "the first ones are delivered" wait_for 180 none_pending pod
a=$(task_pid a)
sock=unix://$(sock_path pod)
ctd_kill
# by hand, on the shim's own socket: exec, exits, an end
jq -n '{args: ["sh", "-c", "exit 4"], cwd: "/", env: ["PATH=/bin"], user: {uid: 0, gid: 0}}' >"$T/spec"
for i in 1 2 3; do
	rpc "$sock" Exec id=b exec_id=e$i "spec=$T/spec"
	rpc "$sock" Start id=b exec_id=e$i >/dev/null
	rpc "$sock" Wait id=b exec_id=e$i >/dev/null
done
usr1 "$a"
is "$(rpc "$sock" Wait id=a | sed -n 's/^exit_status=//p')" 9 "a ends"
ten_wait() { [ "$(pod_field pod events_pending)" = 10 ]; }
check "ten events wait" wait_for 60 ten_wait
sleep 3 # the time that containerd is away
check "and still do" ten_wait
log_start=$(($(wc -l <"$T/containerd.log") + 1))
ctd_start
# the next try may be 30 s away; then it is a nice program for each of the ten, one after the other
check "none waits any more once it is back" wait_for 180 none_pending pod
is "$(sent_of b)" "/tasks/create,/tasks/start,$(for i in 1 2 3; do
	printf '/tasks/exec-added e%s,/tasks/exec-started e%s,/tasks/exit e%s,' $i $i $i
done)" "b: its execs in order"
is "$(sent_of a)" "/tasks/create,/tasks/start,/tasks/exit," "a: in order"
taken=$(arrived)
at_least() { # TOPIC N: containerd may see one of them twice (at least once)
	[ "$(echo "$taken" | awk -v t="$1" '$1 == t { print $2 }')" -ge "$2" ]
}
check "containerd has taken the execs' ($(echo "$taken" | tr '\n' ' '))" at_least /tasks/exec-added 3
check "their starts" at_least /tasks/exec-started 3
check "and all exits" at_least /tasks/exit 4
like "$(ctr task rm a 2>&1)" "*exit code 9*" "a's status is true"
finish

#!/bin/sh
# Events while containerd is away: they wait, and come in order when it is back.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim gives up after five tries"
ctd_up
events_start
run_opts=$(group_opts pod)
run_d a sh -c 'trap "exit 9" USR1; while :; do sleep 0.05; done'
run_d b sleep 1000
run_opts=
wait_for 5 events_has b /tasks/start
a=$(task_pid a)
sock=unix://$(sock_path pod)
ctd_kill
# by hand, on the shim's own socket: exec, exits, an end
jq -n '{args: ["sh", "-c", "exit 4"], cwd: "/", env: ["PATH=/bin"], user: {uid: 0, gid: 0}}' >"$T/spec"
for i in 1 2 3; do
	rpc "$sock" Exec id=b exec_id=e$i "spec=$T/spec"
	rpc "$sock" Start id=b exec_id=e$i >/dev/null
	rpc -t 5 "$sock" Wait id=b exec_id=e$i >/dev/null
done
kill -USR1 "$a"
is "$(rpc -t 5 "$sock" Wait id=a | sed -n 's/^exit_status=//p')" 9 "a ends"
# long enough that first tries fail: the shim has said so when its first retry is due
pending() { podshimctl -o json list | jq -e --arg ns "$NS" '.[] | select(.namespace == $ns) | .events_pending > 0' >/dev/null; }
check "events wait" wait_for 5 pending
sleep $((3 * SLOW)) # the time that containerd is away; the next try comes later the longer it was, and
# so after `ctr events` is there again
cp "$T/events" "$T/events.before"
ctd_start
events_start
check "the last one arrives" wait_for 30 events_has a /tasks/exit
check "the execs' too" wait_for 10 events_has b "/tasks/exit e3"
# containerd may see one of them twice (at least once), but never in another order
cat "$T/events.before" "$T/events" >"$T/all"
mv "$T/all" "$T/events"
for i in 1 2 3; do
	is "$(events_of b | grep " e$i\$" | uniq | cut -d' ' -f1 | tr '\n' ' ')" \
		"/tasks/exec-added /tasks/exec-started /tasks/exit " "exec e$i: in order"
done
is "$(events_of a | uniq | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/exit " "a: in order"
is "$(event_body a /tasks/exit | jq .exit_status | sort -u)" 9 "with its status"
not_pending() { ! pending; }
check "none waits any more" wait_for 10 not_pending
finish

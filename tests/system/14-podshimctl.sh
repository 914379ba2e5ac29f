#!/bin/sh
# podshimctl: list, tasks, inspect; as table and as JSON.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
ctl() { podshimctl "$@"; }
# other tests may run beside this one
ours() { jq -c --arg ns "$NS" '.[] | select(.namespace == $ns)'; }

is "$(ctl -o json list | ours)" "" "list: nothing of this namespace yet"
run_opts=$(group_opts pod1)
run_d c0 sleep 1000
run_d c1 sleep 1000
run_opts=
run_d single sleep 1000
x c0 e1 sleep 1000 </dev/null >/dev/null 2>&1 &
e1=$!
e1_runs() { ctr task ps c0 | grep -q e1; }
wait_for 60 e1_runs
x c0 e2 sh -c 'exit 5' </dev/null >/dev/null 2>&1

all_listed() {
	out=$(ctl -o json list)
	[ "$(printf %s "$out" | ours | grep -c -v '"unresponsive"')" = 2 ]
}
check "both pods answer" wait_for 60 all_listed
check "list -o json is JSON" sh -c "printf %s '$out' | jq -e 'type == \"array\"'"
pod=$(echo "$out" | ours | jq -c 'select(.pod == "pod1")')
for k in namespace pod keeper_pid worker_pid worker_restarts version containers running events_pending state; do
	check "list: key $k" sh -c "printf %s '$pod' | jq -e 'has(\"$k\")'"
done
is "$(echo "$out" | ours | jq -r .pod | sort | tr '\n' ' ')" "pod1 single " "two pods"
is "$(echo "$pod" | jq .containers)" 2 "containers"
is "$(echo "$pod" | jq .worker_restarts)" 0 "no restart yet"
is "$(echo "$pod" | jq .running)" 2 "running: the containers whose init runs" || diag "$pod"
check "keeper_pid is the keeper" sh -c "readlink /proc/$(echo "$pod" | jq .keeper_pid)/exe | grep -q podshim-keeper"
check "worker_pid is the worker" sh -c "readlink /proc/$(echo "$pod" | jq .worker_pid)/exe | grep -q podshim-worker"

out=$(ctl -o json tasks | ours)
for k in namespace pod container exec pid status exit_status started_at exited_at bundle; do
	check "tasks: key $k" sh -c "printf %s '$(echo "$out" | head -n 1)' | jq -e 'has(\"$k\")'"
done
task() { echo "$out" | jq -c --arg c "$1" --arg e "$2" 'select(.container == $c and (.exec // "") == $e)'; }
is "$(task c1 "" | jq .pid)" "$(task_pid c1)" "tasks: the pid of c1"
is "$(task c0 "" | jq -r .status)" running "tasks: status"
is "$(task c0 "" | jq -r .bundle)" "$(bundle c0)" "tasks: bundle"
is "$(task c0 e1 | jq -r .status)" running "tasks: an exec"
like "$(task single "" | jq -r .started_at)" "20*T*" "tasks: started_at is a time"

table=$(ctl list)
like "$table" "*pod1*" "list as a table"
like "$(echo "$table" | head -n 1)" "*POD*" "with a heading"
like "$(ctl tasks)" "*single*" "tasks as a table"
out=$(ctl -o json -n "$NS" inspect pod1 2>&1)
check "inspect -o json is JSON" sh -c "printf %s '$(echo "$out" | tr -d "'")' | jq -e ."
like "$out" "*$(bundle c1)*" "inspect tells of c1"
ctl inspect no-such-pod >"$T/out" 2>&1
check "inspect of an unknown pod fails" test $? -ne 0
check "with words" test -s "$T/out"
ctl dance >"$T/out" 2>&1
check "an unknown verb fails" test $? -ne 0
check "--help" sh -c 'podshimctl --help | grep -q list'

# with a dead worker it still lists
kill -STOP "$(worker_pids | head -n 1)" "$(worker_pids | tail -n 1)"
out=$(timeout $((60 * SLOW)) podshimctl -o json list | ours | wc -l)
is "$out" 2 "list answers while the workers hang"
# shellcheck disable=SC2046
kill -CONT $(worker_pids)
# no rights, no answer
if command -v setpriv >/dev/null; then
	setpriv --reuid 65534 --clear-groups "$(command -v podshimctl)" list >"$T/out" 2>&1
	check "a stranger sees nothing of it" sh -c "! grep -q '$NS' '$T/out'"
fi
ctr task kill -s KILL --exec-id e1 c0
wait $e1
finish

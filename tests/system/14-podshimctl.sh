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

# Output goes through files: other tests' pods have names with "\n" in them, which the
# echo of a shell would turn into line ends.
all_listed() {
	ctl -o json list >"$T/list.json"
	ours <"$T/list.json" >"$T/pods.json"
	[ "$(grep -c -v '"unresponsive"' "$T/pods.json")" = 2 ]
}
check "both pods answer" wait_for 60 all_listed
is "$(jq -r type "$T/list.json")" array "list -o json is JSON"
is "$(jq -r .pod "$T/pods.json" | sort | tr '\n' ' ')" "pod1 single " "two pods"
jq 'select(.pod == "pod1")' "$T/pods.json" >"$T/pod.json"
of_pod() { jq "$1" "$T/pod.json"; }
for k in namespace pod keeper_pid worker_pid worker_restarts version containers running events_pending state; do
	is "$(of_pod "has(\"$k\")")" true "list: key $k"
done
is "$(of_pod .containers)" 2 "containers"
is "$(of_pod .worker_restarts)" 0 "no restart yet"
is "$(of_pod .running)" 2 "running: the containers whose init runs" || diag "$(cat "$T/pod.json")"
runs() { readlink "/proc/$1/exe"; }
like "$(runs "$(of_pod .keeper_pid)")" "*/podshim-keeper" "keeper_pid is the keeper"
like "$(runs "$(of_pod .worker_pid)")" "*/podshim-worker" "worker_pid is the worker"

ctl -o json tasks | ours >"$T/tasks.json"
task() { jq --arg c "$1" --arg e "$2" 'select(.container == $c and (.exec // "") == $e)' "$T/tasks.json"; }
for k in namespace pod container exec pid status exit_status started_at exited_at bundle; do
	is "$(task c0 "" | jq "has(\"$k\")")" true "tasks: key $k"
done
is "$(task c1 "" | jq .pid)" "$(task_pid c1)" "tasks: the pid of c1"
is "$(task c0 "" | jq -r .status)" running "tasks: status"
is "$(task c0 "" | jq -r .bundle)" "$(bundle c0)" "tasks: bundle"
is "$(task c0 e1 | jq -r .status)" running "tasks: an exec"
like "$(task single "" | jq -r .started_at)" "20*T*" "tasks: started_at is a time"

table=$(ctl list)
like "$table" "*pod1*" "list as a table"
like "$(echo "$table" | head -n 1)" "*POD*" "with a heading"
like "$(ctl tasks)" "*single*" "tasks as a table"
ctl -o json -n "$NS" inspect pod1 >"$T/inspect.json"
is "$(jq -r .pod "$T/inspect.json")" pod1 "inspect -o json is JSON"
like "$(cat "$T/inspect.json")" "*$(bundle c1)*" "inspect tells of c1"
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

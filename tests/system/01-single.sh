#!/bin/sh
# One container from run to gone: output, exit codes, events, the address.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
events_start

out_err=yes
out=$(run_out hello 'echo out; echo err >&2; exit 0')
is "$?" 0 "exit status 0"
out_err=
is "$out" out "standard output arrives"
is "$(cat "$T/hello.err")" err "standard error arrives, and on its own stream"

for code in 1 7 137 143; do
	run "code$code" sh -c "exit $code" 2>/dev/null
	is "$?" "$code" "exit status $code"
done
run_out code255 "echo; exit 255" >"$T/out"
is "$?" 255 "exit status 255"

check "the last events of hello" wait_for 30 events_has hello /tasks/delete
is "$(events_of hello | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/exit /tasks/delete " \
	"the four events of a container, once each and in order"
check "the last events of code255" wait_for 30 events_has code255 /tasks/delete
is "$(event_body code255 /tasks/exit | jq .exit_status)" 255 "TaskExit carries the status"
is "$(event_body hello /tasks/exit | jq -r .id)" hello "TaskExit of init: id is the container's"
create=$(event_body hello /tasks/create)
start=$(event_body hello /tasks/start)
gone=$(event_body hello /tasks/delete)
like "$(echo "$create" | jq -r .bundle)" "*/$NS/hello" "TaskCreate carries the bundle"
is "$(echo "$create" | jq '.rootfs | length')" 1 "TaskCreate carries the rootfs mounts"
pid=$(echo "$create" | jq .pid)
is "$(echo "$start" | jq .pid)" "$pid" "TaskStart has the pid of TaskCreate"
is "$(event_body hello /tasks/exit | jq .pid)" "$pid" "TaskExit has the pid"
is "$(echo "$gone" | jq .pid)" "$pid" "TaskDelete has the pid"
is "$(echo "$gone" | jq -r .exited_at)" "$(event_body hello /tasks/exit | jq -r .exited_at)" \
	"TaskExit and TaskDelete tell the same instant"

run_d long sleep 1000
check "a detached task runs" wait_for 60 task_is long RUNNING
is "$(cat "$(bundle long)/address")" "unix://$(sock_path long)" "the bundle names the shim's address"
check "the socket is where other tools compute it" test -S "$(sock_path long)"
is "$(stat -c %a "$(sock_path long)")" 600 "the socket is for root alone"
check "one shim process" wait_for 60 shims_are 1
ctd_score=$(cat "/proc/$ctd_pid/oom_score_adj")
is "$(cat "/proc/$(shim_pids)/oom_score_adj")" "$((ctd_score + 1))" \
	"the shim's oom_score_adj is one above containerd's"
pid=$(task_pid long)
check "ctr names the pid of the process" wait_for 60 cmdline_is "$pid" "sleep 1000"
is "$(ctr task ps long | awk 'NR > 1 { print $1 }')" "$pid" "ps names it too"
check "the rootfs is mounted" grep -q " $(bundle long)/rootfs " /proc/self/mounts
ctr task kill -s KILL long
check "it stops" wait_for 5 task_is long STOPPED
out=$(ctr task rm long 2>&1)
like "$out" "*exit code 137*" "delete tells status 137"

finish

#!/bin/sh
# The states of a task seen through its own socket, by both service names.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start

check "start answers" raw_new a sleep 1000
is "$raw_addr" "unix://$(sock_path a)" "the address is the hashed path"
is "$(cat "$RAW/a/address")" "$raw_addr" "and stands in the bundle"
is "$(call Connect nobody | value task_pid)" 0 "Connect on an unknown id succeeds with pid 0"
is "$(call Connect "" | value task_pid)" 0 "Connect with an empty id succeeds"
like "$(call State a)" "error=5 *" "State before Create: NotFound"
like "$(call Pids a)" "error=5 *" "Pids before Create: NotFound"
like "$(call Delete a)" "error=5 *" "Delete before Create: NotFound"
like "$(call Wait a)" "error=5 *" "Wait before Create: NotFound"

out=$(raw_create a)
pid=$(echo "$out" | value pid)
check "Create answers a living pid ($out)" test -d "/proc/$pid"
st=$(call State a)
is "$(echo "$st" | value status)" $CREATED "State: CREATED"
is "$(echo "$st" | value exited_at)" zero "exited_at of a living process is year 1"
is "$(echo "$st" | value pid)" "$pid" "State names the pid"
is "$(echo "$st" | value bundle)" "$RAW/a" "State names the bundle"
is "$(cat "$RAW/a/init.pid")" "$pid" "init.pid is in the bundle"
is "$(call Pids a)" "process=$pid" "Pids of a created task: its init"
is "$(call Connect a | value task_pid)" "$pid" "Connect: task_pid"
is "$(call Connect a | value shim_pid)" "$(shim_pids)" "Connect: shim_pid is the long-lived process"
if [ -n "$PODSHIM" ]; then
	like "$(raw_create a)" "error=6 *" "Create of an id that exists: AlreadyExists"
fi

v3=
[ -z "$PODSHIM" ] || v3=1 # the Go shim of containerd 1.6 serves v2 alone
is "$(raw_v3=$v3 call Start a | value pid)" "$pid" "Start by the v3 name"
st=$(raw_v3=$v3 call State a)
is "$(echo "$st" | value status)" $RUNNING "State by the v3 name: RUNNING"
# Stats counts threads, and what runc's init is until then has some
check "its pid becomes the program" wait_for 60 cmdline_is "$pid" "sleep 1000"
call Start a >"$T/out"
is $? 1 "a second Start is an error"
like "$(cat "$T/out")" "error=*" "with a code ($(cat "$T/out"))"
call Delete a >"$T/out"
is $? 1 "Delete of a running task is an error"
like "$(call ResizePty a width=80 height=24)" "" "ResizePty without a terminal is a no-op"
is "$(call CloseIO a stdin=1)" "" "CloseIO without stdin is fine"
is "$(call CloseIO a stdin=1)" "" "also twice"

call Pause a >/dev/null
is "$(raw_state a)" $PAUSED "paused"
is "$(call Pids a)" "process=$pid" "Pids of a paused task"
call Exec a exec_id=p "spec=$(raw_spec true)" >"$T/out"
is $? 1 "Exec in a paused task is an error"
call Delete a >/dev/null
is $? 1 "Delete of a paused task is an error"
call Resume a >/dev/null
is "$(raw_state a)" $RUNNING "resumed"
stats=$(call Stats a)
weight() { cat "$(cgroup_of a cpu)/$weight"; }
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	version=v2 pids=1.1 usage=4.32 cpu=2.1 limit=4.33 weight=cpu.weight
	unlimited=18446744073709551615 # written as "max"
else
	version=v1 pids=2.1 usage=4.33.2 cpu=3.1.1 limit=4.33.1 weight=cpu.shares
	unlimited=$(cat "$(cgroup_of a memory)/memory.limit_in_bytes")
fi
is "$(echo "$stats" | value stats.type)" "io.containerd.cgroups.$version.Metrics" "Stats: $version metrics"
is "$(echo "$stats" | value stats.$pids)" 1 "Stats: one process"
is "$(echo "$stats" | value stats.$limit)" "$unlimited" "Stats: the memory limit"
check "Stats: memory in use" test "$(echo "$stats" | value stats.$usage)" -gt 0
check "Stats: CPU time" test "$(echo "$stats" | value stats.$cpu)" -gt 0
echo '{}' >"$T/empty.json"
before=$(weight)
is "$(call Update a "resources=$T/empty.json")" "" "an empty Update is fine"
is "$(weight)" "$before" "and changes nothing"
echo '{"cpu":{"shares":512}}' >"$T/cpu.json"
is "$(call Update a "resources=$T/cpu.json")" "" "Update"
# 512 on v1; how a weight is made of it differs between runtimes
check "Update reaches the cgroup ($before, then $(weight))" test "$(weight)" -ne "$before"

echo '{"memory":{"limit":33554432}}' >"$T/memory.json"
is "$(call Update a "resources=$T/memory.json")" "" "Update of the memory limit"
is "$(call Stats a | value stats.$limit)" 33554432 "Stats tells it"
echo '[]' >"$T/list.json"
call Update a "resources=$T/list.json" >/dev/null
is $? 1 "an Update with a list is an error"
is "$(raw_state a)" $RUNNING "and changes nothing"
call Resume a >/dev/null
is $? 1 "Resume of a running task is an error"

raw_run frozen sleep 1000 >/dev/null
is "$(call Pause frozen)" "" "Pause of another"
is "$(call Kill frozen signal=9)" "" "Kill of a paused task"
is "$(call Wait frozen | value exit_status)" 137 "ends it"
call Pause frozen >/dev/null
is $? 1 "Pause of a stopped task is an error"
call Update frozen "resources=$T/empty.json" >/dev/null
is $? 1 "Update of a stopped task is an error"
raw_end frozen

if [ -n "$PODSHIM" ]; then
	# as systemd does when it is init
	moved=$(raw_run moved sh -c 'sleep 1000 & wait')
	members() { [ "$(wc -l <"$(cgroup_of moved pids)/cgroup.procs")" -eq "$1" ]; }
	check "a container of two processes" wait_for 10 members 2
	for c in memory pids; do
		sub=$(cgroup_of moved $c)/init.scope
		mkdir -p "$sub" && echo "$moved" >"$sub/cgroup.procs"
	done
	is "$(cat "$sub/cgroup.procs")" "$moved" "its init moves to a cgroup below"
	check "its worker is restarted" wait_for 60 podshimctl -n "$NS" restart moved
	is "$(call Stats moved | value stats.$pids)" 2 "Stats after a worker's restart: the whole container"
	is "$(podshimctl -n "$NS" stats moved -o json | jq '.[].pids')" 2 "podshimctl stats"
	raw_end moved
fi

is "$(call Kill a signal=0)" "" "signal 0 probes"
for i in 1 2 3; do
	call Wait a >"$T/wait$i" &
	eval "w$i=\$!"
done
is "$(call Kill a signal=9)" "" "Kill"
# shellcheck disable=SC2154
wait "$w1" "$w2" "$w3"
is "$(value exit_status <"$T/wait1")" 137 "Wait: 137"
check "three Waits on three connections tell the same" \
	sh -c "cmp '$T/wait1' '$T/wait2' && cmp '$T/wait2' '$T/wait3'"
st=$(call State a)
is "$(echo "$st" | value status)" $STOPPED "STOPPED"
is "$(echo "$st" | value pid)" "$pid" "the pid is kept"
is "$(echo "$st" | value exit_status)" 137 "status in State"
is "$(echo "$st" | value exited_at)" "$(value exited_at <"$T/wait1")" "one exit time: State and Wait"
like "$(call Kill a signal=9)" "error=5 *" "Kill of a stopped task: NotFound"
# With none, containerd 1.7 and later would forget the task, status and all, when it restarts.
[ -z "$PODSHIM" ] || is "$(call Pids a)" "process=$pid" "Pids of a stopped task: its init"
call Exec a exec_id=late "spec=$(raw_spec true)" >/dev/null && call Start a exec_id=late >/dev/null
is $? 1 "no exec in a stopped task"
call Delete a exec_id=late >/dev/null
out=$(call Delete a)
is "$(echo "$out" | value exit_status)" 137 "Delete: status"
is "$(echo "$out" | value pid)" "$pid" "Delete: pid"
is "$(echo "$out" | value exited_at)" "$(value exited_at <"$T/wait1")" "one exit time: Delete too"
for m in State Delete Wait Pids Pause Resume Stats; do
	like "$(call $m a)" "error=5 *" "$m after Delete: NotFound"
done
like "$(call Kill a signal=9)" "error=5 *" "Kill after Delete: NotFound"
check "all events are there" wait_for 5 events_has a /tasks/delete
is "$(events_of a | grep -v exec | tr '\n' ' ')" \
	"/tasks/create /tasks/start /tasks/paused /tasks/resumed /tasks/exit /tasks/delete " "in order"
is "$(call Shutdown a)" "" "Shutdown"
if [ -n "$PODSHIM" ]; then
	check "the keeper ends" wait_for 10 sh -c "! [ -e '$(sock_path a)' ]"
fi
out=$(raw_delete a)
is $? 0 "delete call after a clean end"
raw_unbundle a
finish

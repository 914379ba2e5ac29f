#!/bin/sh
# The kernel kills for memory: TaskOOM comes, and before the exit.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
raw_jq='.linux.resources.memory = {limit: 16777216}'
raw_new a sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1; exit 5'
raw_new b dd if=/dev/zero of=/dev/null bs=200M count=1
raw_new quiet sleep 1000
raw_jq=.
for c in a b quiet; do
	raw_create $c >/dev/null
	call Start $c >/dev/null
done
is "$(call Wait a | value exit_status)" 5 "init lives on after its child was killed"
is "$(call Wait b | value exit_status)" 137 "init killed: 137"
check "TaskOOM of a" wait_for 5 events_has a /tasks/oom
check "TaskOOM of b" wait_for 5 events_has b /tasks/oom
wait_for 5 events_has a /tasks/exit
wait_for 5 events_has b /tasks/exit
is "$(events_of a | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/oom /tasks/exit " "a: once, before the exit"

# a process that dies at once: of a start, of an exec
raw_run e sleep 1000 >/dev/null
for i in 1 2 3 4 5; do
	raw_jq='.linux.resources.memory = {limit: 16777216}'
	raw_new "i$i" dd if=/dev/zero of=/dev/null bs=200M count=1
	raw_jq=.
	raw_create "i$i" >/dev/null
	call Start "i$i" >/dev/null
	call Wait "i$i" >/dev/null
	wait_for 5 events_has "i$i" /tasks/exit
	# the Go shim of containerd 1.6 misses some
	[ -z "$PODSHIM" ] ||
		is "$(events_of "i$i" | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/oom /tasks/exit " \
			"init that dies at once: OOM before exit ($i)"
	raw_end "i$i"
done
echo '{"memory":{"limit":16777216}}' >"$T/memory.json"
call Update e "resources=$T/memory.json" >/dev/null
raw_exec e x dd if=/dev/zero of=/dev/null bs=200M count=1 >/dev/null
is "$(call Wait e exec_id=x | value exit_status)" 137 "an exec is killed"
check "its exit is told" wait_for 5 events_has e "/tasks/exit x"
# it may want for memory before the runtime has said that it runs
oom_behind_start() { sed 's#\(/tasks/oom \)\(/tasks/exec-started x \)#\2\1#'; }
is "$(events_of e | tr '\n' ' ' | oom_behind_start)" \
	"/tasks/create /tasks/start /tasks/exec-added x /tasks/exec-started x /tasks/oom /tasks/exit x " \
	"OOM before the exec's exit"

if [ -n "$PODSHIM" ]; then
	# the worker dies while the kill happens: told by the next one, once
	worker=$(pgrep -P "$(call Connect e | value shim_pid)" -x podshim-worker)
	kill -STOP "$worker"
	# a process of ours in its cgroup, so that no request is needed
	sh -c 'echo $$ >"$0/cgroup.procs" &&
		exec dd if=/dev/zero of=/dev/null bs=200M count=1' \
		"$(cgroup_of e memory)" >/dev/null 2>&1
	is $? 137 "a kill that no worker sees"
	kill -KILL "$worker"
	oom_is() { [ "$(events_of e | grep -c oom)" -eq "$1" ]; }
	check "is told by the next one" wait_for 10 oom_is 2
	# v1 notifies before it counts: none may be missed. But an event stands for the next kill,
	# too, until it has left the outbox, which is after it has been seen here.
	wait_for 60 none_pending e
	told=2
	while [ $told -lt 10 ]; do
		sh -c 'echo $$ >"$0/cgroup.procs" &&
			exec dd if=/dev/zero of=/dev/null bs=200M count=1' \
			"$(cgroup_of e memory)" >/dev/null 2>&1
		told=$((told + 1))
		wait_for 10 oom_is $told || break
		wait_for 60 none_pending e
	done
	is "$told,$(events_of e | grep -c oom)" 10,10 "eight more of processes that are not ours, each told"
	worker=$(pgrep -P "$(call Connect e | value shim_pid)" -x podshim-worker)
	kill -KILL "$worker"
	call State e >/dev/null
	is "$(call Kill e signal=9)" "" "Kill"
	check "its exit" wait_for 5 events_has e /tasks/exit
	check "and not twice" oom_is 10
fi
raw_end a b quiet e
check "the end of quiet" wait_for 5 events_has quiet /tasks/delete
is "$(events_of quiet | grep -c oom)" 0 "the end of a cgroup is no OOM"
is "$(events_of b | grep -c oom)" 1 "b: once"
finish

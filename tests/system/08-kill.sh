#!/bin/sh
# Kill in every state of a task and of an exec.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start

# created
raw_new k sleep 1000
raw_create k >/dev/null
is "$(call Kill k signal=9)" "" "kill of a created task"
check "it stops" wait_for 5 raw_state_is k $STOPPED
is "$(call Wait k | value exit_status)" 137 "Wait returns 137"
call Start k >/dev/null
is $? 1 "Start fails then"
is "$(call Delete k | value exit_status)" 137 "Delete tells it too"
check "events" wait_for 5 events_has k /tasks/delete
like "$(events_of k | tr '\n' ' ')" "/tasks/create *" "created first"
is "$(events_of k | grep -c /tasks/start)" 0 "it was never started"
raw_end k

# delete of a task that was never started
raw_new k2 sleep 1000
pid=$(raw_create k2 | value pid)
out=$(call Delete k2)
is $? 0 "Delete of a created task ($out)"
check "its process is gone" wait_for 5 pid_gone "$pid"
like "$(call State k2)" "error=5 *" "it is forgotten"
raw_end k2

# signals of pid 1 in the host's pid namespace (a container's own init ignores TERM)
raw_jq='del(.linux.namespaces[] | select(.type == "pid"))'
raw_new k3 sleep 1000
raw_jq=.
raw_create k3 >/dev/null
call Start k3 >/dev/null
is "$(call Kill k3 signal=15)" "" "SIGTERM"
is "$(call Wait k3 | value exit_status)" 143 "143"
like "$(call Kill k3 signal=15)" "error=5 *" "kill of an exited task: NotFound"
like "$(call Kill k3 signal=0)" "error=5 *" "also signal 0"
raw_end k3

# a signal arrives once
raw_new k4 sh -c 'n=0; trap "exit \$n" USR2; trap "n=\$((n+1)); echo \$n >/tmp/n" USR1; while :; do sleep 0.05; done'
raw_create k4 >/dev/null
call Start k4 >/dev/null
pid=$(call State k4 | value pid)
count_is() { [ "$(cat "/proc/$pid/root/tmp/n" 2>/dev/null)" = "$1" ]; }
check "the trap is set" wait_for 5 catches_usr1 "$pid"
for i in 1 2 3; do
	call Kill k4 signal=10
	# signals that are pending at once become one
	check "signal $i arrives" wait_for 5 count_is $i
done
call Kill k4 signal=12
is "$(call Wait k4 | value exit_status)" 3 "three signals, each once"
raw_end k4

# execs
raw_new k5 sleep 1000
raw_create k5 >/dev/null
call Start k5 >/dev/null
like "$(call Kill k5 exec_id=none signal=9)" "error=5 *" "unknown exec: NotFound"
call Exec k5 exec_id=e "spec=$(raw_spec sleep 1000)"
like "$(call Kill k5 exec_id=e signal=9)" "error=9 *" "exec not started: FailedPrecondition"
call Start k5 exec_id=e >/dev/null
call Delete k5 exec_id=e >/dev/null
is $? 1 "Delete of a running exec is an error"
is "$(call Kill k5 exec_id=e signal=15)" "" "kill of a running exec"
is "$(call Wait k5 exec_id=e | value exit_status)" 143 "143"
like "$(call Kill k5 exec_id=e signal=15)" "error=5 *" "exec exited: NotFound"
is "$(call Delete k5 exec_id=e | value exit_status)" 143 "its Delete"
like "$(call State k5 exec_id=e)" "error=5 *" "gone"
# all processes
raw_exec k5 f sleep 1000 >/dev/null
call Kill k5 signal=9 all=1
is "$(call Wait k5 exec_id=f | value exit_status)" 137 "kill all reaches the exec"
is "$(call Wait k5 | value exit_status)" 137 "and init"
# a paused task
raw_end k5
raw_new k6 sleep 1000
raw_create k6 >/dev/null
call Start k6 >/dev/null
call Pause k6
call Kill k6 signal=9
is "$(call Wait k6 | value exit_status)" 137 "SIGKILL reaches a paused task"
raw_end k6
finish

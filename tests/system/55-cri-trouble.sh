#!/bin/sh
# Pods of containerd's CRI plugin while their worker is killed, while containerd is
# stopped and killed, and when their shim dies: nothing ends that need not, and what CRI
# says of it is true. Then podshim under the Go shim's name, and beside it.
. "$(dirname "$0")/../lib/cri.sh"
cri_up
run_app() { # POD NAME: writes numbers, ends as it is told to
	cri run "$1" "$2" '' sh -c 'trap "exit 9" TERM; i=0; while :; do echo $i; i=$((i + 1)); sleep 0.02; done'
}
kill_worker() {
	[ -z "$PODSHIM" ] || kill -KILL "$(worker_pids)"
}
worker_of() { # POD
	wo_id=$(id "$1")
	for wo_p in $(worker_pids); do
		tr '\0' ' ' <"/proc/$wo_p/cmdline" | grep -q -e " -id $wo_id " && echo "$wo_p"
	done
}
task_of() { task_pid "$(id "$1")"; }
lines_of() { wc -l <"$T/log/pod/$1.log"; }
goes_on() { [ "$(lines_of "$1")" -gt "$2" ]; }
# in_order NAME: the lines that are there; in_full: and all from the first one on
in_order() { log_of pod "$1" | sort -c -u -k 3n; }
in_full() { log_of pod "$1" | awk '$3 != NR - 1 { print "line " NR ": " $0; exit 1 }'; }

check "a pod" cri pod pod default
for c in a b c; do run_app pod $c; done
cri create pod created '' sh -c 'echo started; exit 6'
cri run pod chat '{"stdin": true}' cat
shim=$(shim_pids)

# --- the worker is killed, with an exec, an attach and a stop under way ------
cri exec e a ioe sh -c 'echo ready; cat; exit 3'
check "an exec" cri expect e ready
cri attach t chat io
check "an attach" cri ask t 'one\n' one
cri later stop of b StopContainer '{"timeout": 20}'
kill_worker
is "$(cri sync a echo alive)" "0 alive" "ExecSync after the worker's death"
is "$(cri join stop)$(cri status b)" "{}EXITED 9 Error" "StopContainer under it: the true status"
cri send e two
cri eof e
is "$(cri end e)" '["ready\ntwo", "", 3]' "the exec goes on, and its status is true"
cri send t 'three\n'
check "so does the attach" cri expect t three
pid=$(task_of c)
kill_worker
kill -KILL "$pid"
check "a container that ends meanwhile" cri until c "EXITED 137 Error"
like "$(cri status pod)" "READY *" "the pod is ready"
is "$(cri status a)" "RUNNING 0 " "its containers run"
check "and write their logs" wait_for 10 goes_on a "$(lines_of a)"
for c in a b c; do check "the log of $c is complete" in_full $c; done

# --- containerd stops, is killed, with a worker's death in it ----------------
for how in TERM KILL; do
	cri run pod "away$how" '' sh -c 'trap "exit 21" USR1; while :; do sleep 0.02; done'
	pid=$(task_of "away$how")
	ctd_end $how
	kill_worker
	usr1 "$pid"
	wait_for 10 pid_gone "$pid" || not_ok "$how: $pid runs on"
	cri_back
	like "$(cri status pod)" "READY *" "$how: the pod is ready"
	is "$(cri status a)" "RUNNING 0 " "$how: its containers run"
	is "$(cri sync a echo alive)" "0 alive" "$how: ExecSync"
	check "$how: what ended while it was away: its status" cri until "away$how" "EXITED 21 Error"
	check "$how: logs go on" wait_for 10 goes_on a "$(lines_of a)"
	is "$(shim_pids)" "$shim" "$how: the same shim"
done
check "its log is in order" in_order a
cri attach t chat io
check "attach" cri ask t 'four\n' four
cri drop t
check "a container created before that starts" cri of created StartContainer
check "and ends" cri until created "EXITED 6 Error"
check "a new one joins the pod" cri run pod new '' sleep 1000
is "$(shim_pids)" "$shim" "in the same shim"
is "$(cri of a StopContainer '{"timeout": 20}')$(cri status a)" "{}EXITED 9 Error" "StopContainer of one from before"

# --- under the Go shim's name, and the Go shim by its path -------------------
if [ -n "$PODSHIM" ]; then
	check "a pod of podshim by the name of runc.v2" cri pod other runc
	run_app other hidden
	is "$(worker_pids | wc -l)" 2 "podshim runs it"
	check "with runc.v2's options" test -d "$T/runc/k8s.io/$(id hidden)"
	check "a pod of the Go shim, by its path" cri pod go go
	is "$(worker_pids | wc -l) $(pids_of containerd-shim-runc-v2 | wc -l)" "2 1" "beside it"
	kill -KILL "$(worker_of other)"
	is "$(cri of hidden StopContainer '{"timeout": 20}')$(cri status hidden)" "{}EXITED 9 Error" "its status"
	for p in other go; do is "$(cri of $p StopPodSandbox)$(cri of $p RemovePodSandbox)" "{}{}" "the end of $p"; done
fi

# --- the shim itself is killed: its pod ends, and can be removed -------------
ended() { case $(cri status "$1") in EXITED*) ;; *) return 1 ;; esac; }
kill -KILL "$shim"
for c in chat new; do check "$c has ended" wait_for 10 ended $c; done
not_ready() { case $(cri status pod) in NOTREADY*) ;; *) return 1 ;; esac; }
check "the pod is not ready" wait_for 10 not_ready
check "StopPodSandbox" cri of pod StopPodSandbox
check "RemovePodSandbox" cri of pod RemovePodSandbox
is "$(cri call ListPodSandbox)$(cri call ListContainers)" '{"items": []}{"containers": []}' "nothing is listed"
finish

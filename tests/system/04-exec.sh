#!/bin/sh
# Execs: output, exit codes, signals, order of events.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
events_start
run_d main sh -c 'trap "exit 0" USR1; while :; do sleep 1000 & wait; done'

is "$(x_out main e1 "echo hello")" hello "output of an exec"
out_err=yes
out=$(x_out main e2 'echo out; echo err >&2')
out_err=
is "$out/$(cat "$T/e2.err")" out/err "two streams"
for code in 0 1 42 255; do
	x main "c$code" sh -c "exit $code" </dev/null 2>/dev/null
	is $? "$code" "exit status $code"
done
for s in TERM:143 KILL:137 SEGV:139; do
	x main "s${s%:*}" sh -c "kill -${s%:*} \$\$" </dev/null 2>/dev/null
	is $? "${s#*:}" "killed by ${s%:*}: status ${s#*:}"
done
is "$(x_out main env 'echo $PATH')" /bin "the image's environment"

# One that stays: ps shows it, kill reaches it, its id is taken.
x main stay sleep 1000 </dev/null >/dev/null 2>&1 &
stay=$!
check "exec-started arrives" wait_for 5 events_has main "/tasks/exec-started stay"
like "$(ctr task ps main)" '*stay*' "ps tells the exec id of its process"
out=$(x main stay true </dev/null 2>&1)
is $? 1 "a second exec of that id fails"
like "$out" "*already exists*" "it says: already exists"
check "the task does not mind" wait_for 60 task_is main RUNNING
ctr task kill -s TERM --exec-id stay main
wait $stay
is $? 143 "kill of an exec: 143 reaches ctr"

check "the last of these exits" wait_for 60 events_has main "/tasks/exit stay"
for e in e1 c42 sKILL stay; do
	is "$(events_of main | grep " $e\$" | cut -d' ' -f1 | tr '\n' ' ')" \
		"/tasks/exec-added /tasks/exec-started /tasks/exit " "events of exec $e"
done
pid=$(event_body main /tasks/exec-started | jq 'select(.exec_id == "c42") | .pid')
is "$(event_body main /tasks/exit | jq 'select(.id == "c42") | .pid')" "$pid" "one pid in both"
is "$(event_body main /tasks/exit | jq 'select(.id == "c42") | .exit_status')" 42 "the event has the status"

# Ten at once.
for i in 0 1 2 3 4 5 6 7 8 9; do
	x_out main "p$i" "echo $i; exit $i" >"$T/p$i" 2>&1 &
	eval "p$i=\$!"
done
bad=
for i in 0 1 2 3 4 5 6 7 8 9; do
	eval "wait \$p$i" || [ $? -eq $i ] || bad="$bad status:$i"
	[ "$(cat "$T/p$i")" = $i ] || bad="$bad output:$i"
done
is "$bad" "" "ten execs at once keep output and status apart"

# Init goes while an exec runs: the exec's exit comes first, init's last.
x main last sleep 1000 </dev/null >/dev/null 2>&1 &
last=$!
check "the last exec runs" wait_for 5 events_has main "/tasks/exec-started last"
ctr task kill -s USR1 main
wait $last
is $? 137 "an exec dies with its container: 137"
check "init's exit arrives" wait_for 5 events_has main /tasks/exit
is "$(events_of main | tail -2 | tr '\n' ' ')" "/tasks/exit last /tasks/exit " "the exec's exit comes before init's"
is "$(events_of main | sort | uniq -d)" "" "no event came twice"
finish

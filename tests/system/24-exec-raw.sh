#!/bin/sh
# Execs seen through the socket: ids, states, failures, Pids.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
init=$(raw_run a sleep 1000)

is "$(call Exec a exec_id=e "spec=$(raw_spec sleep 1000)")" "" "Exec"
st=$(call State a exec_id=e)
is "$(echo "$st" | value status)" "$CREATED" "State: CREATED"
is "$(echo "$st" | value pid)" 0 "no pid yet"
is "$(echo "$st" | value bundle)" "$RAW/a" "the container's bundle"
like "$(call Exec a exec_id=e "spec=$(raw_spec true)")" "error=6 *" "the same id again: AlreadyExists"
like "$(call Start a exec_id=none)" "error=5 *" "Start of an unknown exec: NotFound"
like "$(call Delete a exec_id=none)" "error=5 *" "Delete of an unknown exec: NotFound"
like "$(call Wait a exec_id=none)" "error=5 *" "Wait of an unknown exec: NotFound"
pid=$(call Start a exec_id=e | value pid)
check "Start answers its pid" wait_for 10 cmdline_is "$pid" "sleep 1000"
is "$(call State a exec_id=e | value pid)" "$pid" "State tells it"
is "$(call Pids a | sort)" "$(printf 'process=%s\nprocess=%s e\n' "$init" "$pid" | sort)" "Pids: init, and the exec by its id"
call Start a exec_id=e >/dev/null
is $? 1 "a second Start is an error"
is "$(raw_state a)" "$RUNNING" "the task runs"
call Kill a exec_id=e signal=9
is "$(call Wait a exec_id=e | value exit_status)" 137 "Wait"
is "$(call Wait a exec_id=e | value exit_status)" 137 "Wait again, afterwards"
like "$(call Exec a exec_id=e "spec=$(raw_spec true)")" "error=6 *" "the id is taken until Delete"
st=$(call State a exec_id=e)
out=$(call Delete a exec_id=e)
is "$(echo "$out" | value exited_at)" "$(echo "$st" | value exited_at)" "one exit time"
is "$(echo "$out" | value pid)" "$pid" "Delete: pid"
is "$(call Exec a exec_id=e "spec=$(raw_spec true)")" "" "then it is free"

# never started: deletable, with nothing
out=$(call Delete a exec_id=e)
is "$(echo "$out" | value exit_status),$(echo "$out" | value pid)" 0,0 "Delete of an exec never started: status 0, pid 0"

# a Start that fails
call Exec a exec_id=bad "spec=$(raw_spec /no/such/program)"
call Wait a exec_id=bad >"$T/wait" &
w=$!
out=$(call Start a exec_id=bad)
like "$out" "error=*no such file*" "Start of a missing program: $out"
check "its Wait comes back" wait_for 5 pid_gone $w
like "$(call State a exec_id=bad | value status)" "[13]" "its State can be asked"
call Delete a exec_id=bad >/dev/null
is $? 0 "it can be deleted"
like "$(call State a exec_id=bad)" "error=5 *" "and is gone"
is "$(raw_exec a ok true | value pid | grep -c .)" 1 "the next one works"
call Wait a exec_id=ok >/dev/null
call Delete a exec_id=ok >/dev/null

# specs that are not
echo '{"args": 5}' >"$T/bad.json"
call Exec a exec_id=s1 "spec=$T/bad.json" >"$T/out" && call Start a exec_id=s1 >"$T/out"
is $? 1 "args that are a number: an error"
echo 'nonsense' >"$T/bad.json"
call Exec a exec_id=s2 "spec=$T/bad.json" >"$T/out" && call Start a exec_id=s2 >"$T/out"
is $? 1 "a spec that is no JSON: an error"
if [ -n "$PODSHIM" ]; then # the Go shim of containerd 1.6 dies of it
	call Exec a exec_id=s3 >"$T/out" && call Start a exec_id=s3 >"$T/out"
	is $? 1 "no spec at all: an error"
fi
for e in s1 s2 s3; do
	call Delete a exec_id=$e >/dev/null
done
if [ -n "$PODSHIM" ]; then
	like "$(call Exec a exec_id=../../x "spec=$(raw_spec true)")" "error=3 *" "an exec id with slashes: InvalidArgument"
	like "$(call Exec a exec_id=.. "spec=$(raw_spec true)")" "error=3 *" "an exec id of dots: InvalidArgument"
fi
is "$(raw_state a)" "$RUNNING" "the task does not mind"

# user, cwd and environment of the spec; a long one
jq -n '{args: ["sh", "-c", "id -u; pwd; echo $A"], cwd: "/tmp", env: ["PATH=/bin", "A=b c"],
	user: {uid: 1000, gid: 1000}}' >"$T/spec.json"
raw_fifos u
exec 6<>"$RAW/u.err" 7<>"$RAW/u.out"
call Exec a exec_id=u "spec=$T/spec.json" "stdout=$RAW/u.out" "stderr=$RAW/u.err"
call Start a exec_id=u >/dev/null
l1=$(line_from <&7) l2=$(line_from <&7) l3=$(line_from <&7)
is "$l1 $l2 $l3" "1000 /tmp b c" "user, directory, environment"
head -c 100000 /dev/zero | tr '\0' x >"$T/long"
jq -n --rawfile x "$T/long" '{args: ["sh", "-c", "echo ${#0}", $x], cwd: "/", env: ["PATH=/bin"],
	user: {uid: 0, gid: 0}}' >"$T/spec.json"
call Exec a exec_id=l "spec=$T/spec.json" "stdout=$RAW/u.out" "stderr=$RAW/u.err"
call Start a exec_id=l >/dev/null
l1=$(line_from <&7)
is "$l1" 100000 "an argument of 100,000 bytes"
exec 6<&- 7<&-
for e in u l; do
	call Wait a exec_id=$e >/dev/null
	call Delete a exec_id=$e >/dev/null
done
check "no pid file of an exec is left" sh -c "! ls '$RAW/a' | grep -v '^init.pid\$' | grep '\\.pid\$'"

# events
wait_for 5 events_has a "/tasks/exit l"
is "$(events_of a | grep ' bad$' | tr '\n' ' ')" "/tasks/exec-added bad " "a failed Start: added, never started, no exit"
is "$(events_of a | grep ' u$' | cut -d' ' -f1 | tr '\n' ' ')" "/tasks/exec-added /tasks/exec-started /tasks/exit " "in order"

# execs when init dies in the middle of their Start
raw_run c sleep 1000 >/dev/null
for i in 1 2 3 4 5 6; do
	call Exec c exec_id=m$i "spec=$(raw_spec sleep 1000)"
done
for i in 1 2 3 4 5 6; do
	call Start c exec_id=m$i >"$T/m$i" 2>&1 &
	eval "m$i=\$!"
done
call Kill c signal=9
is "$(call Wait c | value exit_status)" 137 "init's exit is told while execs start"
hung=
for i in 1 2 3 4 5 6; do
	eval "wait \$m$i"
	grep -q '^pid=\|^error=' "$T/m$i" || hung="$hung m$i:$(cat "$T/m$i")"
done
is "$hung" "" "each Start is answered"
is "$(raw_state c)" "$STOPPED" "the task is stopped"
call Exec c exec_id=late "spec=$(raw_spec true)" >/dev/null && call Start c exec_id=late >/dev/null
is $? 1 "no exec after that"

raw_end a c
finish

#!/bin/sh
# dump, and SIGUSR1 to keeper or worker: a file that only root can read, with what both
# know and where the worker is; also of one that is stopped, or spins.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
has() { # PATTERN WHAT
	if grep -qE "$1" "$dump"; then ok "$2"; else not_ok "$2" && diag "$(head -n 80 "$dump")"; fi
}
# by their names: a file may be as old as what was made before it
dumps() { find "$dir" -name 'dump-*.txt'; }
usr1_to() { # PID: and what there was before it
	old=$(dumps)
	kill -USR1 "$1"
}
newest() { dumps | grep -vxF -e "$old"; }
comes() { [ -n "$(newest)" ] && grep -q "$1" "$(newest)" && grep -q "dump: $(newest)" "$T/shim.log"; }
asked() { [ "$(keeper_field a requests)" -ge 1 ]; }

raw_run a sh -c 'while :; do sleep 0.1; done' >/dev/null || bail "run"
raw_exec a e1 sleep 1000 >/dev/null
call Wait a >/dev/null &
wait=$!
wait_for 10 asked
w=$(pod_field a worker_pid)
k=$(pod_field a keeper_pid)
[ "${w:-0}" -gt 1 ] && [ "${k:-0}" -gt 1 ] || bail "no pids"
# The keeper waits a second for the worker's part: one that gets no CPU for so long is looked at
# from outside, and then there is no such part.
dumped() { dump=$(podshimctl -n "$NS" dump a 2>"$T/err") && grep -q "^worker pid=$w .* live" "$dump"; }
check "dump" wait_for 60 dumped
dir=$(dirname "$dump")
is "$(stat -c '%a %u' "$dump")" "600 0" "the file is root's alone"
has "^worker_pid=$w$" "keeper: its state"
has '^request n=' "keeper: the request in hand"
has '^stored |^step key=' "keeper: steps"
has "^child pid=$w .*podshim-worker" "keeper: children"
has '^trace .* request ' "what the worker did last"
has '^frame: .*\(base \+ ' "a backtrace"
has "^op n=.* Wait 'a'" "worker: the operation"
has "^task 'a' running" "worker: the task"
has "^  exec 'e1' pid=[0-9]+ running" "worker: its exec"
has '^outbox pending=' "worker: the outbox"

usr1_to "$k"
check "SIGUSR1 to the keeper" wait_for 5 comes "^worker pid=$w"
usr1_to "$w"
check "SIGUSR1 to the worker" wait_for 5 comes "^worker pid=$w"
is "$(pod_field a worker_pid)" "$w" "neither has harmed anybody"
kill -STOP "$w"
dump=$(podshimctl -n "$NS" dump a 2>"$T/err")
has '^process: State:.*stopped' "a stopped one is looked at from outside"
has '^kernel: ' "with its kernel stack"
has '^frame: .*\(base \+ ' "and a trail"
kill -CONT "$w"
is "$(call State a | value status)" $RUNNING "it goes on as before"
is "$(pod_field a worker_pid)" "$w" "and is the same"
i=0
while [ $i -lt 10 ]; do
	podshimctl -n "$NS" dump a >/dev/null 2>&1 || break
	i=$((i + 1))
done
is "$i:$(find "$dir" -name 'dump-*.txt' | wc -l)" 10:8 "the newest eight stay"
raw_end a
wait $wait
finish

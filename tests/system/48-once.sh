#!/bin/sh
# What must happen once, happens once, whenever the worker dies: signals, and three
# Waits that are answered across a Delete.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
raw_jq='.annotations["io.containerd.runc.v2.group"] = "once"'
# it counts, and says so in a file that we see through its root
raw_new counter sh -c 'n=0; trap "n=\$((n + 1)); echo \$n >/tmp/n" USR1; echo 0 >/tmp/n; while :; do sleep 0.02; done'
raw_create counter >/dev/null && pid=$(call Start counter | value pid)
count() { cat "/proc/$pid/root/tmp/n" 2>/dev/null; }
count_is() { [ "$(count)" = "$1" ]; }
check "it counts from 0" wait_for 5 count_is 0
worker_runs() {
	w=$(pod_field once worker_pid)
	[ "${w:-0}" -gt 1 ]
}
worker() { # its pid, to $w: never 0, which for kill means us
	wait_for 10 worker_runs || bail "no worker"
}

# 60 signals, one worker killed for each, at a time that wanders across the request
n=0
bad=
while [ $n -lt 60 ]; do
	worker
	call Kill counter signal=10 >"$T/kill.out" 2>&1 &
	k=$!
	# 0 to 3 ms of spinning
	i=0
	while [ $i -lt $((n * 50)) ]; do i=$((i + 1)); done
	kill -KILL "$w" 2>/dev/null
	wait $k || bad="$bad $n:$(cat "$T/kill.out")"
	n=$((n + 1))
	wait_for 3 count_is $n || bad="$bad $n:count=$(count)"
	[ "$(count)" = $n ] || break
done
is "$bad" "" "60 times USR1 while the worker died: each answered and delivered once"
is "$(count)" 60 "the container has counted 60"

# the same with the worker stopped when the signal comes, and killed before it could answer
n=60
while [ $n -lt 70 ]; do
	worker
	kill -STOP "$w"
	call Kill counter signal=10 >"$T/kill.out" 2>&1 &
	k=$!
	kill -KILL "$w"
	wait $k || bad="$bad $n"
	n=$((n + 1))
	wait_for 3 count_is $n || bad="$bad $n:count=$(count)"
done
is "$bad" "" "10 more with a worker that had no chance"

# three Waits, exit, Delete, with a death in between: all have the true status
three_wait() { [ "$(keeper_field once requests)" -ge 3 ]; }
n=0
while [ $n -lt 12 ]; do
	id=w$n
	raw_new $id sh -c "trap 'exit $((40 + n))' USR1; while :; do sleep 0.02; done"
	raw_create $id >/dev/null && p=$(call Start $id | value pid)
	for i in 1 2 3; do
		call Wait $id >"$T/wait$i" 2>&1 &
		eval "q$i=$!"
	done
	wait_for 60 three_wait
	wait_for 60 catches_usr1 "$p"
	worker
	case $((n % 3)) in
	0) # dies at about the exit
		kill -USR1 "$p"
		kill -KILL "$w"
		;;
	1) # stopped at the exit, killed behind it
		kill -STOP "$w"
		kill -USR1 "$p"
		wait_for 5 pid_gone "$p"
		kill -KILL "$w"
		;;
	2) kill -USR1 "$p" ;;
	esac
	wait_for 5 pid_gone "$p"
	call Delete $id >"$T/delete" 2>&1 &
	d=$!
	[ $((n % 3)) = 2 ] && kill -KILL "$w"
	wait $d
	[ "$(value exit_status <"$T/delete")" = $((40 + n)) ] || bad="$bad delete $n: $(cat "$T/delete")"
	# shellcheck disable=SC2154
	for i in 1 2 3; do
		eval "wait \$q$i"
		[ "$(value exit_status <"$T/wait$i")" = $((40 + n)) ] || bad="$bad wait $n.$i: $(cat "$T/wait$i")"
	done
	raw_end $id 2>/dev/null
	n=$((n + 1))
done
is "$bad" "" "12 times three Waits across a Delete and a death: all true"
raw_end counter
finish

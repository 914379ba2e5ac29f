#!/bin/sh
# podshimctl why, the rarer causes, each made for real: debuggers, processes that cannot end,
# a root file system in use, a lost init, memory, a worker in D, a database that is gone.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
# why CODE TARGET: the text of that finding
why() { timeout $((60 * SLOW)) podshimctl -n "$NS" why -o json "$2" | jq -r --arg c "$1" '.[] | select(.code == $c) | .text'; }
says() { why "$1" "$2" | grep -qE "$3"; }
silent() { ! says "$1" "$2" .; }
# told CODE TARGET PATTERN DESCRIPTION
told() {
	if wait_for 10 says "$1" "$2" "$3"; then ok "$4"; else
		not_ok "$4"
		diag "$(timeout $((60 * SLOW)) podshimctl -n "$NS" why "$2" 2>&1)"
	fi
}
# odd ARGS...: the helper, once it is ready; its pid in $odd
odd() {
	: >"$T/odd"
	"$BIN/odd" "$@" >"$T/odd" 2>&1 &
	odd=$!
	not_ours="$not_ours $odd"
	wait_for 20 test -s "$T/odd"
	[ "$(cat "$T/odd")" = ready ] || bail "odd $*: $(cat "$T/odd")"
}
odd_end() {
	kill -KILL "$odd"
	wait "$odd" 2>/dev/null
}
child_of() { child=$(pgrep -P "$1") && [ -n "$child" ]; }
quick_events

# a process that a debugger has stopped
pid=$(raw_run a sh -c 'sleep 999 & exec sleep 1000')
wait_for 20 child_of "$pid"
odd hold "$child"
told process-stopped a "pid $child \(.*stopped by a debugger, held by odd \(pid $odd\), does not run" "a process that is traced"

# init has ended, and the kernel waits for the other one, which its debugger does not let go
kill -KILL "$pid"
told init-zombie a "init, pid $pid .* has ended, but the kernel keeps it for 1 other .* pid $child .* held by odd" \
	"an init that cannot end"
odd_end
check "it ends without the debugger" sh -c "timeout $((60 * SLOW)) '$BIN/rpc' '$(cat "$RAW/a/address")' Wait id=a"
told ended a "Its init has ended with 137; what is left of it goes when containerd" "a container that has ended"
check "nothing else of it" silent init-zombie a
raw_end a

# without a pid namespace what lives on is told, too
raw_jq='del(.linux.namespaces[] | select(.type == "pid"))'
pid=$(raw_run host sh -c 'sleep 999 & exec sleep 1000')
raw_jq=.
wait_for 20 child_of "$pid"
odd hold "$child"
kill -KILL "$pid"
told process-lives host "has ended, but in its cgroup is still pid $child .* held by odd" "a process that outlives init"
odd_end
raw_end host

# a keeper that does not reap
pid=$(raw_run z sleep 1000)
keeper=$(pod_field z keeper_pid)
[ "${keeper:-0}" -gt 1 ] || bail "no pid"
kill -STOP "$keeper"
kill -KILL "$pid"
told init-zombie z "init, pid $pid \(sleep\), has ended, but its parent, podshim-keeper \(pid $keeper\), has not" "a zombie"
kill -CONT "$keeper"
wait_for 20 raw_state_is z $STOPPED
raw_end z

# the root file system of an ended container, with somebody in it
mkdir "$T/over"
raw_jq='.root = {path: "rootfs"}'
raw_new m true
raw_jq=.
raw_create m "mount=overlay:overlay:lowerdir=$T/over:$T/rootfs" >/dev/null
call Start m >/dev/null
call Wait m >/dev/null
(cd "$RAW/m/rootfs" && exec sleep 1003) &
guest=$!
not_ours="$not_ours $guest"
told rootfs-busy m "in use by pid $guest \(sleep" "a root file system that is in use"
kill -KILL $guest
wait $guest 2>/dev/null # or it is there still when Delete unmounts
raw_end m

# memory
raw_jq='.linux.resources.memory = {limit: 16777216}'
raw_run oom sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1; exec sleep 1000' >/dev/null
raw_jq=.
told oom oom "The kernel has killed 1 of its processes" "a process that the kernel killed for memory"
raw_end oom

# init is gone, and nobody has written that down: its worker is held by a debugger
pid=$(raw_run g sleep 1000)
worker=$(pod_field g worker_pid)
[ "${worker:-0}" -gt 1 ] || bail "no pid"
odd hold "$worker"
told worker-traced g "worker \(pid $worker\) is held by a debugger, odd \(pid $odd\)" "a worker under a debugger"
kill -KILL "$pid"
told init-gone g "init, pid $pid, is recorded as running but does not exist" "an init that is gone"
# a request waits behind another of its container
raw_timeout=$((300 * SLOW)) call Kill g signal=9 >/dev/null 2>&1 &
first=$!
wait_for 20 says request-waits g "^Kill of"
raw_timeout=$((300 * SLOW)) call Delete g >/dev/null 2>&1 &
second=$!
told request-waits g "^Delete of container 'g' waits .* behind Kill of the same container" "a request behind another"
odd_end
wait $first $second
raw_end g

# no database
raw_run d sleep 1000 >/dev/null
dir=$(ls -d "$STATE_ROOT/$NS"/d.????????)
mv "$dir/state.db" "$dir/away"
told no-database d "nothing is known" "a database that is gone"
mv "$dir/away" "$dir/state.db"
raw_end d

# a worker that the kernel does not let go
mkdir "$T/libexec"
cp "$PODSHIM_PREFIX/libexec/podshim/podshim-keeper" "$T/libexec/"
cp "$BIN/dstate" "$T/libexec/podshim-worker"
raw_bundle w sleep 1000
export PODSHIM_LIBEXECDIR="$T/libexec"
raw_start w &
starter=$!
told worker-in-D w "worker is pid [0-9]+ \(podshim-worker, .* in uninterruptible sleep \(D\)" "a worker in D"
keeper=$(pod_field w keeper_pid)
both_below() { child_of "$keeper" && child_of "$child"; }
[ "${keeper:-0}" -gt 1 ] && wait_for 20 both_below || bail "no pid"
kill -KILL "$keeper"
wait $starter
kill -KILL "$child"
unset PODSHIM_LIBEXECDIR
raw_delete w >/dev/null
raw_delete w >/dev/null # what it could not do in its 4.5 s
raw_unbundle w
finish 60

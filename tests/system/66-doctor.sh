#!/bin/sh
# podshimctl doctor finds what is orphaned, gc removes what is provably nobody's.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
ctl() { podshimctl -n "$NS" "$@"; }
doctor() { ctl doctor -o json | jq -r --arg c "$1" '.[] | select(.code == $c) | .text'; }
dir_of() { find "$STATE_ROOT/$NS" -maxdepth 1 -type d -name "$1.*"; }

pid=$(raw_run a sleep 1000)
raw_run b sleep 1000 >/dev/null
bundle_a=$RAW/a
dir=$(dir_of a)
socket=$(sed 's|^unix://||' "$bundle_a/address")
well() { ctl doctor >"$T/doctor" && grep -q "2 pods, all is well." "$T/doctor"; }
check "a healthy node" wait_for 20 well
is "$(ctl gc)" "Nothing to remove." "nothing to remove"

mv "$RAW/b" "$RAW/b.away"
like "$(doctor bundle-gone)" "*'b' runs, but its bundle*" "a bundle that is gone"
is "$(ctl doctor >/dev/null; echo $?)" 1 "exit code 1"
ctl doctor -o json >"$T/json"
check "doctor as doc/schema says" as_schema doctor "$T/json"
mv "$RAW/b.away" "$RAW/b"

runtime_root=$(ctl inspect -o json a/a | jq -r .runtime_root)
# the keeper dies, and nobody runs delete
k=$(pod_field a keeper_pid)
w=$(pod_field a worker_pid)
[ "${k:-0}" -gt 1 ] && [ "${w:-0}" -gt 1 ] || bail "no pids"
kill -KILL "$k"
wait_for 10 pid_gone "$w"
like "$(doctor container-without-keeper)" "*'a' runs (pid $pid)*" "a container without a keeper"
like "$(doctor stale-socket)" "*Nobody listens*" "a stale socket"
like "$(ctl gc)" "left alone *'a' still has processes" "gc leaves living containers alone"
kill -KILL "$pid"
wait_for 10 pid_gone "$pid"
like "$(ctl gc)" "left alone *still has its bundle*" "and what containerd will ask for"
rm -rf "$bundle_a"
like "$(doctor orphaned-directory)" "*is left over*" "an orphaned directory"
like "$(ctl gc --dry-run)" "would remove $runtime_root/a: *would remove *cgroup*would remove $dir: *would remove $socket: *" \
	"gc --dry-run tells"
ctl gc --dry-run -o json >"$T/json"
check "as doc/schema says" as_schema gc "$T/json"
check "and removes nothing" test -d "$dir" -a -d "$runtime_root/a"
# whose name another container bears by now is not ours to delete
sed -i.ours "s|$bundle_a|/else/where|g" "$runtime_root/a/state.json"
case $(ctl gc --dry-run) in
*"$runtime_root/a"* | *cgroup*) not_ok "what belongs to another one of that name is left alone" ;;
*) ok "what belongs to another one of that name is left alone" ;;
esac
mv "$runtime_root/a/state.json.ours" "$runtime_root/a/state.json"
ctd_kill # gc does not ask it

# whoever holds the pod's lock is not disturbed
exec 5>>"$dir.lock"
flock 5
like "$(ctl gc)" "left alone *is held by another process*" "not while its lock is held"
exec 5>&-
like "$(ctl gc)" "removed $runtime_root/a: *removed *cgroup*removed $dir: *removed $socket: *" "gc removes it"
check "the runtime's record" test ! -e "$runtime_root/a"
is "$(cgroups_of a)" "" "the cgroups"
check "the directory" test ! -e "$dir"
check "the socket" test ! -e "$socket"
check "the lock" test ! -e "$dir.lock"
is "$(ctl list -o json | jq -r '.[].pod')" b "the other pod is there"
is "$(raw_state b)" "$RUNNING" "and well"
is "$(ctl gc)" "Nothing to remove." "nothing more to remove"
ctd_start
raw_end b
finish 60

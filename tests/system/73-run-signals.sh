#!/bin/sh
# podshimctl run: signals at any time, and workers, keepers and podshimctls that are killed.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
. "$LIBDIR/run.sh"
trapper='trap "echo got TERM; exit 5" TERM; echo ready; while :; do sleep 0.05; done'

# in the foreground: $fg is podshimctl itself
fg_run() { # fg_run OUTPUT ARGS...
	fg_out=$1
	shift
	rm -f "$fg_out"
	PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" run --rootfs "$T/rootfs" "$@" >"$fg_out" 2>&1 </dev/null &
	fg=$!
}
fg_run "$T/o1" --rm a sh -c "$trapper"
check "a container in the foreground" wait_for 60 has "$T/o1" ready
w=$(pod_field a worker_pid)
[ "${w:-0}" -gt 1 ] || bail "no pid"
kill -9 "$w"
kill -TERM $fg
wait $fg
is "$?,$(tail -n 1 "$T/o1")" "5,got TERM" "SIGTERM is passed on, past a dead worker"
check "--rm" no_run_dirs

# before there is a pid: the runtime waits for us. In the host's pid namespace, where a
# signal does what it always does, whether the program is there already or not
cat >"$T/slow" <<-SLOW
	#!/bin/sh
	case "\$*" in *" create "*)
		: >$T/creating
		until [ -e $T/create ]; do sleep 0.02; done ;;
	esac
	exec runc "\$@"
SLOW
chmod 755 "$T/slow"
mkdir "$T/bundle"
(cd "$T/bundle" && runc spec)
jq '(.root.path = "../rootfs") | (.linux.namespaces -= [{type: "pid"}])' "$T/bundle/config.json" >"$T/c.json"
mv "$T/c.json" "$T/bundle/config.json"
PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" run --rm --runtime "$T/slow" --bundle "$T/bundle" b \
	sleep 1000 >"$T/o2" 2>&1 </dev/null &
fg=$!
wait_for 60 test -e "$T/creating"
kill -TERM $fg
: >"$T/create"
wait $fg
is "$?" 143 "a signal that comes before the pid is known" || diag "$(cat "$T/o2")"

# what hangs before there is a pid can be got away from, and says what it leaves
rm "$T/create" "$T/creating"
PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" run --runtime "$T/slow" --bundle "$T/bundle" stuck \
	sleep 1000 >"$T/o5" 2>&1 </dev/null &
fg=$!
wait_for 60 test -e "$T/creating"
ends_by_term() {
	kill -TERM $fg 2>/dev/null
	pid_gone $fg
}
ended_by_term() { wait_for 20 ends_by_term || ! kill -9 $fg; }
check "a second signal, while the runtime hangs" ended_by_term
: >"$T/create"
wait $fg
is "$?,$(grep -c "gave up; 'podshimctl delete --force stuck' takes away" "$T/o5")" 125,1 "ends podshimctl, which says so" ||
	diag "$(cat "$T/o5")"
rm_run stuck
check "and that is true" no_run_dirs

# a stopped shim takes no signals
fg_run "$T/o6" s sh -c 'echo ready; sleep 1000'
wait_for 60 has "$T/o6" ready
w=$(pod_field s worker_pid)
[ "${w:-0}" -gt 1 ] || bail "no pid"
kill -STOP "$w"
check "signals to a stopped worker" ended_by_term
kill -CONT "$w"
wait $fg
is "$?,$(tail -n 1 "$T/o6")" "125,podshimctl: the shim does not take signals: gave up; container 's' may run on" \
	"end podshimctl alone"
rm_run s

# podshimctl dies: the container does not, and what was asked for happens all the same
fg_run "$T/o3" --rm --exit-file "$T/exit" c sh -c 'echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; exit 3'
wait_for 60 has "$T/o3" ready
kill -9 $fg
wait $fg 2>/dev/null
is "$(task_of c status)" running "podshimctl is killed, the container runs on"
: >"$T/rootfs/tmp/go"
check "the exit file is written" wait_for 60 has "$T/exit" '^3$'
check "and it is removed" wait_for 60 no_run_dirs

# who removes a container at the same time is waited for: here it is ourselves
fg_run "$T/o8" --rm r sh -c 'echo ready; until [ -e /tmp/go8 ]; do sleep 0.05; done; exit 4'
wait_for 60 has "$T/o8" ready
dir=$STATE_ROOT-run/$NS/r
locked() { grep -q "FLOCK .* $fg .*:$(stat -c %i "$dir") " /proc/locks; }
let_go_of() { ! locked; }
check "podshimctl holds a lock on its container" wait_for 60 locked
exec 7<"$dir"
flock -s 7
: >"$T/rootfs/tmp/go8"
check "which it wants for itself alone at the end" wait_for 60 let_go_of
stays=yes
for _ in 1 2 3 4 5 6 7 8 9 10; do
	podshimctl -n "$NS" list >/dev/null
	kill -0 $fg && [ -e "$dir/config.json" ] || stays=no
done
is $stays yes "and does not get, so nothing is removed"
exec 7<&-
wait $fg
is "$?,$(no_run_dirs && echo gone)" 4,gone "when it may, all is gone as it returns"

# the keeper dies
fg_run "$T/o4" d sh -c 'echo ready; sleep 1000'
wait_for 60 has "$T/o4" ready
k=$(pod_field d keeper_pid)
[ "${k:-0}" -gt 1 ] || bail "no pid"
kill -9 "$k"
wait $fg
is "$?,$(grep -c "shim is lost" "$T/o4")" 125,1 "a lost shim is said" || diag "$(cat "$T/o4")"
like "$(podshimctl doctor)" "*'d' runs (pid *-> 'podshimctl delete --force d' takes it away*" "doctor says what helps"
rm_run d
check "delete cleans up without a keeper" no_run_dirs

# the runtime's delete hangs, as often as there are tokens: longer than podshimctl has patience, then once
cat >"$T/hangs" <<EOF
#!/bin/sh
case " \$* " in *' delete '*)
	for token in "$T"/token.?; do
		rmdir "\$token" 2>/dev/null && exec sleep 60
	done ;;
esac
exec runc "\$@"
EOF
chmod 755 "$T/hangs"
fg_run "$T/o7" -r "$T/hangs" h sh -c 'echo ready; sleep 1000'
wait_for 60 has "$T/o7" ready
k=$(pod_field h keeper_pid)
[ "${k:-0}" -gt 1 ] || bail "no pid"
kill -9 "$k"
wait $fg
mkdir "$T/token.1" "$T/token.2" "$T/token.3" "$T/token.4"
like "$(rm_run h 2>&1; echo $?)" "*$T/hangs delete' of container 'h': *1" "a runtime that hangs in the middle of delete"
check "what can be tried again is kept" [ -d "$STATE_ROOT-run/$NS/h" ]
check "and again" rm_run h
check "until nothing is left" no_run_dirs
check "of it at the runtime, either" gone "/run/containerd/runc/$NS/h"
finish 60

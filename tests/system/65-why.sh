#!/bin/sh
# podshimctl why names what holds a pod up, each cause made for real; with the worker
# alive, stopped and in a crash loop, keeper stopped, containerd dead.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
events_start
ctl() { podshimctl -n "$NS" "$@"; }
# why CODE TARGET: the text of that finding
why() { timeout $((60 * SLOW)) podshimctl -n "$NS" why -o json "$2" | jq -r --arg c "$1" '.[] | select(.code == $c) | .text'; }
says() { why "$1" "$2" | grep -qE "$3"; }
# told CODE TARGET PATTERN DESCRIPTION
told() {
	if wait_for 10 says "$1" "$2" "$3"; then ok "$4"; else
		not_ok "$4"
		diag "$(timeout $((60 * SLOW)) podshimctl -n "$NS" why "$2" 2>&1)"
	fi
}
raw_run main sleep 1000 >/dev/null
well() { ctl why main | grep -q "Nothing holds it up"; }
check "a pod that is well" wait_for 20 well
ctl why -o json main >"$T/json"
check "as doc/schema says" as_schema why "$T/json"
told init-ignores-term main "pid [0-9]+ \(sleep\), has no handler for SIGTERM" "init that is deaf to SIGTERM"

# a grandchild keeps an exec's output
raw_fifos e
exec 6<>"$RAW/e.err" 7<>"$RAW/e.out"
call Exec main exec_id=e "stdout=$RAW/e.out" "stderr=$RAW/e.err" "spec=$(raw_spec sh -c 'sleep 999 & exit 3')"
call Start main exec_id=e >/dev/null
call Wait main exec_id=e >/dev/null
told stdio-held main "Exec e has ended, but its stdout is held open by pid [0-9]+ \(sleep" "who holds an exec's output"

# a runtime that hangs, and who waits for it
cat >"$T/slow-runtime" <<END
#!/bin/sh
case " \$* " in
*" create "*) while ! [ -e "$T/go" ]; do sleep 0.05; done ;;
esac
exec runc "\$@"
END
chmod +x "$T/slow-runtime"
raw_jq='.annotations["io.containerd.runc.v2.group"] = "main"'
raw_new b sleep 1000
raw_jq=.
raw_timeout=$((300 * SLOW)) raw_create b "options.binary_name=$T/slow-runtime" >"$T/create" &
creator=$!
told command-runs main "slow-runtime .*create" "a command of the OCI runtime that still runs"
told request-waits main "^Create of container 'b' waits for [0-9]+ s" "the request that waits for it"
told creating main/b "being created" "a container that is being created"
: >"$T/go"
wait $creator
told not-started main/b "waits for containerd to start it" "a container that nobody starts"
raw_rm b
raw_unbundle b

# a process that is in D: the parent of a vfork() that does not return
cp "$BIN/dstate" "$T/rootfs/bin/dstate"
call Exec main exec_id=d "spec=$(raw_spec dstate)"
call Start main exec_id=d >/dev/null
told process-in-D main "pid [0-9]+ \(dstate, .*uninterruptible sleep \(D\)" "a process in D"
call Kill main exec_id=d signal=9
ctl pause main
told frozen main "frozen|paused" "a frozen container"
ctl resume main

# output that nobody reads
raw_fifos f
exec 6<>"$RAW/f.err" 7<>"$RAW/f.out"
call Exec main exec_id=f "stdout=$RAW/f.out" "stderr=$RAW/f.err" "spec=$(raw_spec sh -c 'while :; do echo 0123456789; done')"
call Start main exec_id=f >/dev/null
told output-unread main "^Nobody reads the stdout of exec f " "output that nobody reads"
call Kill main exec_id=f signal=9 all=1
exec 6<&- 7<&-

status() { pod_field main "$1"; }
w=$(status worker_pid)
k=$(status keeper_pid)
[ "${w:-0}" -gt 1 ] && [ "${k:-0}" -gt 1 ] || bail "no pids"
kill -STOP "$w"
raw_timeout=$((300 * SLOW)) call State main >/dev/null 2>&1 &
asker=$!
told worker-stopped main "worker \(pid $w\) is stopped" "a worker that is stopped"
told request-waits main "^State of container 'main' waits" "a request that waits for it"
kill -CONT "$w"
wait $asker
kill -STOP "$k"
told keeper-silent main "keeper does not answer: it is pid $k .* stopped" "a keeper that is stopped"
kill -CONT "$k"

ctd_kill
raw_exec main late true >/dev/null
told events-pending main "containerd does not listen" "events that nobody takes"
in_loop() {
	n=$(status worker_pid)
	[ "${n:-0}" -gt 1 ] && kill -KILL "$n" 2>/dev/null
	says worker-crash-loop main "deaths in a row"
}
check "a worker in a crash loop" wait_for 20 in_loop
ctd_start
no_events() { [ "$(status events_pending)" = 0 ]; }
check "events go out in the end" wait_for 60 no_events
kill -KILL "$k"
told keeper-dead main "keeper is dead" "a dead keeper"
raw_delete main >/dev/null
raw_delete main >/dev/null # what it could not do in its 4.5 s
raw_unbundle main
finish 60

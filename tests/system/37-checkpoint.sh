#!/bin/sh
# Checkpoint and Create from a checkpoint. What fails is told with the end of
# criu's log; the rest needs a criu that works on this kernel (PODSHIM_TEST_CRIU:
# a directory with one, put in front of PATH).
[ -z "${PODSHIM_TEST_CRIU:-}" ] || PATH=$PODSHIM_TEST_CRIU:$PATH
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
# a child that lives: a SIGCHLD in the wrong moment makes criu 4.1 hang; and being dumped
# interrupts a sleep, which busybox takes for its end
lasting='while :; do sleep 100000; done'
raw_new a sh -c "$lasting"
mkdir "$RAW/a/work" # containerd makes it; its own shim needs it
raw_create a >/dev/null
call Checkpoint a path="$T/ck" >/dev/null
is $? 1 "Checkpoint of a created task is an error"
call Start a >/dev/null
if [ -n "$PODSHIM" ]; then
	like "$(call Checkpoint a path=relative)" "error=3 *" "a relative path: InvalidArgument"
	like "$(call Create b "bundle=$RAW/a" checkpoint="$T/nowhere")" "error=3 *" \
		"Create from a checkpoint that is not there: InvalidArgument"
fi
# not a directory: fails with any criu
: >"$T/file"
call Checkpoint a path="$T/file" >"$T/out"
is $? 1 "Checkpoint into a file fails ($(head -c 200 "$T/out"))"
is "$(raw_state a)" $RUNNING "and the task runs on"

mkdir "$T/empty"
raw_new e sleep 1000
is "$(raw_create e checkpoint="$T/empty" | value pid)" 0 "Create from a checkpoint runs nothing"
is "$(raw_state e)" $CREATED "CREATED"
[ -z "$PODSHIM" ] || is "$(call Pids e)" "" "without processes"
# with a criu that works runc 1.1 has been seen to hang here, to the deadline
like "$(raw_timeout=10 call Start e)" "error=[24] *" "Start of an empty checkpoint fails"
is "$(raw_state e)" $CREATED "still CREATED"
is "$(raw_timeout=150 call Delete e | value exit_status)" 0 "and can be deleted"
raw_end e
check "TaskDelete" wait_for 5 events_has e /tasks/delete
# containerd may be told one of them twice (at least once)
is "$(events_of e | uniq | tr '\n' ' ')" "/tasks/create /tasks/delete " "its events"

# 'criu check' is content where a dump then fails, hangs or kills: try one, of a process of ours
criu_works() {
	criu check >/dev/null 2>&1 || return 1
	setsid sh -c "$lasting" </dev/null >/dev/null 2>&1 &
	cw_pid=$!
	mkdir "$T/try"
	timeout -k 1 20 criu dump -t $cw_pid -D "$T/try" --leave-running >/dev/null 2>&1
	cw_rc=$?
	# what criu kills dies a moment later; what lives sleeps once more
	cw_sleep=$(pgrep -P $cw_pid)
	pkill -KILL -P $cw_pid
	wait_for 60 cw_settled && ! pid_gone $cw_pid || cw_rc=1
	pkill -KILL -s $cw_pid # its session
	return $cw_rc
}
cw_settled() {
	pid_gone $cw_pid || { cw_new=$(pgrep -P $cw_pid) && [ "$cw_new" != "$cw_sleep" ]; }
}
if ! criu_works; then
	if [ -n "$PODSHIM" ]; then
		out=$(call Checkpoint a path="$T/ck")
		case $out in
		*"deadline exceeded"*) ok "a criu that hangs is killed at its deadline" ;;
		*)
			like "$out" "*criu-dump.log): *Error*" "an error with the end of criu's log"
			check "the log is in the bundle" test -s "$RAW/a/criu-dump.log"
			;;
		esac
	fi
	skip "this criu does not work here"
	raw_end a
	finish
fi
is "$(call Checkpoint a path="$T/ck")" "" "Checkpoint"
check "its images are there" test -s "$T/ck/inventory.img"
is "$(raw_state a)" $RUNNING "the task runs on"
if [ -n "$PODSHIM" ]; then
	check "TaskCheckpointed" wait_for 5 events_has a /tasks/checkpointed
	is "$(event_body a /tasks/checkpointed | jq -r .checkpoint)" "$T/ck" "with the path"
	check "no work directory stays" sh -c "! ls -d /run/podshim/$NS/*/criu.* 2>/dev/null"
fi
is "$(call Checkpoint a path="$T/ck2" exit=1)" "" "Checkpoint with exit"
is "$(call Wait a | value exit_status)" 137 "ends the task"
check "TaskExit" wait_for 5 events_has a /tasks/exit
is "$(call Delete a | value exit_status)" 137 "which can be deleted"
raw_unbundle a
raw_new a sh -c "$lasting"
is "$(raw_create a checkpoint="$T/ck2" | value pid)" 0 "Create from it"
pid=$(call Start a | value pid)
check "Start restores (pid $pid)" test -d "/proc/$pid"
is "$(raw_state a)" $RUNNING "RUNNING"
is "$(call State a | value pid)" "$pid" "State names the pid"
is "$(cat "$RAW/a/init.pid")" "$pid" "init.pid is in the bundle"
like "$(call Stats a | value stats.type)" "io.containerd.cgroups.*" "it has Stats"
is "$(call Kill a signal=9)" "" "Kill"
is "$(call Wait a | value exit_status)" 137 "its exit is seen"
raw_end a
finish

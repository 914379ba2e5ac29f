#!/bin/sh
# Runtime commands that never end, are stopped, or print megabytes: they delay nobody else,
# are killed at their deadline with all their children, and their callers get
# DeadlineExceeded. What takes its time without end is 21.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim waits for ever"
quick_events
ctd_up
events_start
hierarchies="/sys/fs/cgroup/pids /sys/fs/cgroup/devices /sys/fs/cgroup/memory"
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || hierarchies=/sys/fs/cgroup
cat >"$T/hostile" <<END
#!/bin/sh
# runc, but for the command of a container that stands in its file: "COMMAND HOW"
for id; do :; done
read -r command how 2>/dev/null <"$T/what.\$id"
case " \$* " in
*" \${command:-nothing} "*)
	echo \$\$ >"$T/pid.\$id"
	case \$how in
	hang) sleep 1001 & sleep 1002; wait ;;
	stop) sleep 1003 & kill -STOP \$\$ ;;
	stray) # what criu is to runc: a child with a session of its own, in the container's cgroup
		setsid sleep 1003 9<&- &
		for h in $hierarchies; do
			mkdir -p "\$h/$NS/\$id" && echo \$! >"\$h/$NS/\$id/cgroup.procs"
		done
		sleep 1002 ;;
	flood) yes '{"level":"error","msg":"so much to say"}' | head -c 20000000 | tee -a "\$4" >&2; exit 1 ;;
	esac
	;;
esac
exec runc "\$@"
END
chmod 755 "$T/hostile"
hostile=options.binary_name=$T/hostile
what() { echo "$2" >"$T/what.$1"; }
begun() { [ -s "$T/pid.$1" ]; }
raw_run a sleep 1000 >/dev/null
keeper=$(shim_pids)
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
for c in create stop pause exec delete flood; do
	raw_new $c sleep 1000
done
raw_jq=.
for c in pause exec delete; do
	raw_create $c $hostile >/dev/null && call Start $c >/dev/null || not_ok "$c: begins well"
done
call Kill delete signal=9
call Wait delete >/dev/null
call Exec exec exec_id=x "spec=$(raw_spec sleep 1000)"
# the deadline, for a new worker to read
deadline() {
	quick_events
	printf '%s\n' "$@" >>"$PODSHIM_CONFIG"
	kill -KILL "$(worker_pids)"
	call State a >/dev/null
}
deadline '[runtime]' "timeout = $((15 * SLOW))" # before which all of it must be seen

what create 'create hang'
what stop 'create stop'
what pause 'pause hang'
what exec 'exec hang'
what delete 'delete hang'
raw_timeout=$((120 * SLOW))
raw_create create $hostile >"$T/create.out" &
p_create=$!
raw_create stop $hostile >"$T/stop.out" &
p_stop=$!
call Pause pause >"$T/pause.out" &
p_pause=$!
call Start exec exec_id=x >"$T/exec.out" &
p_exec=$!
call Delete delete >"$T/delete.out" &
p_delete=$!
for c in create stop pause exec delete; do
	wait_for 10 begun $c || not_ok "$c: it did not begin"
done
raw_timeout=$((12 * SLOW)) # less than the deadline: it was not waited for
is "$(call State a | value status)" "$RUNNING" "State of a neighbour is answered meanwhile"
is "$(call State exec | value status)" "$RUNNING" "and that of a task with a hung exec"
like "$(call State create)" "error=5 *" "and that of one in Create"
is "$(call Connect create | value task_pid)" 0 "Connect"
check "Pids" test "$(call Pids a | wc -l)" -ge 1
check "Stats" call Stats a
is "$(call Kill exec signal=9)" "" "Kill of a task with a hung exec"
raw_timeout=$((120 * SLOW))
is "$(call Wait exec | value exit_status)" 137 "and its end"
# shellcheck disable=SC2154 # set above, by name
for c in create stop pause exec delete; do
	eval "wait \$p_$c"
	like "$(cat "$T/$c.out")" "error=4 *did not end in time*" "$c: DeadlineExceeded"
done
all_gone() {
	for ag in $(pgrep -f '^sleep 100[123]$') $(cat "$T"/pid.*); do
		! grep -qz "$TEST_ID" "/proc/$ag/environ" 2>/dev/null || return 1
	done
}
check "they are killed, with their children" wait_for 60 all_gone
like "$(call State create)" "error=5 *" "create: nothing of it is there"
is "$(cgroups_of create)" "" "create: no cgroup"
is "$(raw_state pause)" "$RUNNING" "pause: it runs"
is "$(raw_state delete)" "$STOPPED" "delete: it is still there"
is "$(shim_pids)" "$keeper" "the same shim"

# a runtime that is killed leaves processes that no command of its own finds any more
pids_in() { for cg in $(cgroups_of "$1"); do cat "$cg/cgroup.procs"; done | sort -u; }
has_pids() { [ "$(pids_in "$1" | wc -l)" -ge "$2" ]; }
none_lives() {
	for pid; do pid_gone "$pid" || return 1; done
}
deadline '[runtime]' "timeout = $((15 * SLOW))"
group='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_jq="$group"' | .hooks = {createContainer: [{path: "/bin/sleep", args: ["sleep", "1004"]}]}'
raw_new init sleep 1000
raw_jq=$group
raw_new back sleep 1000
raw_jq=.
mkdir "$T/empty"
raw_create back $hostile checkpoint="$T/empty" >/dev/null || not_ok "back: begins well"
what back 'restore stray'
raw_create init >"$T/init.out" &
p_init=$!
call Start back >"$T/back.out" &
p_back=$!
check "init: runc init is in its hook" wait_for 10 has_pids init 2
pids=$(pids_in init)
check "back: somebody is in its cgroup" wait_for 10 has_pids back 1
pids="$pids $(pids_in back)"
for c in init back; do
	eval "wait \$p_$c"
	like "$(cat "$T/$c.out")" "error=4 *did not end in time*" "$c: DeadlineExceeded"
	is "$(cgroups_of $c)" "" "$c: no cgroup"
done
# shellcheck disable=SC2086
check "no process of theirs lives" wait_for 60 none_lives $pids
is "$(call Delete back | value exit_status)" 0 "back: it can be deleted"

# the same once more, with a runtime that has come to reason
deadline
for c in create stop pause exec delete; do what $c nothing; done
is "$(call Delete delete | value exit_status)" 137 "delete: the next one works"
is "$(call Pause pause)$(raw_state pause)" "$PAUSED" "pause: the next one works"
like "$(raw_create create $hostile)" "pid=*" "create: the same id works"

# twenty megabytes on stderr and in its log
hwm() { awk '/^VmHWM/ { s += $2 } END { print s }' "/proc/$keeper/status" "/proc/$(worker_pids)/status"; }
before=$(hwm)
what flood 'create flood'
out=$(raw_timeout=60 raw_create flood $hostile)
like "$out" "error=2 *so much to say*" "flood: the error has what it said"
check "flood: and is short, $(printf %s "$out" | wc -c) bytes" test "$(printf %s "$out" | wc -c)" -lt 8192
if [ -n "${PODSHIM_SANITIZED:-}" ]; then
	skip "memory: sanitizers keep what is freed"
else
	check "flood: nobody kept it ($before KiB before, $(hwm) now)" test "$(($(hwm) - before))" -lt 2048
fi
is "$(raw_state a)" "$RUNNING" "the neighbour runs on"
for c in create stop; do
	is "$(events_of $c | grep -vc create)" 0 "$c: a Create that timed out told nobody"
done
raw_end create stop pause exec delete flood init back a
finish 30

#!/bin/sh
# A runtime that hangs in create hangs nobody else.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim of containerd 1.6 holds one lock for the whole pod here"
ctd_up
cat >"$T/slow-runtime" <<END
#!/bin/sh
# runc, but create waits until the file is there
case " \$* " in
*" pause "*) [ -e "$T/slow-pause" ] || exec runc "\$@"
	runc "\$@"; echo \$\$ >"$T/paused.pid"; while ! [ -e "$T/go" ]; do sleep 0.05; done ;;
*" start "*) [ -e "$T/slow-start" ] || exec runc "\$@"
	runc "\$@"; echo \$\$ >"$T/started.pid"; while ! [ -e "$T/go" ]; do sleep 0.05; done; exit ;;
*" create "*) echo \$\$ >"$T/slow.pid"; while ! [ -e "$T/go" ]; do sleep 0.05; done ;;
esac
exec runc "\$@"
END
chmod +x "$T/slow-runtime"
raw_run a sleep 1000 >/dev/null
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_new b sleep 1000
raw_jq=.
raw_create b "options.binary_name=$T/slow-runtime" >"$T/create" &
creator=$!
check "the create is under way" wait_for 10 test -s "$T/slow.pid"
like "$(call State b)" "error=5 *" "State of the one in Create: NotFound, at once"
is "$(call Connect b | value task_pid)" 0 "Connect"
like "$(call Pids b)" "error=5 *" "Pids"
is "$(call State a | value status)" "$RUNNING" "State of its neighbour"
is "$(raw_exec a e true | value pid | grep -c .)" 1 "exec in its neighbour"
is "$(call Wait a exec_id=e | value exit_status)" 0 "which ends"
check "all that while the create is under way" kill -0 $creator
: >"$T/go"
wait $creator
like "$(cat "$T/create")" "pid=*" "the slow create succeeds in the end"
is "$(call Start b | value pid)" "$(value pid <"$T/create")" "and can be started"
raw_rm b
raw_unbundle b

# A caller whose deadline passes: what came to be is undone, the id can be used again.
rm -f "$T/go" "$T/slow.pid"
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_new c sleep 1000
raw_jq=.
out=$(raw_timeout=1 raw_create c "options.binary_name=$T/slow-runtime")
like "$out" "error=4 *" "the caller's deadline: DeadlineExceeded"
: >"$T/go"
no_c() { [ -z "$(cgroups_of "c")" ]; }
check "nothing of it comes to be" wait_for 10 no_c
like "$(call State c)" "error=5 *" "State: NotFound"
again() { raw_create c | grep -q ^pid=; }
check "the id can be used again" wait_for 10 again
raw_rm c
raw_unbundle c

# The same for a Pause that has frozen the container, and a worker that dies of something else.
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_new d sh -c 'while :; do echo .; sleep 0.05; done'
raw_jq=.
d_log=$T/d.log
raw_create d "options.binary_name=$T/slow-runtime" "stdout=file://$d_log" >/dev/null
call Start d >/dev/null
grows() {
	g_was=$(wc -c <"$d_log")
	wait_for 5 sh -c '[ "$(wc -c <"$1")" -gt "$2" ]' - "$d_log" "$g_was"
}
check "a container that shows that it runs" wait_for 10 test -s "$d_log"
rm -f "$T/go"
: >"$T/slow-pause"
out=$(raw_timeout=1 call Pause d)
like "$out" "error=4 *" "the deadline of a Pause: DeadlineExceeded"
check "which has frozen it" wait_for 10 test -s "$T/paused.pid"
kill -KILL "$(pod_field a worker_pid)"
is "$(call State d | value status)" "$RUNNING" "the next worker calls it running"
check "and it does run" wait_for 20 grows
: >"$T/go"
rm "$T/slow-pause"
check "it can be paused" call Pause d
is "$(raw_state d)" "$PAUSED" "and is paused then"
check "and resumed" call Resume d
check "it runs" wait_for 20 grows
raw_end d

# The same for a Start that has let it run; and with a worker that dies meanwhile.
for how in told dies; do
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
	raw_new $how sleep 1000
	raw_jq=.
	raw_create $how "options.binary_name=$T/slow-runtime" >/dev/null
	rm -f "$T/go" "$T/started.pid"
	: >"$T/slow-start"
	out=$(raw_timeout=2 call Start $how)
	like "$out" "error=4 *" "the deadline of a Start, $how: DeadlineExceeded"
	check "which has let it run" wait_for 10 test -s "$T/started.pid"
	[ $how = told ] || kill -KILL "$(pod_field a worker_pid)"
	: >"$T/go"
	rm "$T/slow-start"
	is "$(call Wait $how | value exit_status)" 137 "it is killed"
	check "and can be deleted" call Delete $how
	raw_unbundle $how
done
raw_end a
finish

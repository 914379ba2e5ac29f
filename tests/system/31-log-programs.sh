#!/bin/sh
# Log programs: nothing runs before they are ready; what they may not do; how they end.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim waits without end, and for no exec"
quick_events
ctd_up
cat >"$T/logger" <<'END'
#!/bin/sh
# argv: dir DIR how HOW
# What it writes to is never emptied: one whose worker died may get to its cat after its successor.
dir=$2
echo begun >"$dir/begun"
case $4 in
wait) until [ -e "$dir/go" ]; do sleep 0.02; done; echo >&5 ;;
mute) exec 5>&-; sleep 1000 & wait ;;
dies) exit 3 ;;
stays) trap 'echo term >"$dir/term"; exit 0' TERM; exec 5>&-; cat <&3 >>"$dir/out"; while :; do sleep 0.05; done ;;
esac
exec 5>&-
cat <&3 >>"$dir/out"
END
chmod 755 "$T/logger"
uri() { mkdir -p "$T/$2" && echo "$1://$T/logger?dir=$T/$2&how=$3"; }
raw_run a sleep 1000 >/dev/null
group='.annotations["io.containerd.runc.v2.group"] = "a"'
new() { raw_jq=$group && raw_new "$@" && raw_jq=.; }

# ready or not
new w sh -c 'echo said; exit 4'
raw_create w "stdout=$(uri binary-v2 w wait)" >"$T/create" &
c=$!
check "the program begins" wait_for 10 test -e "$T/w/begun"
like "$(call State w)" "error=5 *" "Create waits for it"
is "$(cgroups_of w)" "" "nothing runs before it is ready"
is "$(call State a | value status)" "$RUNNING" "its neighbour does not wait"
: >"$T/w/go"
wait $c
like "$(cat "$T/create")" "pid=*" "then Create is done"
call Start w >/dev/null
is "$(call Wait w | value exit_status)" 4 "it runs"
call Delete w >/dev/null
is "$(cat "$T/w/out")" said "its output is there after Delete"
raw_end w
new m true
like "$(raw_create m "stdout=$(uri binary-v2 m mute)")" "error=2 *log program: it ended without a ready byte*" "binary-v2: the byte is needed"
is "$(cgroups_of m)" "" "nothing of it is there"
raw_end m
new d true
like "$(raw_create d "stdout=$(uri binary-v2 d dies)")" "error=2 *log program*" "one that dies at once"
raw_end d

# one that cannot be executed, though it may
printf '#!/nowhere/sh\n' >"$T/no-interpreter"
chmod 755 "$T/no-interpreter"
for scheme in binary binary-v2; do
	new x true
	like "$(raw_create x "stdout=$scheme://$T/no-interpreter")" \
		"error=2 *log program: exec '$T/no-interpreter': No such file or directory*" "$scheme: one without its interpreter"
	is "$(cgroups_of x)" "" "nothing of it is there"
	raw_end x
done

# an exec's, and the worker dies while it waits
call Exec a exec_id=e "stdout=$(uri binary e wait)" "spec=$(raw_spec sh -c 'echo from exec; exit 6')"
call Start a exec_id=e >"$T/start" &
c=$!
check "exec: the program begins" wait_for 10 test -e "$T/e/begun"
kill -KILL "$(worker_pids)"
: >"$T/e/go"
wait $c
like "$(cat "$T/start")" "pid=*" "exec: Start is answered, though a worker died"
is "$(call Wait a exec_id=e | value exit_status)" 6 "exec: it runs"
call Delete a exec_id=e >/dev/null
is "$(cat "$T/e/out")" "from exec" "exec: its output"
# a terminal's, and one that needs SIGTERM
call Exec a exec_id=t terminal=1 "stdout=$(uri binary t stays)" "spec=$(raw_spec sh -c 'tty; exit 0')"
like "$(call Start a exec_id=t)" "pid=*" "terminal: Start"
call Wait a exec_id=t >/dev/null
call Delete a exec_id=t >/dev/null
# Delete waits for half a second for one that has read all and does not end: it may not have written yet
check "terminal: its output" wait_for 60 grep -qs '^/dev/' "$T/t/out"
check "a program that does not end by itself gets SIGTERM" wait_for 5 test -e "$T/t/term"

# a full disk takes no more, the container does not notice, and it is said
mkdir "$T/small"
small_cleanup() {
	sc_rc=$?
	umount -l "$T/small" 2>/dev/null
	(exit $sc_rc)
	ctd_cleanup
}
if mount -t tmpfs -o size=64k podshim-test "$T/small"; then
	trap small_cleanup EXIT
	new f sh -c 'head -c 1000000 /dev/zero; exit 7'
	raw_create f "stdout=file://$T/small/dir/log" >/dev/null && call Start f >/dev/null
	is "$(call Wait f | value exit_status)" 7 "file: on a full disk: the container runs to its end"
	call Delete f >/dev/null
	check "the file has what there was room for" test -s "$T/small/dir/log"
	is "$(stat -c %a "$T/small/dir/log")" 600 "and is root's alone"
	check "the loss is said" wait_for 5 grep -q "No space left on device, output is dropped" "$T/shim.log"
	check "and counted" wait_for 5 grep -q "[0-9] bytes were lost" "$T/shim.log"
	raw_end f
	check "nobody uses it any more" wait_for 60 umount "$T/small"
else
	skip "no tmpfs"
fi
raw_end a
finish 30

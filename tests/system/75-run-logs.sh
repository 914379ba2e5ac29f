#!/bin/sh
# podshimctl logs: tails, rotated files, following; and readers that are slow.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
. "$LIBDIR/run.sh"
# follow FILE ID ARGS: in the background
follow() {
	fo_out=$1
	shift
	rm -f "$fo_out" "$fo_out.err"
	PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" logs "$@" >"$fo_out" 2>"$fo_out.err" </dev/null &
	fo=$!
}
count='i=0; while [ $i -lt 3000 ]; do echo "line $i and some more to it"; i=$((i+1)); done'

pr -d --log-opt max-size=16k --log-opt max-files=100 a \
	sh -c "echo begin; echo oops >&2; until [ -e /tmp/go ]; do sleep 0.05; done; $count; printf end" >/dev/null
follow "$T/f" -f a
check "-f shows what is there" wait_for 60 has "$T/f" begin
: >"$T/rootfs/tmp/go"
wait $fo
is $? 0 "and ends with the container"
is "$(grep -c '^line' "$T/f"),$(grep '^line' "$T/f" | awk '$2 != NR - 1' | head -n 1),$(tail -n 1 "$T/f")" "3000,,end" \
	"every line over all the rotated files, and the last one without an end"
is "$(cat "$T/f.err")" oops "stderr is on stderr"
check "there were many files" test -e "/var/log/podshim/$NS/a.log.5"
podshimctl logs a >"$T/all" 2>/dev/null
check "without -f it is the same" cmp "$T/f" "$T/all"
is "$(podshimctl logs --tail 2 a | tr '\n' '|')" "line 2999 and some more to it|end" "--tail"
is "$(podshimctl logs --tail 0 a)" "" "--tail 0"
like "$(podshimctl logs --timestamps --tail 3 a | head -n 1)" "20??-??-??T??:??:??.?????????Z line *" "--timestamps"
is "$(podshimctl logs --tail many a 2>&1 >/dev/null | wc -l)" 2 "a tail that is no number"

# in the foreground a slow reader slows the container, and misses nothing
mkfifo "$T/slow"
PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" run --rootfs "$T/rootfs" b \
	sh -c 'i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero; i=$((i+1)); done; echo; echo done >&2' \
	>"$T/slow" 2>"$T/slow.err" </dev/null &
b=$!
exec 8<"$T/slow"
wait_for 60 task_has b status running
# somebody who watches and does not read delays nobody, nor does one that leaves
PODSHIM_TEST_ID=$TEST_ID env podshimctl -n "$NS" attach b >"$T/w" 2>&1 </dev/null &
w=$!
is "$(wc -c <&8)" 4000001 "4 MB by a slow reader"
exec 8<&-
wait $b
is "$?,$(cat "$T/slow.err")" "0,done" "and its end"
wait $w

# who stops to read ends an attach, also when nothing more comes; not the container
pr -d q sh -c 'until [ -e /tmp/go0 ]; do echo tick; sleep 0.05; done; echo end; exec sleep 1000' >/dev/null
{
	timeout -s KILL $((60 * SLOW)) podshimctl -n "$NS" attach q 2>"$T/q.err" </dev/null
	echo $? >"$T/q.rc"
} | while read -r line; do
	: >"$T/rootfs/tmp/go0"
	[ "$line" != end ] || break
done
is "$(cat "$T/q.rc" "$T/q.err"; task_of q status)" "0
detached
running" "attach ends with its reader"

# not ours
is "$(podshimctl run -d --rootfs "$T/rootfs" --log none c true; podshimctl logs c 2>&1 | grep -c 'has no log file')" "c
1" "--log none"
is "$(pr -d --log "$T/own.log" --log-opt format=plain d echo mine; wait_for 60 has "$T/own.log" mine; podshimctl logs d)" "d
mine" "--log FILE, plain"
# what is told of it is where it is
log_of() { podshimctl -o json run -d --rootfs "$T/rootfs" "$@" true | jq -r .log; }
is "$(log_of --log-opt path="$T/{id}.log" f)" "$T/f.log" "run -d says which path counts"
is "$(log_of --log-opt format=none g)" null "or that there is none"
rm_run f g
# a line without an end: no more of it than a piece is in memory
if [ -n "${PODSHIM_SANITIZED:-}" ]; then
	skip "sanitizers have a footprint of their own"
else
	truncate -s 1G "$T/own.log"
	# shellcheck disable=SC3045 # dash has it
	is "$(ulimit -v 200000; podshimctl logs --tail 1 d | wc -c)" 1073741819 "a line of 1 GiB, behind what was there"
	echo mine >"$T/own.log"
fi

# a log that nobody tells the end of: what comes soon after the container's end is shown
# a neighbour that goes on writing is none of ours
while [ -e "$T" ]; do echo x >>"$T/neighbour.log"; sleep 0.1; done 2>/dev/null &
neighbour=$!
late_lines() {
	rm -f "$T/late.log" "$T/rootfs/tmp/go2" "$T/over"
	pr -d --log "$T/late.log" --log-opt format=plain e \
		sh -c 'echo begin; until [ -e /tmp/go2 ]; do sleep 0.05; done' >/dev/null
	rm "$STATE_ROOT-run/$NS/e/attach"
	follow "$T/late" -f e
	wait_for 60 has "$T/late" begin
	{
		: >"$T/rootfs/tmp/go2"
		wait_for 60 task_has e status stopped
		: >"$T/over"
	} &
	ll_ender=$!
	ll_n=0 ll_behind=0
	while [ $ll_behind -lt 40 ]; do
		ll_n=$((ll_n + 1))
		! [ -e "$T/over" ] || ll_behind=$((ll_behind + 1))
		echo "late $ll_n" >>"$T/late.log"
		sleep 0.05
	done
	wait $ll_ender
	wait_for 60 pid_gone $fo || return 1
	wait $fo
	ll_got="$?,$(grep -c late "$T/late")"
	[ "$ll_got" = "0,$ll_n" ]
}
# a pause of this loop for longer than -f waits ends it early: what is wrong fails each time
tries() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		"$@" && return 0
		pid_gone $fo || return 1
		echo "try $try: $ll_got of $ll_n"
		rm_run e
	done
	return 1
}
check "-f shows what soon follows the end, up to the last line" tries late_lines
check "and ends all the same" pid_gone $fo
kill $neighbour
wait $neighbour 2>/dev/null
rm_run a b c d e q
is "$(cat "$T/own.log")" mine "a log that was named stays"
check "all else is gone" no_run_dirs
finish 60

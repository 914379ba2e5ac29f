#!/bin/sh
# podshim-logger as the log program of a real containerd: with podshim, and with
# containerd's own shim.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
logger=$PODSHIM_PREFIX/bin/podshim-logger
# start_l ID URI ARGS...: detached; end_l ID: until its end, and Delete; run_l: both
start_l() {
	rl_id=$1 rl_uri=$2
	shift 2
	note_id "$rl_id"
	ctr run -d --runtime "$RUNTIME" --log-uri "$rl_uri" "$IMAGE" "$rl_id" "$@" </dev/null
}
end_l() {
	wait_for 20 task_is "$1" STOPPED || return 1
	rm_c "$1"
}
run_l() { start_l "$@" && end_l "$1"; }
no_loggers() { [ -z "$(pids_of podshim-logger)" ]; }
# the long line is one write(): a pause of a second within it would make another piece
script='echo one; echo two >&2; printf "%s" long; until [ -e /go ]; do sleep 0.05; done; echo " line"
	x=$(head -c 40000 /dev/zero | tr "\0" x); echo "$x"; printf "no end"'
lines='i=0; while [ $i -lt 3000 ]; do echo "line $i and a bit more"; i=$((i+1)); done'

for RUNTIME in io.containerd.podshim.v1 io.containerd.runc.v2; do
	l=$T/log/$RUNTIME
	log=$l/$NS/c.log
	check "$RUNTIME: a container with it" start_l c "binary://$logger?path=$l/{namespace}/{id}.log" sh -c "$script"
	check "the beginning of a line does not wait for ever" wait_for 20 grep -qs 'stdout P long$' "$log"
	: >"$(bundle c)/rootfs/go"
	check "the container ends" end_l c
	is "$(sed -n 's/^....-..-..T..:..:..\.[0-9]*Z //p' "$log" | grep -c -e '^stdout [FP] ' -e '^stderr [FP] ')" \
		"$(wc -l <"$log")" "every line is as Kubernetes wants it" || diag "$(cat "$log")"
	is "$(sed 's/^[^ ]* //' "$log" | grep -v xx | sort | tr '\n' '|')" \
		"stderr F two|stdout F  line|stdout F one|stdout P long|stdout P no end|" "lines, pieces, streams"
	is "$(grep xx "$log" | cut -d' ' -f3 | tr -d '\n'),$(grep xx "$log" | sed 's/^.* //' | tr -d '\n' | wc -c)" \
		PPF,40000 "a line of 40,000 bytes in pieces"
	is "$(stat -c %a "$log")" 640 "its mode"
	# plenty, rotated
	check "$RUNTIME: much output" run_l d \
		"binary://$logger?path=$l/d.log&max-size=16k&max-files=100" sh -c "$lines"
	(cd "$l" && for i in $(seq 99 -1 1); do [ ! -e d.log.$i ] || cat d.log.$i; done && cat d.log) |
		sed 's/^[^ ]* stdout F //' >"$T/d"
	is "$(wc -l <"$T/d"),$(awk '$2 != NR - 1' "$T/d" | head -n 1)" "3000," "every line is there once, in order"
	check "in many files" test -e "$l/d.log.9"
	is "$(find "$l" -name 'd.log*' -size +16384c)" "" "none is larger than it should be"
	check "no log program is left" wait_for 5 no_loggers
done
RUNTIME=io.containerd.podshim.v1
check "plain lines" run_l f "binary://$logger?path=$T/log/f.log&format=plain" echo just this
is "$(cat "$T/log/f.log")" "just this" "are just them"

# what is wrong is said where somebody may see it
like "$("$logger" path x 3</dev/null 4</dev/null 5>/dev/null 2>&1)" "*path 'x' is not absolute" "a bad path"
like "$("$logger" colour red 3</dev/null 4</dev/null 5>/dev/null 2>&1)" "*unknown key 'colour'" "an unknown key"
like "$("$logger" path /x 2>&1 3<&-)" "*a shim has to start*" "by hand"
like "$("$logger" --help)" "*--log-uri*" "--help says how"

# rotated by others; SIGHUP is not needed
mkfifo "$T/out"
exec 8<>"$T/out"
"$logger" path "$T/log/h" format plain 3<"$T/out" 4</dev/null 5>/dev/null 8<&- &
pid=$!
not_ours="$not_ours $pid"
has() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
echo one >&8
check "a line" wait_for 5 has "$T/log/h" one
mv "$T/log/h" "$T/log/h.old"
echo two >&8
check "after somebody moved the file: a new one" wait_for 5 has "$T/log/h" two
is "$(cat "$T/log/h.old")" one "the old one stays"
# SIGTERM while the writer lives on
echo three >&8
kill -TERM $pid
check "SIGTERM ends it" wait_for 10 pid_gone $pid
is "$(tail -n 1 "$T/log/h")" three "after what was in the pipe"
wait $pid
is $? 0 "with status 0"
exec 8<&-

# fed by hand, on descriptor 8
fed_begin() {
	rm -f "$T/log/fed" "$T/ready"
	exec 8<>"$T/out"
	"$logger" path "$T/log/fed" 3<"$T/out" 4</dev/null 5>"$T/ready" 8<&- &
	pid=$!
	not_ours="$not_ours $pid"
	wait_for 5 test -s "$T/ready"
}
fed_end() {
	exec 8<&-
	wait $pid
}
# Where a pause of the machine looks like what is wrong: what is wrong fails each time.
tries() {
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return 0
		cat "$T/log/fed"
	done
	return 1
}
# SIGTERM shortly before the beginning of a line has waited long enough. That it is
# written then is not the pause that ends the program.
late_bytes() {
	fed_begin
	printf begin >&8
	sleep 0.95
	kill -TERM $pid
	sleep 0.1 # no look whether it is written: that takes too long on a busy machine
	echo " and end" >&8
	fed_end
	grep -q ' F  and end$' "$T/log/fed"
}
check "SIGTERM: bytes that come within the pause are taken" tries late_bytes
# Output that is read in mid-line each time, for more than the second that a beginning waits.
pieces() {
	fed_begin
	pieces_end=$(($(date +%s%N) + 1500000000))
	printf begin >&8
	while [ "$(date +%s%N)" -lt $pieces_end ]; do
		printf ' and end\nbegin' >&8
		sleep 0.02
	done
	echo " and end" >&8
	fed_end
	grep -q ' F begin and end$' "$T/log/fed" && ! grep -q ' P ' "$T/log/fed"
}
check "lines that come in pieces are whole, however long it goes on" tries pieces

# a full disk: the container is not held up
if mkdir "$T/small" && mount -t tmpfs -o size=64k none "$T/small" 2>/dev/null; then
	run_l g "binary://$logger?path=$T/small/g.log" \
		sh -c "$lines"
	is $? 0 "a container ends though the disk of its log is full"
	is "$(tail -c 1 "$T/small/g.log" | od -An -c | tr -d ' ')" '\n' "the log ends with a whole line"
	wait_for 10 no_loggers
	umount "$T/small"
else
	skip "no tmpfs here"
	skip "no tmpfs here"
fi
finish 20

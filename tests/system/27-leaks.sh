#!/bin/sh
# The same work again and again: descriptors and memory return to where they were.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
quick_events
ctd_up
raw_run a sleep 1000 >/dev/null
shim=$(shim_pids)
fds() {
	for p in $shim $(worker_pids); do
		find "/proc/$p/fd" -mindepth 1 2>/dev/null
	done | wc -l
}
rss() {
	for p in $shim $(worker_pids); do
		cat "/proc/$p/smaps_rollup" # exact; VmRSS of some kernels is off by 100 KiB and more
	done | awk '/^Rss:/ { s += $2 } END { print s }'
}
work() {
	# an exec with FIFOs
	raw_fifos "f$1"
	exec 6<>"$RAW/f$1.err" 7<>"$RAW/f$1.out"
	call Exec a "exec_id=f$1" "spec=$(raw_spec echo hi)" "stdin=$RAW/f$1.in" "stdout=$RAW/f$1.out" "stderr=$RAW/f$1.err"
	call Start a "exec_id=f$1" >/dev/null
	call Wait a "exec_id=f$1" >/dev/null
	call Delete a "exec_id=f$1" >/dev/null
	# one with a terminal
	call Exec a "exec_id=t$1" "spec=$(raw_spec echo hi)" terminal=1 "stdin=$RAW/f$1.in" "stdout=$RAW/f$1.out"
	call Start a "exec_id=t$1" >/dev/null
	call Wait a "exec_id=t$1" >/dev/null
	call Delete a "exec_id=t$1" >/dev/null
	# failing ones
	for tty in 0 1; do
		call Exec a "exec_id=b$1" "spec=$(raw_spec /no/such)" terminal=$tty "stdin=$RAW/f$1.in" \
			"stdout=$RAW/f$1.out" "stderr=$RAW/f$1.err"
		call Start a "exec_id=b$1" >/dev/null
		call Delete a "exec_id=b$1" >/dev/null
	done
	# containers: one that works, one that fails
	for cmd in true /no/such; do
		raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
		raw_new "c$1" $cmd
		raw_jq=.
		raw_create "c$1" "stdin=$RAW/f$1.in" "stdout=$RAW/f$1.out" "stderr=$RAW/f$1.err" >/dev/null &&
			call Start "c$1" >/dev/null
		raw_end "c$1"
	done
	exec 6<&- 7<&-
	rm -f "$RAW/f$1".*
}
work 0
work 1
quiet() { wait_for 60 none_pending a; } # events that wait take memory, their publishing a child
settled() { fd_now=$(fds); [ "$fd_now" -le "$1" ]; }
n0=$(fds)
for i in 2 3; do
	work $i
	m=$(fds)
	[ "$m" -lt "$n0" ] && n0=$m
done
[ -z "$PODSHIM" ] || quiet || not_ok "events do not leave"
r0=$(rss)
i=10
while [ $i -lt 25 ]; do
	work $i
	i=$((i + 1))
done
[ -z "$PODSHIM" ] || quiet || not_ok "events do not leave"
check "descriptors are as many as before ($n0)" wait_for 5 settled "$n0"
diag "descriptors $n0 -> $fd_now, resident KiB $r0 -> $(rss)"
if [ -n "${PODSHIM_SANITIZED:-}" ]; then
	skip "memory: sanitizers keep what is freed"
elif [ -n "$PODSHIM" ]; then
	check "memory did not grow by 400 KiB" test "$(($(rss) - r0))" -lt 400
fi
is "$(ls "$RAW/a" | sort | tr '\n' ' ' | sed 's/options.json //; s/runtime //; s/log.json //')" \
	"address config.json init.pid log " "nothing was left in the bundle"
children_are() { [ "$(ps -o pid= --ppid "$shim" | wc -l)" = "$1" ]; }
check "the shim's children: init (and podshim's worker)" wait_for 60 children_are "$([ -n "$PODSHIM" ] && echo 2 || echo 1)"
raw_end a
finish

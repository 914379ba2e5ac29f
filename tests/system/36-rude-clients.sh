#!/bin/sh
# Clients that leave in the middle of a request, or ask without ever reading.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "what the Go shim does here is not promised"
ctd_up
raw_run a sleep 1000 >/dev/null
shim=$(shim_pids)
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
r0=$(rss "$shim")
for i in 1 2 3; do
	"$BIN/flood" "$raw_addr" a >"$T/flood.out" 2>&1
done
while read -r line; do
	case $line in
	ok\ *) ok "${line#ok * - }" ;;
	"not ok "*) not_ok "${line#not ok * - }" ;;
	*) echo "$line" ;;
	esac
done <"$T/flood.out"
is "$(grep -c '^ok' "$T/flood.out")" 3 "the driver ran to its end"
shrunk() { [ "$(rss "$shim")" -lt $((r0 + 2048)) ]; }
if [ -n "${PODSHIM_SANITIZED:-}" ]; then
	skip "memory: sanitizers keep what is freed"
else
	check "three of them do not add up in the keeper's memory (it was $r0 KiB)" wait_for 5 shrunk
fi
diag "$(rss "$shim") KiB"

# gone in the middle of Create, Exec + Start, Delete: all or nothing
half=
i=0
while [ $i -lt 20 ]; do
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
	raw_new "c$i" sleep 1000
	raw_jq=.
	# shellcheck disable=SC2016
	timeout -s KILL "0.0$((i + 2))" "$BIN/rpc" "$raw_addr" Create "id=c$i" "bundle=$RAW/c$i" >/dev/null 2>&1
	# an operation that has begun runs to its end, and Start waits for that
	out=$(call Start "c$i")
	case $out in
	pid=*) timeout -s KILL "0.0$((i + 1))" "$BIN/rpc" "$raw_addr" Kill "id=c$i" signal=9 >/dev/null 2>&1 ;;
	"error=5 "*) ;;
	*) half="$half start:$i:$out" ;;
	esac
	raw_end "c$i"
	[ -z "$(cgroups_of "c$i")" ] || half="$half cgroup:$i"
	i=$((i + 1))
done
is "$half" "" "20 Creates whose caller went away: all or nothing"
is "$(shim_pids)" "$shim" "the same shim"
is "$(raw_state a)" "$RUNNING" "and its task"
raw_end a
finish

#!/bin/sh
# Much output, compared byte for byte. Each process stays until all of it was seen, for
# ctr 1.6 stops reading when a container ends (doc/OUTPUT.md). Output of processes that end
# at once is checked by 38-last-bytes and tests/crash, which read the FIFOs themselves.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
size=67108864
prog="yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c $size"
sum=$(sh -c "$prog" | sha256sum)
stay='until [ -e /seen ]; do sleep 0.02; done'
all_seen() { [ "$(stat -c %s "$1")" = $size ]; }
# seen FILE ID WHAT: wait for all of it, let the process go, compare
seen() {
	check "$3: all of it arrives" wait_for 120 all_seen "$1"
	: >"$(bundle "$2")/rootfs/seen"
	wait $!
	is "$(sha256sum <"$1")" "$sum" "$3"
	rm -f "$1" "$(bundle "$2")/rootfs/seen"
}
run out sh -c "$prog; $stay" >"$T/out" &
seen "$T/out" out "64 MiB of standard output"
run err sh -c "$prog >&2; $stay" 2>"$T/err" >/dev/null &
seen "$T/err" err "64 MiB of standard error"
run_d main sleep 1000
x main e sh -c "$prog; $stay" </dev/null >"$T/exec" &
seen "$T/exec" main "64 MiB of an exec"
finish

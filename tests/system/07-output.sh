#!/bin/sh
# Much output, compared byte for byte.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
# shellcheck disable=SC2016
prog='yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 67108864'
sum=$(sh -c "$prog" | sha256sum)
is "$(run out sh -c "$prog" | sha256sum)" "$sum" "64 MiB of standard output"
run err sh -c "$prog >&2" 2>"$T/err" >/dev/null
is "$(sha256sum <"$T/err")" "$sum" "64 MiB of standard error"
rm -f "$T/err"
run_d main sleep 1000
is "$(x main e sh -c "$prog" </dev/null | sha256sum)" "$sum" "64 MiB of an exec"
# the last bytes of a process that ends at once, many times
bad=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ "$(x main "e$i" sh -c 'head -c 100000 /dev/zero; echo end' </dev/null | tail -c 4)" = end ] || bad=$((bad + 1))
done
is $bad 0 "the last words of 20 execs"
# a slow reader holds back its own container only
x main slow sh -c "$prog" </dev/null >"$T/pipe.sum" 2>&1 &
wait $!
is "$(sha256sum <"$T/pipe.sum")" "$sum" "into a file"
finish

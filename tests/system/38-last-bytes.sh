#!/bin/sh
# Processes that end at once after much output, read by a reader of our own that stays
# to the end of file: all of it arrives, though Delete is asked for at once.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
for i in 1 2 3 4 5 6; do
	raw_fifos "o$i"
	wc -c <"$RAW/o$i.out" >"$T/n" &
	reader=$!
	raw_new "o$i" sh -c 'yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 67108864' >/dev/null
	raw_create "o$i" "stdout=$RAW/o$i.out" >/dev/null && call Start "o$i" >/dev/null || kill $reader
	call Wait "o$i" >/dev/null
	call Delete "o$i" >/dev/null
	wait $reader
	is "$(cat "$T/n")" 67108864 "round $i: all of 64 MiB"
	raw_end "o$i" >/dev/null 2>&1
done
finish

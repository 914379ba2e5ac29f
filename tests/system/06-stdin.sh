#!/bin/sh
# Standard input: bytes arrive, the end arrives, for run and exec.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up

note_id cat
# ctr forgets an end of input that it sees before the task exists: hold it until then; and
# it may forget the last words of a process that ends (containerd.sh): those stay
running() { "$BIN/rpc" "unix://$(sock_path "$1")" State "id=$1" ${2:+"exec_id=$2"} 2>/dev/null | grep -qx status=2; }
{ echo hello; wait_for 60 wrote "$T/cat"; } |
	ctr run --rm --runtime "$RUNTIME" --fifo-dir "$T/fifo" "$IMAGE" cat cat >"$T/cat"
is "$(cat "$T/cat")" hello "run: input, end of file, output"
head -c 8388608 /dev/urandom >"$T/data"
sum=$(sha256sum <"$T/data")
note_id big
ctr run --rm --runtime "$RUNTIME" --fifo-dir "$T/fifo" "$IMAGE" big \
	sh -c "$(staying big sha256sum)" <"$T/data" >"$T/big" &
wait_for 120 ended_or_wrote $! "$T/big"
let_go big big
wait $!
is "$(cat "$T/big")" "$sum" "run: 8 MiB in"
run_d main sleep 1000
x main e sh -c "$(staying in sha256sum)" <"$T/data" >"$T/in.sum" &
wait_for 120 ended_or_wrote $! "$T/in.sum"
let_go main in
wait $!
is "$(cat "$T/in.sum")" "$sum" "exec: 8 MiB in"
x main e cat <"$T/data" >"$T/back" # it reads to the end of what it has opened
is "$(sha256sum <"$T/back")" "$sum" "exec: 8 MiB in and out again"
is "$(wait_for 10 running main e | x main e cat | wc -c)" 0 "exec: the end of an empty input arrives"

# By hand: a client that goes away is not the end; CloseIO is.
# put WORD: opens, which waits for a reader, writes, closes
put() { timeout $((60 * SLOW)) sh -c 'echo "$1" >"$2"' - "$1" "$T/in"; }
mkfifo "$T/in" "$T/out" "$T/err.fifo"
exec 7<>"$T/out" 6<>"$T/err.fifo"
raw_new in cat
raw_create in "stdin=$T/in" "stdout=$T/out" "stderr=$T/err.fifo" >/dev/null
call Start in >/dev/null
put one
line=$(line_from <&7)
is "$line" one "a line arrives"
put two
line=$(line_from <&7)
is "$line" two "another one, by another writer"
is "$(raw_state in)" "$RUNNING" "no end of file between them"
is "$(call CloseIO in stdin=1)" "" "CloseIO"
check "now the end of file arrives" wait_for 5 raw_state_is in $STOPPED
is "$(call Wait in | value exit_status)" 0 "and cat ends well"

# CloseIO while the client still holds its end: EOF only after that.
raw_spec_file=$(raw_spec cat)
raw_new in2 sleep 1000
raw_create in2 >/dev/null
call Start in2 >/dev/null
call Exec in2 exec_id=e "spec=$raw_spec_file" "stdin=$T/in" "stdout=$T/out" "stderr=$T/err.fifo"
call Start in2 exec_id=e >/dev/null
exec 8<>"$T/in"
call CloseIO in2 exec_id=e stdin=1
echo three >&8
line=$(line_from <&7)
is "$line" three "what the client writes after CloseIO still arrives"
is "$(raw_state in2 exec_id=e)" "$RUNNING" "the client's own end keeps it open"
exec 8>&-
check "its closing is the end" wait_for 5 raw_exec_state_is in2 e $STOPPED
is "$(call CloseIO in2 exec_id=e stdin=1)" "" "CloseIO of a stopped exec is fine"
exec 7<&- 6<&-
raw_end in
raw_end in2
finish

#!/bin/sh
# Output to a file, to a log program, or nowhere.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
log=$T/logs/deep/c.log
note_id f
ctr run -d --runtime "$RUNTIME" --log-uri "file://$log" "$IMAGE" f sh -c 'echo out; echo err >&2; echo end' </dev/null
check "the task ends" wait_for 5 task_is f STOPPED
rm_c f
is "$(sort "$log" | tr '\n' ' ')" "end err out " "file://: both streams in one file"
is "$(stat -c %a "$log")" "$([ -n "$PODSHIM" ] && echo 600 || echo 644)" "its mode"
note_id g
ctr run -d --runtime "$RUNTIME" --log-uri "file://$log" "$IMAGE" g sh -c 'echo more' </dev/null
wait_for 5 task_is g STOPPED
rm_c g
is "$(wc -l <"$log")" 4 "file:// appends"

if [ -n "$PODSHIM" ]; then
	# where others can write, what stands in its place need not be a file
	echo mine >"$T/target"
	ln -s "$T/target" "$T/logs/link"
	raw_new s sh -c 'echo out'
	like "$(raw_create s "stdout=file://$T/logs/link" "stderr=file://$T/logs/link")" \
		"error=*$T/logs/link*symbolic link*" "file:// of a symbolic link fails Create"
	raw_end s
	is "$(cat "$T/target")" mine "where it leads nothing is written"
	mkfifo "$T/logs/fifo"
	raw_new s2 true
	like "$(raw_create s2 "stdout=file://$T/logs/fifo" "stderr=file://$T/logs/fifo")" \
		"error=*$T/logs/fifo*regular file*" "of a FIFO too, at once"
	raw_end s2
fi

# a log program
cat >"$T/logger" <<'END'
#!/bin/sh
# argv: the query's keys and values
dir=$2
trap '' TERM # the end of its input ends it
env | sort >"$dir/env"
echo "$@" >"$dir/argv"
ls -l /proc/self/fd >"$dir/fds"
exec 5>&- # ready
cat <&3 >"$dir/stdout" &
cat <&4 >"$dir/stderr" &
wait
echo done >"$dir/end"
END
chmod 755 "$T/logger"
mkdir "$T/l1"
note_id b
ctr run -d --runtime "$RUNTIME" --log-uri "binary://$T/logger?dir=$T/l1" "$IMAGE" b \
	sh -c 'i=0; while [ $i -lt 1000 ]; do echo "line $i"; i=$((i+1)); done; echo oops >&2; exit 3' </dev/null
check "the task ends" wait_for 5 task_is b STOPPED
like "$(ctr task rm b 2>&1)" "*exit code 3*" "its status"
ctr c rm b
check "the program ends with the task" wait_for 5 test -e "$T/l1/end"
is "$(wc -l <"$T/l1/stdout")" 1000 "binary://: all of stdout"
is "$(cat "$T/l1/stderr")" oops "stderr on its own descriptor"
is "$(cat "$T/l1/argv")" "dir $T/l1" "the query became arguments"
is "$(grep -c "^CONTAINER_ID=b\$" "$T/l1/env"),$(grep -c "^CONTAINER_NAMESPACE=$NS\$" "$T/l1/env")" 1,1 "its environment"
# ... exec too
mkdir "$T/l2"
run_d m sleep 1000
ctr task exec -d --exec-id e --log-uri "binary://$T/logger?dir=$T/l2" m sh -c 'echo from exec' </dev/null
check "an exec's output" wait_for 5 grep -qs 'from exec' "$T/l2/stdout"
rm_c m
# programs that are not
raw_new x true
like "$(raw_create x "stdout=binary:///no/such/logger" "stderr=binary:///no/such/logger")" "error=*" \
	"a missing log program fails Create"
raw_end x
if [ -n "$PODSHIM" ]; then
	cp "$T/logger" "$T/open-logger"
	chmod 777 "$T/open-logger"
	raw_new x2 true
	like "$(raw_create x2 "stdout=binary://$T/open-logger?dir=$T/l1" "stderr=binary://$T/open-logger?dir=$T/l1")" "error=*" \
		"a log program that anybody may write is refused"
	raw_end x2
fi
raw_new y true
like "$(raw_create y stdout=gopher://x stderr=gopher://x)" "error=*" "an unknown scheme fails Create"
raw_end y
rm -rf "$T/logs"
finish 20

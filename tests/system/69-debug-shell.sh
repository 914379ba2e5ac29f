#!/bin/sh
# debug shell, trace and net: tools inside a container that lacks them, and nothing
# of it left behind, also if the client is killed.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
command -v ip >/dev/null || skip_all "no ip"
ctd_up
raw_jq='.linux.namespaces += [{type: "network"}] | .hostname = "inside"'
pid=$(raw_run a sh -c 'echo hi >/tmp/there; while :; do sleep 0.1; done')
[ "${pid:-0}" -gt 1 ] || bail "no pid"
tool() { podshimctl -n "$NS" debug shell a -- /bin/sh -c "$1"; }
ns() { readlink "/proc/$pid/ns/$1"; }
# those of other tests come and go; ours would be at the state's root, or below $T
mounts() { grep -c -e " $STATE_ROOT" -e " $T" /proc/self/mountinfo; }

before=$(mounts)
is "$(tool 'for n in net pid ipc uts; do readlink /proc/self/ns/$n; done')" "$(ns net)
$(ns pid)
$(ns ipc)
$(ns uts)" "it joins net, pid, ipc and uts"
is "$(tool 'uname -n; cat /container/tmp/there')" "inside
hi" "the container's root is /container"
is "$(tool 'tr "\0" " " </proc/1/cmdline | cut -c1-5')" "sh -c" "/proc shows the container's processes"
is "$(tool 'command -v ip >/dev/null && echo tools')" tools "with tools that the container lacks"
marker=/usr/podshim-test-$TEST_ID
tool "echo x >$marker && cat $marker >/dev/null && echo y >/etc/podshim-test-$TEST_ID" >"$T/out" 2>&1
check "what it writes is not the host's" sh -c "! [ -e '$marker' ] && ! [ -e '/etc/podshim-test-$TEST_ID' ]"
is "$(tool 'cat /proc/self/cgroup')" "$(cat /proc/self/cgroup)" "it is not in the container's cgroup"
tool 'exit 42'
is $? 42 "the command's status"
tool 'kill -KILL $$'
is $? 137 "or the signal that ended it"
podshimctl -n "$NS" debug shell a -- no-such-tool 2>"$T/err"
is $? 127 "127: there is no such tool"
like "$(cat "$T/err")" "*no-such-tool*" "which is named"
podshimctl -n "$NS" debug shell no-such -- true 2>"$T/err"
is $? 4 "4: no such container"
mkdir -p "$T/tools/bin" && cp "$T/rootfs/bin/busybox" "$T/tools/bin/sh"
is "$(podshimctl -n "$NS" debug shell --tools "$T/tools" a -- sh -c 'cd /; echo *')" \
	"bin container dev etc proc run sys tmp" "a tools' directory of one's own"
is "$(mounts)" "$before" "no mount is left"

# what it left running is killed; and all of it if the client is
# its own "sleep" comes and goes; ours are looked for by their arguments
inside() { cat "/proc/$pid/root/proc/"[0-9]*/comm 2>/dev/null | grep -vx sleep | sort | uniq -c | tr -s " \n" " "; }
quiet=$(inside)
like "$quiet" " 1 sh " "when a command has returned, nobody of it is in the container"
tool 'setsid sleep 77101 >/dev/null 2>&1 & sleep 77102 & echo' >/dev/null
gone() { ! pgrep -f "^sleep 7710[1-4]\$" >/dev/null; }
check "background processes end with the command" wait_for 5 gone
podshimctl -n "$NS" debug shell a -- sh -c 'setsid sleep 77103 & echo up; exec sleep 77104' >"$T/up" 2>&1 &
client=$!
wait_for 10 grep -q up "$T/up"
kill -KILL $client
check "a killed client's processes end" wait_for 5 gone
still() { [ "$(inside)" = "$quiet" ]; }
check "the container has its own processes, and no others" wait_for 5 still
still || diag "before: $quiet; now: $(inside)"
call Pause a >/dev/null
is "$(timeout 20 podshimctl -n "$NS" debug shell a -- echo works)" works "a paused container can be looked into"
call Resume a >/dev/null
hist=$(sqlite3 "$(echo "$STATE_ROOT/$NS"/a.????????)/state.db" "SELECT what || ' ' || detail FROM audit")
like "$hist" "*debug-shell *uname -n*" "each use is in the history"
kill -STOP "$(worker_pids)"
is "$(tool 'echo works' 2>"$T/err")" works "it works with the worker stopped"
like "$(cat "$T/err")" "*not in the history*" "and says that the history does not know"
kill -CONT "$(worker_pids)"

if command -v strace >/dev/null; then
	podshimctl -n "$NS" trace a -- -e trace=clone,fork,vfork >"$T/trace" 2>&1 &
	tracer=$!
	check "trace shows system calls" wait_for 10 grep -q 'fork\|clone' "$T/trace"
	kill -TERM $tracer
	wait $tracer 2>/dev/null
	check "a killed trace lets go" wait_for 5 grep -q "TracerPid:.0" "/proc/$pid/status"
else
	skip "no strace"
	skip "no strace"
fi

# a network to throw away
name=pd$(echo "$TEST_ID" | tr -dc a-z0-9 | tail -c 9)
link() { ip link show "$name" >/dev/null 2>&1; }
out=$(podshimctl debug net "$name" -- sh -c "ip -o -4 address show eth0 | tr -s ' ' | cut -d' ' -f4; ip -o link | wc -l" 2>"$T/net")
like "$out" "169.254.*/30*2" "net: an address inside"
like "$(cat "$T/net")" "host: $name 169.254.*; inside: eth0 169.254.*; /proc/*/ns/net" "both ends are named"
check "the pair is gone" wait_for 5 sh -c "! ip link show '$name' >/dev/null 2>&1"
podshimctl debug net "$name" -- sleep 77104 >"$T/net" 2>&1 &
client=$!
check "net: up" wait_for 10 grep -q '^host:' "$T/net"
host=$(sed -n 's/.*inside: eth0 \([0-9.]*\).*/\1/p' "$T/net")
check "the host reaches it" wait_for 10 busybox ping -c 1 -W 1 "$host"
podshimctl debug net "$name" -- true 2>"$T/err"
is $? 125 "a name that is taken is refused"
kill -KILL $client
check "killed: its processes end" wait_for 5 gone
check "and so does the pair" wait_for 10 sh -c "! ip link show '$name' >/dev/null 2>&1"
podshimctl debug net 'a/b' 2>"$T/err"
is $? 2 "a name that is none"
raw_end a
finish 30

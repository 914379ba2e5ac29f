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
# it is started, which is not to say that it has got to run
wait_for 60 test -s "/proc/$pid/root/tmp/there"
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

# links and mounts in there are not taken for the host's
mkdir -p "$T/linked/bin" "$T/victim" "$T/linked/opt"
cp "$T/tools/bin/sh" "$T/linked/bin/sh"
ln -s "$T/victim" "$T/linked/etc"
mkdir -p "$T/linked$T/victim" "$T/rootfs/etc"
echo inside >"$T/rootfs/etc/hostname"
is "$(podshimctl -n "$NS" debug shell --tools "$T/linked" a -- sh -c 'cd /; echo *')" \
	"bin container dev etc opt proc run sys tmp" "tools with a link that leads outside"
is "$(ls "$T/victim")" "" "nothing is written there"
mount -t tmpfs -o nosuid,nodev,noexec own "$T/linked/opt"
mkdir "$T/linked/opt/fuse"
fuse=
if [ -c /dev/fuse ]; then
	exec 6<>/dev/fuse
	# a server that never says a word
	mount -i -t fuse -o fd=6,rootmode=40000,user_id=0,group_id=0 none "$T/linked/opt/fuse" && fuse=yes
fi
seen=$(timeout -s KILL $((60 * SLOW)) podshimctl -n "$NS" debug shell --tools "$T/linked" a -- \
	sh -c 'cd /; while read -r a b c d e f g; do case $e in /opt*) echo "$e $f"; esac; done </proc/self/mountinfo' 6<&-)
like "$seen" "/opt ro,nosuid,nodev,noexec*" "a file system below the tools keeps what is forbidden in it"
if [ -n "$fuse" ]; then
	is "$(echo "$seen" | grep -c /opt/fuse)" 0 "one that a process serves is left out"
	umount -l "$T/linked/opt/fuse"
else
	skip "no FUSE here"
fi
exec 6<&-
umount -l "$T/linked/opt"

# what it left running is killed; and all of it if the client is
# Strangers among the container's processes: in another mount namespace. One that is about to
# end has none any more.
inside() {
	for in_p in "/proc/$pid/root/proc/"[0-9]*; do
		in_ns=$(readlink "$in_p/ns/mnt" 2>/dev/null) && [ "$in_ns" != "$(ns mnt)" ] &&
			echo "${in_p##*/} $(cat "$in_p/comm" 2>/dev/null)"
	done
}
nobody() { [ -z "$(inside)" ]; }
somebody() { ! nobody; }
is "$(inside)" "" "when a command has returned, nobody of it is in the container"
n=77$$ # others of this test run on this machine, too
tool "setsid sleep ${n}1 >/dev/null 2>&1 & sleep ${n}2 & echo" >/dev/null
gone() { ! pgrep -f "^sleep ${n}[1-4]\$" >/dev/null; }
check "background processes end with the command" wait_for 5 gone
podshimctl -n "$NS" debug shell a -- sh -c "setsid sleep ${n}3 & echo up; exec sleep ${n}4" >"$T/up" 2>&1 &
client=$!
wait_for 10 grep -q up "$T/up"
check "while it runs it is seen there" somebody
kill -KILL $client
check "a killed client's processes end" wait_for 5 gone
check "the container has its own processes, and no others" wait_for 5 nobody
nobody || diag "$(inside)"
call Pause a >/dev/null
is "$(timeout $((60 * SLOW)) podshimctl -n "$NS" debug shell a -- echo works)" works "a paused container can be looked into"
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

# what is run is root on the host, and no process there may be able to take it over
ptrace='"CAP_SYS_PTRACE"'
raw_jq=".process.capabilities.bounding += [$ptrace]"
p=$(raw_run p sleep 1000)
podshimctl -n "$NS" debug shell p -- touch "$T/entered" 2>"$T/err"
is $? 125 "a container that could trace it is refused"
like "$(cat "$T/err")" "*'p': process $p there can have CAP_SYS_PTRACE*root on the host; --yes *" "with the reason"
is "$(podshimctl -n "$NS" debug shell --yes p -- echo in)" in "--yes: it is run all the same"
podshimctl -n "$NS" trace p -- -V >"$T/out" 2>&1
is $? 125 "trace is refused, too"
# over its own user namespace it may
if unshare -U true 2>/dev/null; then
	raw_jq=".process.capabilities.bounding += [$ptrace] | .linux.namespaces += [{type: \"user\"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 70000, size: 65536}] | .linux.gidMappings = .linux.uidMappings"
	raw_run u sleep 1000 >/dev/null
	is "$(podshimctl -n "$NS" debug shell u -- echo in)" in "one in a user namespace of its own is not"
	raw_end u
else
	skip "no user namespaces here"
fi
# another one of its pod, among the same pids, and a process that came later
raw_jq="(.linux.namespaces[] | select(.type == \"pid\")).path = \"/proc/$pid/ns/pid\" |
	.process.capabilities.bounding += [$ptrace] | .annotations[\"io.containerd.runc.v2.group\"] = \"a\""
near=$(raw_run near sleep 1000)
podshimctl -n "$NS" debug shell a -- true 2>"$T/err"
is $? 125 "nor is it run beside such a one of the pod"
like "$(cat "$T/err")" "*'a': process $near there*" "which is named"
call Kill near signal=9 >/dev/null
call Wait near >/dev/null
call Delete near >/dev/null
is "$(tool 'echo in')" in "that is gone"
raw_jq=.
raw_run e sleep 1000 >/dev/null
is "$(podshimctl -n "$NS" debug shell e -- echo in)" in "one without"
spec=$(raw_spec sleep 1000)
jq ".capabilities = {bounding: [$ptrace], effective: [$ptrace], permitted: [$ptrace]}" "$spec" >"$spec.caps"
call Exec e exec_id=x "spec=$spec.caps" >/dev/null
call Start e exec_id=x >/dev/null
podshimctl -n "$NS" debug shell e -- true 2>"$T/err"
is $? 125 "until an exec has it"

# a network to throw away
name=pds$$ # nobody else's on this machine
link() { ip link show "$name" >/dev/null 2>&1; }
out=$(podshimctl debug net "$name" -- sh -c "ip -o -4 address show eth0 | tr -s ' ' | cut -d' ' -f4; ip -o link | wc -l" 2>"$T/net")
like "$out" "169.254.*/30*2" "net: an address inside"
like "$(cat "$T/net")" "host: $name 169.254.*; inside: eth0 169.254.*; /proc/*/ns/net" "both ends are named"
check "the pair is gone" wait_for 5 sh -c "! ip link show '$name' >/dev/null 2>&1"
rm "$T/net" # the shell in the background would empty it too late
podshimctl debug net "$name" -- sleep "${n}4" >"$T/net" 2>&1 &
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

# a container among the host's pids takes along what was started in its name
raw_jq='del(.linux.namespaces[] | select(.type == "pid"))'
pid=$(raw_run h sleep 1000)
rm "$T/up"
podshimctl -n "$NS" debug shell h -- sh -c "setsid sleep ${n}1 & echo up; exec sleep ${n}2" >"$T/up" 2>&1 &
client=$!
wait_for 10 grep -q up "$T/up"
kill -KILL "$pid"
check "the command ends with a container that has no pids of its own" wait_for 5 gone
gone || kill -KILL $client
wait $client
is $? 137 "and so does the client"
raw_end near a h p e
finish 30

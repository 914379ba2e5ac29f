#!/bin/sh
# podshimctl doctor, the rarer findings, each made for real: what is recorded beside what the
# kernel says, keepers without containerd or directory, a full state root, a unit's KillMode.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
quick_events
doctor() { timeout $((60 * SLOW)) podshimctl -n "$NS" doctor -o json 2>/dev/null | jq -r --arg c "$1" '.[] | select(.code == $c) | .text'; }
says() { doctor "$1" | grep -qE "$2"; }
silent() { ! says "$1" .; }
# told CODE PATTERN DESCRIPTION
told() {
	if wait_for 10 says "$1" "$2"; then ok "$3"; else
		not_ok "$3"
		diag "$(timeout $((60 * SLOW)) podshimctl -n "$NS" doctor 2>&1)"
	fi
}
odd() {
	: >"$T/odd"
	"$BIN/odd" "$@" >"$T/odd" 2>&1 &
	odd=$!
	not_ours="$not_ours $odd"
	wait_for 20 test -s "$T/odd"
}
dir_of() { ls -d "$STATE_ROOT/$NS/$1".????????; }

# its cgroup is taken away under it
pid=$(raw_run c sleep 1000)
check "nothing is wrong yet" wait_for 20 silent cgroup-gone
cgroup=$(podshimctl -n "$NS" inspect -o json c/c | jq -r .cgroup)
for g in $(cgroups_of c); do
	echo "$pid" >"${g%/*}/cgroup.procs" && rmdir "$g"
done
told cgroup-gone "'c' runs, but its cgroup '$cgroup' is gone" "a cgroup that is gone"
raw_end c

# init ends while the worker is stopped, and its pid goes to another process
pid=$(raw_run p sleep 1000)
worker=$(pod_field p worker_pid)
[ "${worker:-0}" -gt 1 ] || bail "no pid"
kill -STOP "$worker"
kill -KILL "$pid"
told init-gone "init, pid $pid, is recorded as running but does not exist" "a record that disagrees with the kernel"
odd as "$pid"
if [ "$(cat "$T/odd")" = ready ]; then
	told pid-reused "'p' is recorded as pid $pid, but that is another process now \(odd\)" "a pid that is another's"
	kill -KILL "$pid"
else
	skip "no process with that pid: $(cat "$T/odd")"
fi
told worker-stopped "worker \(pid $worker\) is stopped" "a stopped worker"
kill -CONT "$worker"
wait_for 20 raw_state_is p $STOPPED
raw_end p

# containerd is dead: its pods are told
raw_run n sleep 1000 >/dev/null
check "a pod with its containerd" wait_for 20 silent no-containerd
ctd_kill
told no-containerd "runs without its containerd: nobody listens at '$SOCK.*'" "a keeper without containerd"
ctd_start
check "and with it again" wait_for 20 silent no-containerd

# containerd in a unit that takes the shims with it; its file is seen by podshimctl alone
systemd=/sys/fs/cgroup/systemd
[ -e /sys/fs/cgroup/cgroup.controllers ] && systemd=/sys/fs/cgroup
if ! mkdir -p "$systemd/$NS/unit" 2>/dev/null || ! mkdir "$systemd/$NS/unit/$NS.service" 2>/dev/null; then
	skip "no cgroups of systemd's here"
	skip "no cgroups of systemd's here"
else
	home=$systemd$(sed -n 's/^\(0:\|[0-9]*:name=systemd\)://p' "/proc/$ctd_pid/cgroup" | head -n 1)
	echo "$ctd_pid" >"$systemd/$NS/unit/$NS.service/cgroup.procs"
	mkdir "$T/run"
	in_unit() { # KILLMODE; a host without systemd does not get its directory, which says that it runs
		unshare -m sh -c '
			if ! [ -d /run/systemd/system ]; then
				mount --rbind /run "$3" && mount -t tmpfs t /run && mkdir -p /run/systemd/system &&
					ln -s "$3/podshim" "$3/containerd" /run || exit
			fi
			mount -t tmpfs t /run/systemd/system && printf "[Service]\n%s\n" "$1" >"/run/systemd/system/$2.service" &&
				timeout 60 podshimctl -n "$2" doctor -o json' - "$1" "$NS" "$T/run" | jq -r '.[] | select(.code == "kill-mode") | .text'
	}
	like "$(in_unit KillMode=mixed)" "Unit '$NS.service' has KillMode=mixed: *kills every shim*" "a unit that kills the shims"
	is "$(in_unit KillMode=process)" "" "one that does not"
	echo "$ctd_pid" >"$home/cgroup.procs"
	rmdir "$systemd/$NS/unit/$NS.service" "$systemd/$NS/unit"
fi

# a keeper whose directory somebody removed
keeper=$(pod_field n keeper_pid)
[ "${keeper:-0}" -gt 1 ] || bail "no pid"
dir=$(dir_of n)
away=$STATE_ROOT/$NS/.away # on its own file system: elsewhere it would come back as a copy
mv "$dir" "$away"
told keeper-without-directory "Keeper pid $keeper runs, but its pod's directory has been removed" "a keeper without its directory"
mv "$away" "$dir"
raw_end n

# a state root without room
mkdir "$T/small"
mount -t tmpfs -o size=16m,nr_inodes=1000 small "$T/small"
room() { timeout $((60 * SLOW)) podshimctl --state-root "$T/small" doctor -o json | jq -r '.[] | select(.code == "state-root-full") | .severity + ": " + .text'; }
is "$(room)" "" "a state root with room"
head -c 13m /dev/zero >"$T/small/fill"
like "$(room)" "bad: The file system of the pods' state has [0-9]* KiB left of 16 MiB." "one that is full"
mount -o remount,size=200m "$T/small"
head -c 193m /dev/zero >"$T/small/fill"
like "$(room)" "warning: The file system of the pods' state has [0-9]* KiB left of 200 MiB." "one that will be full"
rm "$T/small/fill"
(cd "$T/small" && seq 800 | xargs touch)
like "$(room)" "bad: *has [0-9]* inodes left." "one without inodes"
umount "$T/small"
finish 60

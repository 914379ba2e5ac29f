# What of a test exists on the machine, by the marks that containerd.sh
# describes, and how to remove it. Sourced with $T set (the test's directory).
# shellcheck shell=sh

TEST_ID=$(basename "$T" | tr . -)
NS=$TEST_ID
[ ! -s "$T/ns" ] || NS=$(cat "$T/ns") # of a test that has given itself another
CTD_NS=$NS # containerd's namespace; cri.sh, which has the machine's /run for itself, has another
SOCK=$T/c.sock
STATE_ROOT=/run/podshim
SOCKET_DIR=/run/containerd/s
ctd_pid=
not_ours= # helpers of the test itself

# sock_path GROUP: the address of the shim, as containerd's own tools compute it
sock_path() { echo "$SOCKET_DIR/$(printf %s "$SOCK/$CTD_NS/$1" | sha256sum | cut -d' ' -f1)"; }

# every process of this test but the test itself
our_pids() {
	{
		grep -lsaz "^PODSHIM_TEST_ID=$TEST_ID\$" /proc/[0-9]*/environ
		grep -lsa -e "$NS" /proc/[0-9]*/cmdline
		grep -ls "/$NS/" /proc/[0-9]*/cgroup
	} 2>/dev/null | cut -d/ -f3 | sort -un | while read -r op_p; do
		case " $$ $not_ours " in *" $op_p "*) continue ;; esac
		[ -e "/proc/$op_p/exe" ] && readlink "/proc/$op_p/exe" >/dev/null 2>&1 &&
			echo "$op_p"
	done
	return 0
}
pid_gone() { ! [ -e "/proc/$1" ] || grep -qs '^State:.*[ZX]' "/proc/$1/status"; }
describe_pid() {
	echo "$1 $(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null) [$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)]"
}

# cgroups_of ID: where that container's cgroups are; a pattern is allowed. By the type
# of the file system: crun without cgroup2 makes plain directories where it was mounted.
cgroups_of() {
	find /sys/fs/cgroup -mindepth 2 -type d -path "*/$NS/$1" \( -fstype cgroup -o -fstype cgroup2 \) \
		2>/dev/null
	return 0
}

# leftovers: one line for each thing of this test that still exists
leftovers() {
	for lo_p in $(our_pids); do
		[ "$lo_p" = "${ctd_pid:-0}" ] && continue
		pid_gone "$lo_p" || echo "process $(describe_pid "$lo_p")"
	done
	while read -r lo_id; do
		lo_s=$(sock_path "$lo_id")
		[ -e "$lo_s" ] && echo "socket $lo_s of $lo_id"
	done <"$T/ids"
	grep " $T/" /proc/self/mounts | sed 's/^/mount /'
	cgroups_of '*' | sed 's/^/cgroup /'
	find "$STATE_ROOT/$CTD_NS" -mindepth 1 2>/dev/null | sed 's/^/state /'
	find "$STATE_ROOT-run/$NS" -mindepth 1 2>/dev/null | sed 's/^/run directory /'
	find "/var/log/podshim/$NS" -mindepth 1 2>/dev/null | sed 's/^/log /'
	find "/run/containerd/runc/$CTD_NS" -mindepth 1 2>/dev/null | sed 's/^/runtime state /'
	find "$T/state/io.containerd.runtime.v2.task/$CTD_NS" -mindepth 1 -maxdepth 1 2>/dev/null |
		sed 's/^/bundle /'
	find "$T/fifo" -mindepth 1 2>/dev/null | sed 's/^/fifo /'
	return 0
}

# sweep: kill and remove all of it, but the directory
sweep() {
	# Some rounds: what a killed process leaves to its parent shows in the next.
	for sw_round in 1 2 3 4; do
		sw_pids=$(our_pids)
		[ -n "$sw_pids" ] || break
		# shellcheck disable=SC2086
		kill -KILL $sw_pids 2>/dev/null
		sleep "0.$sw_round"
	done
	grep " $T" /proc/self/mounts | cut -d' ' -f2 | sort -r | while read -r sw_m; do
		umount -l "$sw_m" 2>/dev/null
	done
	while read -r sw_id; do
		rm -f "$(sock_path "$sw_id")"
	done <"$T/ids"
	find /sys/fs/cgroup -mindepth 2 -depth -type d \( -path "*/$NS" -o -path "*/$NS/*" \) \
		-exec rmdir {} + 2>/dev/null
	rm -rf "${STATE_ROOT:?}/$CTD_NS" "${STATE_ROOT:?}-run/$NS" "/var/log/podshim/$NS" "/run/containerd/runc/$CTD_NS"
}

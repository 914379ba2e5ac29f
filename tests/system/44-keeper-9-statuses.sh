#!/bin/sh
# kill -9 of the keeper, and of keeper and worker at once, with containers that run
# and containers that have ended with known statuses: containerd's `delete` cleans all
# of it, and says of each what was known.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
events_start
# what the pod itself has recorded, before it is killed
recorded() { podshimctl -o json -n "$NS" tasks "$1" | jq -r ".[] | select(.container == \"$2\" and .exec == null) | .exit_status"; }
recorded_as() { [ "$(recorded "$1" "$2")" = "$3" ]; }

pod() { # POD: two that run, two that have ended with 7 and by SIGTERM
	run_opts=$(group_opts "$1")
	run_d "$1run" sh -c 'sleep 1000 & sleep 1001 & wait'
	run_d "$1two" sleep 1000
	run_d "$1seven" sh -c 'trap "exit 7" USR1; while :; do sleep 0.1; done'
	run_d "$1term" sh -c 'trap "" USR1; while :; do sleep 0.1; done'
	run_opts=
	usr1 "$(task_pid "$1seven")"
	kill -KILL "$(task_pid "$1term")"
	wait_for 5 task_is "$1seven" STOPPED && wait_for 5 task_is "$1term" STOPPED
}
exits_of() { event_body "$1" /tasks/exit | jq -r 'select(.id == .container_id) | .exit_status' | sort -u | tr '\n' ' '; }
deleted_as() { event_body "$1" /tasks/delete | jq -r '.exit_status // 0' | sort -u | tr '\n' ' '; }
tasks_gone() { ! ctr task ls | awk 'NR > 1 { print $1 }' | grep -q "^$1"; }
dir_gone() { ! ls -d "$STATE_ROOT/$NS/$1".* >/dev/null 2>&1; }
no_mounts() { ! grep -q "$(bundle "$1")" /proc/self/mounts; }
no_cgroups() { [ -z "$(cgroups_of "$1*")" ]; }

verdicts() { # POD
	check "$1: containerd forgets its tasks" wait_for 10 tasks_gone "$1"
	# first, for a busy machine may give away the same pid half a minute later
	for p in $pids; do
		pid_gone "$p" || wait_for 5 pid_gone "$p" || not_ok "$1: process $p is left"
	done
	for c in run two seven term; do
		check "$1$c: its end is told" wait_for 5 events_has "$1$c" /tasks/delete
	done
	check "$1: no mount is left" wait_for 5 no_mounts "$1"
	check "$1: no cgroup is left" wait_for 5 no_cgroups "$1"
	is "$(deleted_as "$1seven")" "7 " "$1: the one that had ended with 7 did"
	is "$(deleted_as "$1run")" "137 " "$1: the one that we killed: 137"
	is "$(exits_of "$1seven")" "7 " "$1: no event ever said anything else of seven"
	is "$(exits_of "$1term")" "137 " "$1: nor of the killed one"
	check "$1: its directory goes" wait_for 5 dir_gone "$1"
	check "$1: its socket goes" wait_for 60 sh -c "! [ -e '$(sock_path "$1")' ]"
}

for how in keeper both stopped; do
	pod $how
	check "$how: recorded" wait_for 60 recorded_as $how ${how}seven 7
	keeper=$(pod_field $how keeper_pid)
	worker=$(pod_field $how worker_pid)
	pids=$(ctr task ls | awk -v p="^$how" '$1 ~ p && $3 == "RUNNING" { print $2 }')
	case $how in
	keeper) kill -KILL "$keeper" ;;
	both) kill -KILL "$worker" "$keeper" ;;
	stopped) # a worker that cannot even notice
		kill -STOP "$worker"
		kill -KILL "$keeper"
		;;
	esac
	check "$how: its worker goes" wait_for 10 pid_gone "$worker"
	verdicts $how
	for c in run two seven term; do ctr c rm "$how$c"; done
done

# An exit that nobody but the keeper saw when it was killed: never an invented one.
run_opts=$(group_opts late)
run_d late sh -c 'trap "exit 9" USR1; while :; do sleep 0.1; done'
run_opts=
pid=$(task_pid late)
worker=$(pod_field late worker_pid)
keeper=$(pod_field late keeper_pid)
kill -STOP "$worker"
usr1 "$pid"
check "late: it ends while the worker stands" wait_for 5 pid_gone "$pid"
kill -KILL "$keeper"
kill -CONT "$worker" # it hears the keeper's last words
check "late: containerd forgets it" wait_for 10 tasks_gone late
check "late: its end is told" wait_for 5 events_has late /tasks/delete
like "$(deleted_as late)" "[29]*" "late: 9, or 255 for unknown, but not 137"
diag "late: $(deleted_as late)"

# The same of one whose client has its last output still to read: its exit is told later.
note_id unread
# shellcheck disable=SC2046
ctr run -d --runtime "$RUNTIME" --fifo-dir "$T/fifo" $(group_opts unread) "$IMAGE" unread \
	sh -c 'trap "echo last words; exit 9" USR1; while :; do sleep 0.1; done' </dev/null
exec 8<"$(echo "$T"/fifo/*/unread-stdout)" # that client
pid=$(task_pid unread)
worker=$(pod_field unread worker_pid)
keeper=$(pod_field unread keeper_pid)
at_rest() { grep -q '^State:.*S' "/proc/$1/status"; }
kill -STOP "$worker"
usr1 "$pid"
check "unread: it ends while the worker stands" wait_for 5 pid_gone "$pid"
check "unread: the keeper has said so" wait_for 5 at_rest "$keeper"
kill -KILL "$keeper" # the worker goes on by itself, and hears both at once
check "unread: containerd forgets it" wait_for 10 tasks_gone unread
check "unread: its end is told" wait_for 5 events_has unread /tasks/delete
is "$(deleted_as unread)" "9 " "unread: it ended with 9"
exec 8<&-
rm -rf "${T:?}/fifo"
finish

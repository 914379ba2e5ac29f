#!/bin/sh
# Ten containers of one group: one keeper, one worker, one socket.
. "$(dirname "$0")/../lib/containerd.sh"
quick_events
ctd_up
events_start
run_opts=$(group_opts pod1)

for i in 0 1 2 3 4 5 6 7 8 9; do
	run_d "c$i" sleep 1000 || not_ok "container $i"
done
check "ten containers run" wait_for 60 tasks_run 10
is "$(echo "$tasks" | awk '$3 == "RUNNING" { print $2 }' | sort -u | wc -l)" 10 "ten pids"
is "$(shim_pids | wc -l)" 1 "one shim process for all"
if [ -n "$PODSHIM" ]; then
	is "$(worker_pids | wc -l)" 1 "one worker"
	thirteen() { [ "$(our_pids | wc -l)" = 13 ]; } # once the last event has left
	check "containerd, keeper, worker, ten containers: nothing else" wait_for 5 thirteen
fi
addr=$(cat "$(bundle c0)/address")
is "$(cat "$T"/state/io.containerd.runtime.v2.task/"$NS"/*/address | tr -s '\n' | sed 's/unix:/\nunix:/g' | sort -u | grep -c unix)" \
	1 "all bundles name one address"
is "$addr" "unix://$(sock_path pod1)" "it is the group's"
n=0
for i in 0 1 2 3 4 5 6 7 8 9; do
	[ -e "$(sock_path "c$i")" ] && n=$((n + 1))
done
is $n 0 "no container has a socket of its own"

# A second pod beside it is another shim.
run_opts=$(group_opts pod2)
run_d other sleep 1000
is "$(shim_pids | wc -l)" 2 "another group, another shim"
rm_c other
check "its shim goes" wait_for 60 shims_are 1
check "with its socket" sh -c "! [ -e '$(sock_path pod2)' ]"

# The first one goes first: the others, and the shim, stay.
shim=$(shim_pids)
rm_c c0
check "nine run on without the first" wait_for 60 tasks_run 9
is "$(shim_pids)" "$shim" "in the same shim"
check "the socket stays" test -S "$(sock_path pod1)"
run_opts=$(group_opts pod1)
run_d c0 sleep 1000
is "$(shim_pids)" "$shim" "a newcomer joins the shim"
is "$(x_out c5 e "tr '\0' ' ' </proc/1/cmdline; echo")" "sleep 1000 " "exec goes to the right container"

# All at once.
for i in 1 2 3 4 5 6 7 8 9; do
	ctr task kill -s KILL "c$i" &
done
ctr task kill -s KILL c0
check "all end" wait_for 10 sh -c "! ctr -a '$SOCK' -n '$NS' task ls | grep -q RUNNING"
for i in 0 1 2 3 4 5 6 7 8 9; do
	rm_c "c$i" &
done
check "the keeper ends with the last container" wait_for 15 pid_gone "$shim"
check "so does the socket" sh -c "! [ -e '$(sock_path pod1)' ]"
check "all events arrived" wait_for 5 events_count /tasks/delete 12
for i in 1 5 9; do
	is "$(events_of "c$i" | grep -v exec | grep -v ' ' | tr '\n' ' ')" \
		"/tasks/create /tasks/start /tasks/exit /tasks/delete " "events of c$i"
done
finish

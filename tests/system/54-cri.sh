#!/bin/sh
# A pod made through containerd's CRI plugin, from the sandbox to its removal, as kubelet
# does: run, exec, attach, port-forward, logs, stats, stop, remove.
. "$(dirname "$0")/../lib/cri.sh"
cri_up
log_lines() { [ "$(log_of web "$1" | wc -l)" -ge "$2" ]; }

# --- the sandbox, then containers ------------------------------------------
check "a pod" cri pod web default
like "$(cri status web)" "READY 10.88.0.*" "it is ready, with an address"
check "a container" cri create web app '' sh -c \
	'trap "exit 7" TERM; mkfifo /tmp/in; nc -ll -p 8080 -e cat & while :; do read -r l </tmp/in && echo "$l"; done'
is "$(cri status app)" "CREATED 0 " "it is created"
cri of app StartContainer >"$tap_out"
is "$(cri status app)" "RUNNING 0 " "it runs"
cri run web shell '{"stdin": true}' sh
cri run web once '{"stdin": true, "stdin_once": true}' cat
cri run web term '{"stdin": true, "tty": true}' sh
is "$(shim_pids | wc -l)" 1 "one shim for the sandbox and its containers"
[ -z "$PODSHIM" ] || is "$(worker_pids | wc -l)" 1 "one worker"
netns=$(ctr task ls | while read -r c p s; do [ "$s" != RUNNING ] || readlink "/proc/$p/ns/net"; done)
is "$(echo "$netns" | sort | uniq -c | sed 's/^ *//')" "5 $(echo "$netns" | head -n 1)" "they share the pod's network"

# --- exec ------------------------------------------------------------------
cri later late of app ExecSync '{"cmd": ["sleep", "77"], "timeout": 1}'
is "$(cri sync app sh -c 'echo out; echo err >&2; exit 5')" "5 out
err" "ExecSync: output and status"
like "$(cri sync app /no/such)" "UNKNOWN:*no such file*" "ExecSync of what is not there: the reason"
cri exec e app ioe sh -c 'cat; echo err >&2; exit 5'
cri send e 'one\n'
check "Exec: stdin is answered" cri expect e one
cri send e two
cri eof e
is "$(cri end e)" '["one\ntwo", "err\n", 5]' "Exec: to the end, with its status"
cri exec t app iot sh -c 'tty; until [ "$(stty size 2>&1)" = "33 77" ]; do sleep 0.02; done; echo sized; exit 8'
cri expect t /dev/pts/
cri resize t 77 33
like "$(cri end t)" '?"/dev/pts/*sized*, 8?' "Exec with a terminal, of that size"

# --- attach, and the log of what was typed ---------------------------------
cri attach a shell ioe
again=$(cri ask a 'echo $((40 + 2)); echo err >&2\n' 42)
is $? 0 "attach${again:+: $again}"
# what it is still to be sent must not reach the next one
check "attach: stderr" wait_for 60 grep -q 'stderr F err' "$T/log/web/shell.log"
cri drop a
# containerd may close an attach before it has sent on the last that was said, with any shim
cri attach a shell ioe
again=$again$(cri ask a 'echo $((40 + 3))\n' 43)
cri send a 'exit 9\n'
is "$(cri end a)" '["43\n", "", 0]' "attach once more; stdin was kept open"
check "its status" cri until shell "EXITED 9 Error"
wait_for 60 log_lines shell 3
is "$(log_of web shell | sort ${again:+-u} | tr '\n' ,)" "stderr F err,stdout F 42,stdout F 43," "its log"
cri attach o once ioe
again=$(cri ask o typed typed)
is $? 0 "stdin once: it answers${again:+: $again}"
cri drop o
check "stdin once: the end of the client is the end of stdin" cri until once "EXITED 0 Completed"
wait_for 60 log_lines once 1
is "$(log_of web once)" "stdout P typed${again:+typed}" "stdin once: its log"
cri attach k term iot
check "attach to a terminal" cri ask k 'tty\n' /dev/pts/
cri send k 'exit 4\n'
like "$(cri end k)" '*, 0?' "to its end"
check "terminal: its status" cri until term "EXITED 4 Error"

# --- port-forward, stats, update -------------------------------------------
cri forward p web 8080
cri send p ping
check "port-forward" cri expect p ping
cri eof p
like "$(cri end p)" '?"ping", *' "port-forward: to the end"
check "ContainerStats" sh -c "$(cri of app ContainerStats | jq -r '.stats |
	"test \(.cpu.usage_core_nano_seconds.value) -gt 0 -a \(.memory.working_set_bytes.value) -gt 0"')"
is "$(cri of app UpdateContainerResources '{"linux": {"memory_limit_in_bytes": 67108864}}')" "{}" "Update"
limit=$(cgroups_of "$(id app)" | while read -r c; do cat "$c/memory.limit_in_bytes" "$c/memory.max" 2>/dev/null; done)
is "$limit" 67108864 "its cgroup has the limit"

# --- logs ------------------------------------------------------------------
cri run web many '' sh -c 'i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i + 1)); done; printf last'
check "many lines" cri until many "EXITED 0 Completed"
wait_for 60 log_lines many 2001
is "$(log_of web many | sha256sum)" "$({ seq 0 1999 | sed 's/^/stdout F /'; echo stdout P last; } | sha256sum)" \
	"all of them are in the log"
mv "$T/log/web/app.log" "$T/log/web/app.log.1"
cri of app ReopenContainerLog >"$tap_out"
cri sync app sh -c 'echo rotated >/tmp/in' >"$tap_out"
check "a rotated log" wait_for 10 grep -q rotated "$T/log/web/app.log"

# --- ends ------------------------------------------------------------------
like "$(cri join late)" "*DEADLINE_EXCEEDED*" "ExecSync past its time limit"
is "$(cri sync app ps | grep -c 'sleep 77')" 0 "its process is gone"
cri create web wrong '' /no/such
like "$(cri of wrong StartContainer)" '*no such file*' "StartContainer of what is not there"
is "$(cri status wrong)" "EXITED 128 StartError" "its status"
cri run web big '{"linux": {"resources": {"memory_limit_in_bytes": 16777216}}}' dd if=/dev/zero of=/dev/null bs=200M count=1
check "out of memory" cri until big "EXITED 137 OOMKilled"
is "$(cri of app StopContainer '{"timeout": 20}')" "{}" "StopContainer"
is "$(cri status app)" "EXITED 7 Error" "on SIGTERM, its own status"
cri run web deaf '' sleep 1000
is "$(cri of deaf StopContainer '{"timeout": 1}')" "{}" "StopContainer of one that does not listen"
is "$(cri status deaf)" "EXITED 137 Error" "SIGKILL"
is "$(cri of app RemoveContainer)" "{}" "RemoveContainer"
cri run web run '' sleep 1000
is "$(cri of run RemoveContainer)" "{}" "RemoveContainer of one that runs"

cri run web last '' sleep 1000
shim=$(shim_pids)
is "$(cri of web StopPodSandbox)" "{}" "StopPodSandbox"
is "$(cri of web StopPodSandbox)" "{}" "twice"
is "$(cri status last)" "EXITED 137 Error" "its containers end with it"
like "$(cri status web)" "NOTREADY *" "it is not ready"
is "$(cri of web RemovePodSandbox)" "{}" "RemovePodSandbox, with its containers"
check "the shim ends" wait_for 10 pid_gone "$shim"
is "$(cri call ListPodSandbox)$(cri call ListContainers)" '{"items": []}{"containers": []}' "nothing is listed"
is "$(ip -o link show type veth; find "$T/state/io.containerd.grpc.v1.cri/netns" "$T/ipam" -name 'cni-*' -o -name '10.88.*')" \
	"" "no network is left"
finish

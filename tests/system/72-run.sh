#!/bin/sh
# podshimctl run, without any containerd: exit codes, errors, files, pods.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
. "$LIBDIR/run.sh"

out=$(pr --rm hello sh -c 'echo out; echo err >&2; exit 7' 2>"$T/err")
is "$?,$out,$(cat "$T/err")" "7,out,err" "status, stdout and stderr are the container's"
check "with --rm it is gone" no_run_dirs
head -c 3000000 /dev/urandom >"$T/in"
is "$(pr --rm -i big cat <"$T/in" | cmp - "$T/in" && echo same)" same "-i: 3 MB through stdin and stdout"
is "$(pr --rm -e A=b -w /tmp env sh -c 'echo $A; pwd; touch /tmp/x && echo rw' | tr '\n' ' ')" "b /tmp rw " "--env, --cwd"
is "$(pr --rm --read-only ro sh -c 'touch /x || echo no' 2>/dev/null)" no "--read-only"

# what goes wrong is said at once, with the runtime's own words
fails() { # fails STATUS TEXT ARGS...
	fa_status=$1 fa_text=$2
	shift 2
	pr "$@" >"$T/fails" 2>&1 </dev/null
	fa_rc=$?
	case $(cat "$T/fails") in
	"podshimctl: "*$fa_text*) ;;
	*) fa_rc="$fa_rc and not '$fa_text'" ;;
	esac
	is "$fa_rc" "$fa_status" "$fa_status: $(head -n 1 "$T/fails" | sed "s|$T|...|g")"
}
fails 127 'not found' bad nosuch
fails 126 'denied' bad /etc/passwd
fails 126 'exec' bad /etc
fails 125 '/no/such' --runtime /no/such bad true
fails 125 'Is a directory' --log "$T" bad true
fails 125 "unknown key 'colour'" --log-opt colour=red bad true
fails 125 "--pid-file '/no/dir/x': its directory" --pid-file /no/dir/x bad true
fails 125 'a command' bad
fails 125 'no name for a container' ../bad true
fails 125 "unknown option '--nosuch'" --nosuch bad true
fails 125 "'run' wants ID"
fails 125 'unknown output format' -o nosuch bad true
check "nothing is left of all that" no_run_dirs

# in the background, two in one pod
is "$(pr -d --pod web --pid-file "$T/pid" --exit-file "$T/exit" a \
	sh -c 'until [ -e /tmp/go ]; do sleep 0.05; done; exit 9')" a "-d prints the name and returns"
podshimctl -o json run -d --rootfs "$T/rootfs" --pod web --rm b sleep 1000 >"$T/json"
is "$(jq -r '"\(.pod) \(.container)"' "$T/json")" "web b" "or JSON"
check "as doc/schema says" as_schema run "$T/json"
is "$(pod_field web running)" 2 "two containers in one pod"
is "$(cat "$T/pid")" "$(task_of a pid)" "--pid-file"
is "$(pr a true 2>&1 | grep -c "a container 'a' already")" 1 "a name is given once"
check "no exit file yet" gone "$T/exit"
: >"$T/rootfs/tmp/go"
check "--exit-file, with nobody waiting" wait_for 60 has "$T/exit" '^9$'
# the time comes right after the text
exit_file() { [ "$(stat -c %s,%Y "$T/exit")" = "1,$(date -d "$(task_of a exited_at)" +%s)" ]; }
check "digits alone, and the time of the exit" wait_for 60 exit_file
# its events went to podshimctl itself: none pile up
check "no event is left waiting" wait_for 60 none_pending web
is "$(podshimctl delete b </dev/null 2>&1 | grep -c 'is running; --force')" 1 "delete of a running one wants --force"
kill -9 "$(task_of b pid)"
check "--rm in the background" wait_for 60 gone "$STATE_ROOT-run/$NS/b"
is "$(podshimctl delete a)" a "delete"
check "the pid file goes, the exit file stays" sh -c "! [ -e $T/pid ] && [ -e $T/exit ]"
is "$(podshimctl delete a 2>&1; echo $?)" "podshimctl: no container 'a'
4" "delete of what is gone"

# a whole name is wanted where nobody is asked
pr -d long-name sleep 1000 >/dev/null
is "$(podshimctl delete -f long 2>&1; echo $?)" "podshimctl: no container 'long', did you mean 'long-name'?
4" "delete --force: no beginning of a name"
is "$(podshimctl delete -f lon/long-name >/dev/null 2>&1; echo $?)" 4 "nor of a pod's"
is "$(podshimctl kill -y -s KILL long 2>&1; echo $?)" "podshimctl: no container 'long', did you mean 'long-name'?
4" "kill --yes: likewise"
is "$(task_of long-name status)" running "it runs"
is "$(podshimctl delete -f long-name/long-name)" long-name "POD/CONTAINER"

# what a `run` that has not come to its shim yet holds is not left over
mkdir -p "$STATE_ROOT-run/$NS/early"
exec 8<"$STATE_ROOT-run/$NS/early"
flock -s 8
is "$(podshimctl delete early 2>&1; echo $?)" "podshimctl: container 'early' is in use by another podshimctl, which starts or removes it; --force deletes it all the same
1" "delete of one that is being started"
check "it stays" test -d "$STATE_ROOT-run/$NS/early"
exec 8<&-
is "$(podshimctl delete early)" early "what a dead one has left"

# a pod whose database only a newer podshim can read
pr -d n sleep 1000 >/dev/null
pid=$(task_of n pid)
db_write "$(echo "$STATE_ROOT/$NS"/n.????????)/state.db" \
	"PRAGMA user_version = 99; UPDATE meta SET value = '99' WHERE key = 'min_reader'" >/dev/null || bail "the database"
like "$(podshimctl delete n 2>&1 >/dev/null </dev/null)" "*container 'n' may be running*wants a reader of 99*--force*" \
	"delete of what may be running wants --force"
check "it runs" kill -0 "$pid"
is "$(podshimctl delete --force n 2>/dev/null)" n "delete --force"
check "it is gone" gone "$STATE_ROOT-run/$NS/n"

# a bundle of the user's own
mkdir -p "$T/bundle/rootfs/bin"
cp "$T/rootfs/bin/busybox" "$T/bundle/rootfs/bin/"
(cd "$T/bundle" && runc spec)
is "$(podshimctl run --rm --bundle "$T/bundle" own busybox echo mine)" mine "--bundle with a command of ours"
is "$(jq -r .annotations "$T/bundle/config.json")" null "it was not changed"
check "all of it is gone" wait_for 60 no_run_dirs
finish 60

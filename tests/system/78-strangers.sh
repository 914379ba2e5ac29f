#!/bin/sh
# Names, numbers and cgroups that somebody else bears, too: who is not ours is not hit.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
root=/run/containerd/runc/$NS
by_hand() { runc --root "$root" "$@"; }

# 1. A container of that name in the same root, made by somebody else's hand.
raw_bundle x sleep 1000
mkdir "$T/theirs"
jq '.linux.cgroupsPath += "-theirs"' "$RAW/x/config.json" >"$T/theirs/config.json"
by_hand run -d --bundle "$T/theirs" x </dev/null >/dev/null 2>&1 || bail "runc by hand"
theirs=$(by_hand state x | jq .pid)
check "somebody else's container runs" kill -0 "$theirs"
raw_start x || bail "no shim"
like "$(raw_create x 2>&1)" "error=*already exists*" "Create of that name fails"
call Shutdown x >/dev/null
check "the delete call" raw_delete x
check "theirs runs on" kill -0 "$theirs"
is "$(by_hand state x | jq -r .status)" running "and its runtime knows it"
wait_for 20 sh -c "! ls -d '$STATE_ROOT/$NS'/x.???????? 2>/dev/null"
# the same when our keeper is dead in the middle of that Create, whose row is there then
raw_wrap "case \" \$* \" in *' create '*) echo \$\$ >$T/in-create; exec sleep 1000 ;; esac"
raw_start x || bail "no shim"
raw_create x "options.binary_name=$T/wrap" >/dev/null 2>&1 &
create=$!
check "a Create is under way" wait_for 20 test -s "$T/in-create"
keeper=$(pod_field x keeper_pid)
kill -KILL "$keeper"
wait $create
check "the delete call without a keeper" raw_delete x
check "theirs still runs" kill -0 "$theirs"
is "$(by_hand state x | jq -r .status)" running "and its runtime knows it"
kill -KILL "$(cat "$T/in-create")" 2>/dev/null
by_hand delete --force x
raw_delete x >/dev/null # what it could not do in its 4.5 s
raw_unbundle x

# 2. Two specs that name one cgroup: the second fails before and after its runtime runs.
keep=$(raw_run keep sleep 1000)
group='.annotations["io.containerd.runc.v2.group"] = "keep"'
shared=".linux.cgroupsPath = \"/$NS/keep\" | $group"
for how in mount runtime killed; do
	raw_jq=$shared
	raw_new "s-$how" sleep 1000
	raw_jq=.
	case $how in
	mount) out=$(raw_create s-mount "mount=bind:/no/such/source:rbind") ;;
	runtime) out=$(raw_create s-runtime options.binary_name=/bin/false) ;;
	killed)
		rm -f "$T/in-create"
		raw_create s-killed "options.binary_name=$T/wrap" >"$T/out" &
		create=$!
		check "killed: its runtime is under way" wait_for 20 test -s "$T/in-create"
		kill -KILL "$(cat "$T/in-create")"
		wait $create
		out=$(cat "$T/out")
		;;
	esac
	like "$out" "error=*" "$how: Create fails"
	check "$how: the one whose cgroup it names runs on" kill -0 "$keep"
	is "$(raw_state keep)" "$RUNNING" "$how: and is known to"
	raw_delete "s-$how" >/dev/null
	check "$how: also after the delete call" kill -0 "$keep"
	raw_unbundle "s-$how"
done
# and one that runs there, too, is purged alone
raw_jq=$shared
raw_run both sleep 1000 >/dev/null
raw_jq=.
check "one that shares the cgroup: the delete call" raw_delete both
like "$(call State both)" "error=5 *" "it is gone"
check "the other runs on" kill -0 "$keep"
raw_unbundle both
raw_end keep

# 3. init.pid names a process of somebody else's by now, in a cgroup whose path holds the id.
raw_bundle c true
mkdir "$T/other"
raw_jq=".linux.cgroupsPath = \"/$NS/c2\""
other=$(raw_run other sleep 1000)
raw_jq=.
echo "$other" >"$RAW/c/init.pid"
check "a delete call for one that nobody knows" raw_delete c
check "the process under its number runs on" kill -0 "$other"
# the right name, but it began after that file was written
raw_jq=".linux.cgroupsPath = \"/$NS/c\""
again=$(raw_run again sleep 1000)
raw_jq=.
echo "$again" >"$RAW/c/init.pid"
touch -d '1 hour ago' "$RAW/c/init.pid"
raw_delete c >/dev/null
check "nor one that is younger than the file" kill -0 "$again"
raw_unbundle c
raw_end other again
finish

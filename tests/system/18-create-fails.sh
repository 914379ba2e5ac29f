#!/bin/sh
# A Create that fails: the runtime's message, and nothing left of it.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
raw_run keep sleep 1000 >/dev/null || bail "no first task"
keep=$raw_addr
group=$(jq -n --arg g keep '{"io.containerd.runc.v2.group": $g}')

# fails NAME JQ PATTERN [CREATE-ARGS]: Create fails with that text; nothing remains
fails() {
	f_id=$1 f_pattern=$3
	raw_jq="$2 | .annotations = $group"
	shift 3
	raw_new "$f_id" true
	raw_jq=.
	is "$raw_addr" "$keep" "$f_id: start joins the group"
	out=$(raw_create "$f_id" "$@")
	# shellcheck disable=SC2254
	case $out in
	error=*) like "$out" "$f_pattern" "$f_id: $out" ;;
	*) not_ok "$f_id: Create succeeded: $out" ;;
	esac
	like "$(call State "$f_id")" "error=5 *" "$f_id: State: NotFound"
	like "$(call Delete "$f_id")" "error=5 *" "$f_id: Delete: NotFound"
	call Shutdown "$f_id" >/dev/null
	raw_delete "$f_id" >/dev/null
	is $? 0 "$f_id: delete call"
	is "$(grep -c " $RAW/$f_id/" /proc/self/mounts)" 0 "$f_id: no mount"
	is "$(cgroups_of "$f_id")" "" "$f_id: no cgroup"
	raw_unbundle "$f_id"
}
bind="mount=bind:$T/rootfs:rbind,ro"
fails nobin '.process.args = ["/no/such"]' "*/no/such*"
fails nobin2 '.process.args = ["/no/such"] | .root.path = "rootfs"' "*/no/such*" "$bind"
fails badmount '.root.path = "rootfs"' "error=*" "mount=bind:/no/such/source:rbind"
fails badtype '.root.path = "rootfs"' "error=*" "mount=nosuchfs:x:ro"
fails secondmount '.root.path = "rootfs"' "error=*" "$bind" "mount=bind:/no/such/source:rbind"
fails badspec '.process.cwd = 5' "error=*"
fails noroot '.root.path = "/no/such/dir"' "error=*"
[ -z "$PODSHIM" ] || {
	fails noruntime . "*no-such-runtime*" options.binary_name=no-such-runtime
	fails falseruntime . "error=*" options.binary_name=/bin/false
}
raw_unbundle x
is "$(raw_state keep)" "$RUNNING" "the neighbour runs on"
for f in nobin nobin2 badmount badspec; do
	is "$(events_of $f)" "" "$f: no events"
done
raw_end keep
finish

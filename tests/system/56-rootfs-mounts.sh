#!/bin/sh
# Rootfs mounts beyond plain overlays: images on loop devices, mapped ids, very many
# layers, propagation. All of it is gone after Delete, a failed Create, a dead shim.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
quick_events
ctd_up
mounts() { grep -c " $RAW/$1/" /proc/self/mounts; }
unmounted() { [ "$(mounts "$1")" = 0 ]; }
no_loop() { ! grep -qx "$1" /sys/block/loop*/loop/backing_file 2>/dev/null; }
# made ID MOUNT... -- ARGS...: a container on these mounts; what it printed. $made_opts: for Create.
# In a shell of its own.
made_opts=
made() {
	ma_id=$1 ma_mounts=
	shift
	while [ "$1" != -- ]; do ma_mounts="$ma_mounts $1" && shift; done
	shift
	raw_jq=".root = {path: \"rootfs\"} | ${made_jq:-.}"
	raw_new "$ma_id" "$@" || return 1
	raw_jq=.
	raw_fifos "$ma_id"
	# Not by a reader in the background: if that comes when all is over, it waits for ever.
	exec 5<>"$RAW/$ma_id.out" 6<"$RAW/$ma_id.out"
	# shellcheck disable=SC2086
	raw_create "$ma_id" $ma_mounts $made_opts "stdout=$RAW/$ma_id.out" >"$T/create" || {
		cat "$T/create"
		return 1
	}
	exec 5<&- # the shim has its own
	call Start "$ma_id" >/dev/null && call Wait "$ma_id" >/dev/null
	call Delete "$ma_id" | value exit_status >"$T/status"
	timeout $((60 * SLOW)) cat <&6
}
ended() { check "$1: nothing is mounted afterwards" unmounted "$1" && raw_end "$1"; }

# an image in a file
image=$T/rootfs.img
truncate -s 16M "$image"
if [ ! -e /dev/loop-control ]; then
	skip "no loop devices here"
elif ! mke2fs -q -F -t ext2 -d "$T/rootfs" "$image" >"$T/mke2fs" 2>&1; then
	skip "no mke2fs -d: $(head -n 1 "$T/mke2fs")"
else
	is "$(made loop "mount=ext2:$image:loop" -- sh -c 'echo on the image >/note; cat /note; grep -o " / ext2 rw" /proc/mounts')" \
		"$(printf 'on the image\n / ext2 rw')" "loop: a container on an image"
	ended loop
	check "loop: the device is free again" wait_for 5 no_loop "$image"
	is "$(made ro "mount=ext2:$image:loop,ro" -- sh -c 'cat /note; echo x 2>/dev/null >/note || echo read-only')" \
		"$(printf 'on the image\nread-only')" "loop, read-only: what was written before is there"
	ended ro
	# a Create that fails behind it, and one whose image is none
	like "$(made bad "mount=ext2:$image:loop" "mount=bind:/no/such:bind" -- true)" "error=*/no/such*" "loop: a failing mount behind it"
	check "loop: the device is free" wait_for 5 no_loop "$image"
	ended bad
	like "$(made none "mount=ext2:$T/log.fifo:loop" -- true)" "error=*is not a file*" "loop: an image that is a FIFO"
	ended none
	# the shim dies: containerd's own delete frees the device as well
	raw_jq='.root = {path: "rootfs"}'
	raw_new dead sleep 1000
	raw_jq=.
	raw_create dead "mount=ext2:$image:loop" >/dev/null
	is "$(mounts dead)" 1 "loop: mounted while the task is"
	kill -KILL "$(call Connect dead | value shim_pid)"
	is "$(raw_delete dead | value exit_status)" 137 "loop: delete after the shim's death"
	is "$(mounts dead)" 0 "loop: nothing is mounted"
	check "loop: the device is free" wait_for 5 no_loop "$image"
	raw_unbundle dead
fi

# overlays whose layers' names do not fit a page, whatever they have in common cut off
name=$(printf %0150d 0)
lower=
i=0
while [ $i -lt 40 ]; do
	mkdir -p "$T/$i/$name"
	echo "$i" >"$T/$i/$name/f$i"
	lower=$lower:$T/$i/$name
	i=$((i + 1))
done
lower=lowerdir=${lower#:}:$T/rootfs
check "$(printf %s "$lower" | wc -c) bytes of layers' names" test "$(printf %s "$lower" | wc -c)" -gt 6000
is "$(made layers "mount=overlay:overlay:$lower" -- sh -c 'cat /f0 /f39')" "$(printf '0\n39')" "overlay: too many layers for a page"
ended layers

# what containerd asks for, for a pod in a user namespace
mkdir "$T/up" "$T/work"
chown 70000:70000 "$T/up"
userns='.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 70000, size: 65536}]
	| .linux.gidMappings = .linux.uidMappings | .process.noNewPrivileges = true'
map=uidmap=0:70000:65536,gidmap=0:70000:65536
made_jq=$userns
out=$(made mapped "mount=overlay:overlay:$map,lowerdir=$T/rootfs,upperdir=$T/up,workdir=$T/work" -- \
	sh -c 'stat -c %u:%g /bin/busybox; echo mine >/bin/new; cat /proc/self/uid_map; cat /bin/new')
case $out in
*"too old"* | *"user namespace"*) skip "mapped ids: $out" ;;
*)
	is "$(echo "$out" | tr -s ' \n' ' ')" "0:0 0 70000 65536 mine " "mapped ids: the image's files are root's, inside and mapped"
	is "$(stat -c %u:%g "$T/up/bin/new")" 70000:70000 "mapped ids: what it writes is the mapped root's outside"
	is "$(stat -c %u:%g "$T/rootfs/bin/busybox")" 0:0 "mapped ids: the image itself is as before"
	;;
esac
ended mapped
made_jq=
# a FUSE daemon lives on: what it inherits, it keeps
mkdir "$T/fuse"
cat >"$T/fuse/mount.fuse" <<-EOF
	#!/bin/sh
	readlink /proc/\$\$/fd/[!0-2] >"$T/fuse/fds"
	exec mount --bind "\$1" "\$2"
EOF
chmod 755 "$T/fuse/mount.fuse"
is "$(PATH=$T/fuse:$PATH && made fuse "mount=fuse.x:$T/rootfs:ro" -- echo hello)" hello "fuse: its mount program"
is "$(grep -E '^/|memfd' "$T/fuse/fds")" "" "fuse: gets no file of the shim's"
ended fuse
like "$(made half "mount=overlay:overlay:uidmap=0:70000:65536,lowerdir=$T/rootfs" -- true)" "error=3 *uidmap= without gidmap=*" \
	"mapped ids: one of the two is refused"
ended half

# propagation, targets below rootfs, and containerd's own words
raw_jq='.root = {path: "rootfs"}'
raw_new prop sleep 1000
raw_jq=.
bind=mount=bind:$T/rootfs:rbind
raw_create prop "$bind,rshared,ro" >/dev/null
like "$(grep " $RAW/prop/rootfs " /proc/self/mountinfo)" "* ro,*" "bind: read-only"
like "$(grep " $RAW/prop/rootfs " /proc/self/mountinfo)" "* shared:*" "bind: its propagation"
call Delete prop >/dev/null
ended prop
like "$(made own "mount=bind:$T/rootfs:rbind,X-containerd.mkdir.path=/x" -- true)" "error=3 *X-containerd.mkdir.path=/x*" \
	"X-containerd.*: refused by name"
ended own
finish 33

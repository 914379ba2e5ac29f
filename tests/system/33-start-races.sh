#!/bin/sh
# Many `start` of one group at once: one shim, one address.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
for round in 1 2 3; do
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "g'$round'"'
	note_id g$round
	for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
		raw_bundle "r$round-$i" sleep 1000
	done
	raw_jq=.
	for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
		raw_shim "r$round-$i" start </dev/null >"$T/answer$i" 2>&1 &
		eval "s$i=\$!"
	done
	bad=
	for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
		eval "wait \$s$i" || bad="$bad $i:$(cat "$T/answer$i")"
	done
	is "$bad" "" "round $round: twelve starts succeed"
	is "$(for i in 0 1 2 3 4 5 6 7 8 9 10 11; do cat "$T/answer$i"; echo; done | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')" \
		"unix://$(sock_path g$round)" "round $round: one address"
	check "round $round: one shim" wait_for 60 shims_are 1
	raw_addr=unix://$(sock_path g$round)
	for i in 0 1 2 3; do
		(raw_create "r$round-$i" >/dev/null && call Start "r$round-$i" >/dev/null) &
		eval "s$i=\$!"
	done
	for i in 0 1 2 3; do
		eval "wait \$s$i" || bad="$bad create:$i"
	done
	is "$bad" "" "round $round: four of them created at once"
	# the others are given up, as containerd does after a failure of its own
	for i in 4 5 6 7 8 9 10 11; do
		call Shutdown "r$round-$i" >/dev/null
		raw_delete "r$round-$i" >/dev/null || [ -z "$PODSHIM" ] || bad="$bad delete:$i"
		raw_unbundle "r$round-$i"
	done
	is "$bad$(raw_state r$round-3)" "$RUNNING" "round $round: giving up the others harms nobody"
	raw_end "r$round-0" "r$round-1" "r$round-2" "r$round-3"
	wait_for 10 test ! -e "$(sock_path g$round)" || not_ok "round $round: the shim stays"
done
finish

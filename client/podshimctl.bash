# bash completion for podshimctl                            -*- shell-script -*-
# The program itself knows its commands, their options, and what pods there are.

_podshimctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} answer kind
	COMPREPLY=()
	mapfile -t answer < <(podshimctl complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	kind=${answer[0]-}
	[ "$cur" != = ] || cur=
	case $kind in
	words) COMPREPLY=("${answer[@]:1}") ;;
	files) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	dirs) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	esac
	if [ "$kind" = files ] || [ "$kind" = dirs ]; then
		compopt -o filenames 2>/dev/null || true
	fi
}

complete -F _podshimctl podshimctl

# bash completion for podshimctl                            -*- shell-script -*-

_podshimctl_names() { # COLUMN...: of `list` or `tasks`, without what is not a plain name
	podshimctl "$1" 2>/dev/null | awk -v c="$2" 'NR > 1 && $c ~ /^[A-Za-z0-9._-]+$/ { print $c }'
}

_podshimctl() {
	local cur prev word verb='' i
	local verbs='list tasks inspect upgrade restart crashes dump version help'
	local options='-o --output -n --namespace --all --jobs --worker --state-root -v --version -h --help'

	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	case $prev in
	-o | --output)
		mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$cur")
		return
		;;
	-n | --namespace)
		mapfile -t COMPREPLY < <(compgen -W "$(_podshimctl_names list 1)" -- "$cur")
		return
		;;
	--jobs) return ;;
	--worker)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--state-root)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-o | --output | -n | --namespace | --state-root | --jobs | --worker) ((i++)) ;;
		-*) ;;
		*)
			verb=$word
			break
			;;
		esac
	done
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
	else
		case $verb in
		tasks | upgrade | restart | crashes | dump)
			mapfile -t COMPREPLY < <(compgen -W "$(_podshimctl_names list 2)" -- "$cur")
			;;
		inspect)
			mapfile -t COMPREPLY < <(compgen -W "$(_podshimctl_names list 2)
$(_podshimctl_names tasks 3)" -- "$cur")
			;;
		esac
	fi
}

complete -F _podshimctl podshimctl

# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of `vellum` for bash: commands and options as --help says them, and
# the names of volumes. Installed as share/bash-completion/completions/vellum.

# The commands, or the options, that `vellum WORD... --help` names.
_vellum_help() {
  local what=$1
  shift
  "${_vellum_program:-vellum}" "$@" --help 2>/dev/null | awk -v what="$what" '
    /^[^ ]/ { commands = /^Subcommands:/ }
    what == "commands" && commands && /^  [^ ]/ { sub(/,.*/, "", $1); print $1 }
    what == "options" && /^ +-/ { n = split($1, names, ","); for (i = 1; i <= n; ++i) print names[i] }'
}

# The volumes of the library that the words before the cursor mean.
_vellum_volumes() {
  local i mount=${VELLUM_MOUNT:-}
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} != --mount ]] || mount=${COMP_WORDS[i + 1]}
  done
  if [[ -z $mount ]]; then
    "${_vellum_program:-vellum}" media --json 2>/dev/null |
      grep -o '"volume": *"[^"]*"' | sed 's/.*"\(.*\)"/\1/'
  elif [[ -d $mount/.vellum/volumes ]]; then
    ls "$mount/.vellum/volumes"
  fi
}

_vellum() {
  local current=${COMP_WORDS[COMP_CWORD]} command='' child='' i words
  local _vellum_program=${COMP_WORDS[0]}
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --mount | --library) ((++i)) ;;
      -*) ;;
      medium) command=medium ;;
      *)
        if [[ -z $command ]]; then
          command=${COMP_WORDS[i]}
        elif [[ $command == medium && -z $child ]]; then
          child=${COMP_WORDS[i]}
        fi
        ;;
    esac
  done
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    --mount | --library | --image | --dock | --changer)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
  esac
  if [[ $current == -* ]]; then
    # shellcheck disable=SC2086  # no word if there is none
    words=$(_vellum_help options $command $child; _vellum_help options)
  elif [[ -z $command ]]; then
    words=$(_vellum_help commands)
  elif [[ $command == medium && -z $child ]]; then
    words=$(_vellum_help commands medium)
  else
    case $command in
      init | doctor | mount | unmount | medium | dump-catalog | which)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
      *) words=$(_vellum_volumes) ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _vellum vellum

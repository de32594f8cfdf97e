#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# X9: bash completes commands, options and volumes. VELLUM is the program.
set -euo pipefail
: "${VELLUM:?the program}"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/vellum-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
# No daemon of this machine is asked.
unset VELLUM_MOUNT
export VELLUM_LIBRARY=$work/none
# shellcheck source=tools/completion.bash
source "$top/tools/completion.bash"

# completes WORD... to what: what stands behind the words is completed so.
completes() {
  local expected=${*: -1}
  COMP_WORDS=("$VELLUM" "${@:1:$#-2}")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _vellum || true  # bash does not ask how it ended
  if [[ "${COMPREPLY[*]}" != "$expected" ]]; then
    echo "FAILED: ${COMP_WORDS[*]:1}: completed as: ${COMPREPLY[*]}" >&2
    echo "instead of: $expected" >&2
    exit 1
  fi
}

completes setc to setcopyrange
completes --json dump to dump-catalog
completes medium "" to add
completes medium add --write to "--write-once --write-protected"
completes copy --no- to "--no-verify --no-wipe"
completes copy --jso to --json
completes reindex --re to --reset
mkdir -p "$work/mnt/.vellum/volumes/"{PHOTOS,PAPERS,MUSIC}
completes --mount "$work/mnt" copy P to "PAPERS PHOTOS"
VELLUM_MOUNT=$work/mnt completes info M to MUSIC
completes mount "$work/m" to "$work/mnt"
completes find --volume "" to ""

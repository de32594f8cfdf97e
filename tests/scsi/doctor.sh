#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# doctor.sh VELLUM: in a guest (lab.py), what `vellum doctor` finds out about the
# jukebox, with a medium in a drive, with empty drives, and with a drive that is
# named wrongly.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
vellum=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "doctor.sh: $*" >&2
  cat "$work"/out* >&2
  exit 1
}
expect() { grep -Eq -- "$2" "$work/$1" || fail "$1 has no line like: $2"; }

"$vellum" init "$work/library" --changer /dev/sg0 \
  --drive 256=/dev/sg1 --drive 257=/dev/sg2
"$vellum" doctor "$work/library" --size 1Mi > "$work/out.full" ||
  fail "problems with media in the drives"
expect out.full 'note +drive 256: D00000L1 is in it and stays there'
expect out.full 'ok +drive 256: reads '

mtx -f /dev/sg0 unload 1 0
mtx -f /dev/sg0 unload 2 1
"$vellum" doctor "$work/library" --write-test D00001L1 --clear --size 4Mi \
  > "$work/out.empty" || fail "problems with empty drives"
expect out.empty 'ok +drive 257: is /dev/sg2: named in library.toml'
expect out.empty 'ok +drive 256: D00001L1 moved from 1025 to 256 '
expect out.empty 'ok +drive 257: D00001L1 moved from 257 to 1025 '
expect out.empty 'drive 257: writes .* what was written is there'
expect out.empty 'rewritable, .* write unit [0-9]+ bytes'
mtx -f /dev/sg0 status > "$work/out.mtx"
expect out.mtx 'Storage Element 2:Full :VolumeTag=D00001L1'
expect out.mtx 'Data Transfer Element 0:Empty'

expect out.empty 'ok +changer: its door can be locked .*: no'
expect out.empty 'ok +drive 256: reads that pass its cache: '
expect out.empty 'ok +drive 256: zeros: '
expect out.empty 'ok +changer: takes media out of drives without an eject'

sed -i 's/^eject = .*/eject = "always"/' "$work/library/library.toml"
"$vellum" doctor "$work/library" --size 1Mi > "$work/out.eject" ||
  fail "problems with media that are ejected"
expect out.eject 'ok +drive 257: D00000L1 moved from 257 to 1024 '
expect out.eject 'ok +changer: .* each was ejected before'

code=0
"$vellum" init "$work/wrong" --changer /dev/sg0 --drive 256=/dev/sg7 \
  --drive 257=/dev/sg2
"$vellum" doctor "$work/wrong" --size 1Mi > "$work/out.wrong" || code=$?
[[ $code == 4 ]] || fail "exit code $code for a drive without device"
expect out.wrong 'problem +drive 256: drive 256 has no device: .*/dev/sg7'
expect out.wrong 'ok +drive 257: .* moved from 257'
echo "doctor.sh: ok"

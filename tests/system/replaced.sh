#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Media that hold something else than the catalog says: images that were
# replaced or swapped, formats and daemons that were killed.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
mkdir "$mnt"

daemon_pid() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$mnt/.vellum/status.json"; }

# Kills the daemon and starts another one.
kill_and_restart() {
  kill -9 "$1"
  while kill -0 "$1" 2>/dev/null; do sleep 0.01; done
  vellum unmount "$mnt" >/dev/null 2>&1 || true
  check "mount after a kill" vellum mount "$lib" "$mnt"
}

check "init" vellum init "$lib" --slots 6 --media 5 --capacity 32M
check "mount" vellum mount "$lib" "$mnt"
for n in 1 2 3; do
  check "format" vellum format "V0000$n" --name "VOL$n"
  echo "data $n" >"$mnt/VOL$n/file"
done

section "O16: a blank image in place of a volume"
check "unmount" vellum unmount "$mnt"
mv "$lib/media/V00003.img" "$work/kept"
truncate -s "$(stat -c %s "$work/kept")" "$lib/media/V00003.img"
check "mount" vellum mount "$lib" "$mnt"
check "it is listed" test -e "$mnt/VOL3/file"
errno_is ENOMEDIUM open "$mnt/VOL3/file"
errno_is ENOMEDIUM create "$mnt/VOL3/new"
grep -q 'VOL3.*V00003.*blank' "$mnt/.vellum/alerts" || fail "no alert"
grep -q 'V00003.*VOL3' "$lib/state/daemon.log" || fail "no line in the log"
check "the medium can be used" vellum copy VOL1 --to V00003 --wait
check "unmount" vellum unmount "$mnt"
mv "$work/kept" "$lib/media/V00003.img"
check "mount" vellum mount "$lib" "$mnt"
check "inventory" vellum inventory --all
check "it is back" grep -q "data 3" "$mnt/VOL3/file"

section "O11: two images were swapped"
check "unmount" vellum unmount "$mnt"
mv "$lib/media/V00001.img" "$work/kept"
mv "$lib/media/V00002.img" "$lib/media/V00001.img"
mv "$work/kept" "$lib/media/V00002.img"
check "mount" vellum mount "$lib" "$mnt"
errno_is ENOMEDIUM open "$mnt/VOL1/file"
grep -q 'VOL1.*V00001' "$mnt/.vellum/alerts" || fail "no alert"
check "inventory" vellum inventory
for n in 1 2; do
  check "VOL$n is found" grep -q "data $n" "$mnt/VOL$n/file"
done
vellum info VOL1 | grep -q V00002 || fail "VOL1 is not on V00002"

section "I15: a format with clear that is killed promises nothing"
for round in 1 2 3 4 5 6 7 8; do
  vellum format V00004 --name OLD --clear >/dev/null
  echo old >"$mnt/OLD/file"
  check "sync" vellum sync
  pid=$(daemon_pid)
  vellum format V00004 --name "NEW" --clear >/dev/null 2>&1 &
  # Somewhere within the few milliseconds that it takes.
  sleep "0.0$((round * 4 % 10))$((round % 3))"
  kill_and_restart "$pid"
  wait $! || true
  place=$(vellum media --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if row["volume"] == "OLD": print(row["medium"])')
  if [[ $place == V00004 ]]; then
    check "round $round: what is promised is there" \
      grep -q old "$mnt/OLD/file"
  fi
  check "inventory" vellum inventory --all
  rows=$(vellum media --json)
  if grep -q '"volume":"OLD"' <<<"${rows//: /:}"; then
    check "round $round: OLD is there" grep -q old "$mnt/OLD/file"
  fi
  # Whatever is left can be formatted.
  check "format" vellum format V00004 --name OLD --clear
  [[ -z $(ls "$mnt/OLD") ]] || fail "OLD is not empty"
done

section "I3: a daemon that was killed leaves no volume open"
echo more >"$mnt/VOL3/more"
check "sync" vellum sync
kill_and_restart "$(daemon_pid)"
check "unmount" vellum unmount "$mnt"
for n in 1 2 3; do
  image=$(printf '%s/media/V%05d.img' "$lib" "$n")
  check "V0000$n is closed" vellum info --image "$image"
  info=$(udfinfo "$image" 2>&1)
  if grep -qi inconsistent <<<"$info"; then
    fail "V0000$n was left open: $info"
  fi
done

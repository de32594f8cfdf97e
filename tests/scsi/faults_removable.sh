#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: somebody swaps the medium of a drive under the daemon. The drive
# is a removable disk beside the jukebox; the robot moves media in and out as if
# it were the jukebox's own.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"
: "${VELLUM_SCSI_REMOVABLE:?the removable disk}"

check "insert" ask_host insert 0
check "init" vellum init "$lib" --changer "$VELLUM_SCSI_CHANGER" \
  --drive "256=$VELLUM_SCSI_REMOVABLE"
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
head -c 2M /dev/urandom >"$work/data"
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
check "sync" vellum sync ORIGINAL

section "a medium in use cannot be taken out"
refuses 1 'locked' ask_host eject

section "it is torn out, and another one put in: nothing is written there"
check "tear out" ask_host tear-out
check "insert" ask_host insert 1
# Either it was noticed already, and nothing is accepted, or what was accepted
# cannot be committed, which the next sync tells, whenever it comes: it names
# the volume.
if cp "$work/data" "$mnt/ORIGINAL/second" 2>"$work/said"; then
  if vellum sync ORIGINAL >>"$work/said" 2>&1; then
    fail "written to another medium: $(cat "$work/said")"
  fi
  grep -q ORIGINAL "$work/said" || fail "not said of what: $(cat "$work/said")"
fi
checks=$((checks + 1))
cat "$work/said"
check "nothing written" ask_host is-zero 1

section "a copy tells that it is another medium"
job=$(start_job "$mnt" "copy ORIGINAL mode=image to=D00003L1")
[[ $(job_end "$mnt" "$job") == failed ]] || fail "the copy did not fail"
job_says "$job" NO_MEDIUM D00000L1 "volume ORIGINAL is not there any more"
check "nothing written" ask_host is-zero 1
refuses 1 'ORIGINAL is not on medium D00000L1' vellum copy ORIGINAL --to D00003L1

section "with the right one in the drive the volume is there again"
check "tear out" ask_host tear-out
check "insert" ask_host insert 0
# Who uses it first may find out that what was in the drive is gone.
cat "$mnt/ORIGINAL/data" >"$work/seen" 2>&1 || true
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"

section "and so it is after a restart, though the catalog has it nowhere"
check "tear out" ask_host tear-out
check "insert" ask_host insert 1
# The first copy sees that the medium is gone, the second what is there instead.
for _ in 1 2; do
  job=$(start_job "$mnt" "copy ORIGINAL mode=image to=D00003L1")
  [[ $(job_end "$mnt" "$job") == failed ]] || fail "the copy did not fail"
done
job_says "$job" NO_MEDIUM "volume ORIGINAL is not there any more"
check "tear out" ask_host tear-out
check "insert" ask_host insert 0
vellum unmount --force "$mnt" || true
check "mount" vellum mount "$lib" "$mnt"
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"
check "fsck" vellum fsck ORIGINAL --data
check "unmount" vellum unmount "$mnt"

section "the same disk as the dock of a manual library, a block device"
check "tear out" ask_host tear-out
modprobe sd_mod
blocks=/sys/class/scsi_generic/${VELLUM_SCSI_REMOVABLE#/dev/}/device/block
until dock=/dev/$(ls "$blocks" 2>/dev/null) && [[ -b $dock ]]; do
  sleep 0.05
done
check "init" vellum init "$work/shelf" --manual --dock "$dock" --slots 2 \
  --media 2
check "mount" vellum mount "$work/shelf" "$mnt"
# requested TAG: until it is asked for, by a request whose number is printed, for
# the command with the process $asked.
requested() {
  until vellum requests --json | python3 -c '
import json, sys
rows = [r for r in json.load(sys.stdin) if r["medium"] == sys.argv[1]]
print(rows[0]["request"]) if rows else sys.exit(1)' "$1" 2>/dev/null; do
    kill -0 "$asked" 2>/dev/null ||
      fail "nobody was asked for $1: $(cat "$work/said")"
    sleep 0.1
  done
}
vellum format V00001 --name SHELVED >"$work/said" 2>&1 &
asked=$!
request=$(requested V00001)
check "insert" ask_host insert 2
until vellum confirm "$request" >"$work/confirmed" 2>&1; do
  grep -q 'no medium\|empty' "$work/confirmed" || fail "$(cat "$work/confirmed")"
  sleep 0.1
done
wait "$asked" || fail "format: $(cat "$work/said")"
check "cp" cp "$work/data" "$mnt/SHELVED/data"
check "unmount" vellum unmount "$mnt"  # so that nothing is cached
check "mount" vellum mount "$work/shelf" "$mnt"
check "it is known by its label" cmp "$work/data" "$mnt/SHELVED/data"
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$work/shelf" "$mnt"
check "tear out" ask_host tear-out
check "insert another one" ask_host insert 1
cmp "$work/data" "$mnt/SHELVED/data" >"$work/said" 2>&1 &
asked=$!
requested V00001 >"$work/number"
check "tear out" ask_host tear-out
check "insert" ask_host insert 2
wait "$asked" || fail "not all is there: $(cat "$work/said")"
check "nothing written" ask_host is-zero 1
check "fsck" vellum fsck SHELVED --data
check "unmount" vellum unmount "$mnt"

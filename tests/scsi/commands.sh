#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: which commands reach the devices, as the kernel traces them
# (scsi_dispatch_cmd_start), and what mtx sees then: the changer is told to look
# at its elements and to lock its door, drives eject before moves where that is
# the rule, what was copied is read past the cache, WRITE SAME is asked for
# before it is sent, a sync flushes what was written, and two commands are under
# way at a time. H3, H8, O7.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"

tracing=/sys/kernel/tracing
[[ -e $tracing/trace ]] || mount -t tracefs nodev "$tracing"
echo 8192 >"$tracing/buffer_size_kb"
echo 1 >"$tracing/events/scsi/scsi_dispatch_cmd_start/enable"
echo 1 >"$tracing/events/scsi/scsi_dispatch_cmd_done/enable"

# What came since, one command a line: the number of the device (0 is the
# changer, 1 and 2 are its drives), then the bytes of the command; a line
# "N done" when the device has answered one.
listen() { : >"$tracing/trace"; }
heard() {
  sed -nE \
    's/.*scsi_dispatch_cmd_start: .* id=([0-9]+) .* raw=([0-9a-f ]+)\).*/\1 \2/p
     s/.*scsi_dispatch_cmd_done: .* id=([0-9]+) .*/\1 done/p' \
    "$tracing/trace" >"$work/heard"
}
# came PATTERN..., in this order; never PATTERN: since `listen`.
came() {
  local line pattern
  heard
  exec {lines}<"$work/heard"
  for pattern in "$@"; do
    while true; do
      read -r -u "$lines" line ||
        fail "no (further) command $pattern: $(grep -v done "$work/heard" |
          tail -n 40)"
      [[ ! $line =~ $pattern ]] || break
    done
    checks=$((checks + 1))
  done
  exec {lines}<&-
}
never() {
  heard
  ! grep -E -- "$1" "$work/heard" >&2 || fail "a command $1 came"
  checks=$((checks + 1))
}
# Most commands of device N that were under way at a time.
most_under_way() {
  heard
  awk -v n="$1" '$1 == n { now += $2 == "done" ? -1 : 1 }
    now > most { most = now } END { print most + 0 }' "$work/heard"
}

init_library
check "mount" vellum mount "$lib" "$mnt"
agree

section "INITIALIZE ELEMENT STATUS, of all or of a range"
mtx -f "$VELLUM_SCSI_CHANGER" status >"$work/before"
listen
check "scan" vellum inventory --scan
came '^0 07 ' '^0 b8 '
agree
listen
check "scan" vellum inventory --scan --range 1024-1029
# RANGE, from element 1024 on, 6 of them; then they are read.
came '^0 37 01 04 00 00 00 00 06 00 00' '^0 b8 '
mtx -f "$VELLUM_SCSI_CHANGER" status >"$work/after"
check "mtx sees what it saw" diff "$work/before" "$work/after"
listen
refuses 1 "no element 1032" vellum inventory --scan --range 1024-9999
never '^0 (07|37|e7) '

section "what somebody moved while nobody looked is found by a scan"
check "mtx" mtx -f "$VELLUM_SCSI_CHANGER" transfer 6 8
check "scan" vellum inventory --scan
agree
check "back" mtx -f "$VELLUM_SCSI_CHANGER" transfer 8 6
check "scan" vellum inventory --scan --range 1024-1031
agree

section "PREVENT and ALLOW MEDIUM REMOVAL of the changer, which has none"
listen
refuses 1 "PREVENT MEDIUM REMOVAL.*5/20/00" vellum door lock
came '^0 1e 00 00 00 01 '
refuses 1 "5/20/00" vellum door unlock
came '^0 1e 00 00 00 01 ' '^0 1e 00 00 00 00 '
[[ $(vellum status --json | grep -c '"door_locked": *false') == 1 ]] ||
  fail "a door that has no lock is locked"

section "WRITE SAME is asked for first"
listen
check "format" vellum format D00000L1 --name ORIGINAL --clear
# REPORT SUPPORTED OPERATION CODES of WRITE SAME(10) and (16), the page of
# limits; then one of them.
came '^[12] a3 0c 01 41 ' '^[12] a3 0c 01 93 ' '^[12] 12 01 b0 ' \
  '^[12] (41|93) '

section "what was copied is read past the cache, by two commands at a time"
head -c 8M /dev/urandom >"$work/data"
listen
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
check "sync" vellum sync ORIGINAL
# SYNCHRONIZE CACHE.
came '^[12] (2a|8a|aa) ' '^[12] 35 '
listen
run_job "$mnt" "copy ORIGINAL mode=streaming to=D00002L1"
# DPO and FUA.
came '^[12] (2a|8a|aa) ' '^[12] (28|88|a8) 18 '
most=$(most_under_way 1)
[[ $most -ge 2 ]] || most=$(most_under_way 2)
[[ $most == 2 ]] || fail "$most commands of a drive were under way at a time"
check "compare" vellum compare ORIGINAL D00002L1

section "no medium is ejected where the robot takes it as it is"
listen
check "unmount" vellum unmount "$mnt"
came '^0 a5 '
never '^[12] 1b 00 00 00 0[23] '

section "eject = \"always\": its drive ejects each medium before it is moved"
sed -i 's/^eject = .*/eject = "always"/' "$lib/library.toml"
check "mount" vellum mount "$lib" "$mnt"
check "load" vellum load D00000L1 --drive 256
check "read" cmp "$work/data" "$mnt/ORIGINAL/data"
agree
listen
check "unload" vellum unload D00000L1
# Removal is allowed, the drive ejects, and the robot takes it from 256 to 1024.
came '^1 1e 00 00 00 00 ' '^1 1b 00 00 00 02 ' '^0 a5 00 00 .* 01 00 04 00 '
never '^2 1b '
agree
[[ $(element_of D00000L1) == "slot 1" ]] ||
  fail "D00000L1 is in $(element_of D00000L1)"
# Loads eject nothing, and the drive takes the next one.
listen
check "load" vellum load D00000L1 --drive 256
never '^[12] 1b 00 00 00 0[23] '
check "read" cmp "$work/data" "$mnt/ORIGINAL/data"
agree
check "unmount" vellum unmount "$mnt"
empty=$(mtx -f "$VELLUM_SCSI_CHANGER" status | grep -c "Transfer.*Empty")
[[ $empty == 2 ]] || fail "a medium stayed in a drive"

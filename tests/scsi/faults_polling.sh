#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: the kernel's own disk driver is bound to the drive, too, looks
# for a change of the medium ten times a second, and so is told of the one that
# the daemon is to notice. Without the guard of the block device
# (media/scsi/medium_guard.h) the daemon writes to another medium.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"
: "${VELLUM_SCSI_REMOVABLE:?the removable disk}"

modprobe sd_mod
blocks=/sys/class/scsi_generic/${VELLUM_SCSI_REMOVABLE#/dev/}/device/block
until disk=$(ls "$blocks" 2>/dev/null) && [[ -b /dev/$disk ]]; do sleep 0.05; done
echo 100 >"/sys/block/$disk/events_poll_msecs"
# The kernel counts no further change before somebody opens the device, as udev
# does.
look() { dd if="/dev/$disk" of=/dev/null iflag=nonblock count=0 status=none; }
# noticed COMMAND...: afterwards the kernel was told of it, before the daemon.
noticed() {
  local before
  before=$(<"/sys/block/$disk/diskseq")
  check "$*" "$@"
  until (($(<"/sys/block/$disk/diskseq") > before)); do sleep 0.05; done
  check "look" look
}

check "look" look
noticed ask_host insert 0
check "init" vellum init "$lib" --changer "$VELLUM_SCSI_CHANGER" \
  --drive "256=$VELLUM_SCSI_REMOVABLE"
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
head -c 2M /dev/urandom >"$work/data"
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
check "sync" vellum sync ORIGINAL

section "who opens and closes the block device, as udev does, unlocks nothing"
check "read" dd if="/dev/$disk" of="$work/seen" bs=64k count=1 status=none
refuses 1 'locked' ask_host eject

section "nobody else has it for himself, as a mount would"
refuses 1 'busy' python3 -c 'import os, sys
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)' "/dev/$disk"

section "the kernel is told of another medium: nothing is written there"
noticed ask_host tear-out
noticed ask_host insert 1
# The copy fails, or the sync does.
if cp "$work/data" "$mnt/ORIGINAL/second" 2>"$work/said" &&
  vellum sync ORIGINAL >>"$work/said" 2>&1; then
  ask_host is-zero 1 || true
  fail "written to another medium: $(cat "$work/said")"
fi
grep -q ORIGINAL "$work/said" || fail "not said of what: $(cat "$work/said")"
checks=$((checks + 1))
cat "$work/said"
check "nothing written" ask_host is-zero 1

section "with the right one in the drive the volume is there again"
noticed ask_host tear-out
noticed ask_host insert 0
# Who uses it first may find out that what was in the drive is gone.
cat "$mnt/ORIGINAL/data" >"$work/seen" 2>&1 || true
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"
check "fsck" vellum fsck ORIGINAL --data
# If the copy failed, this one tells once what is lost.
vellum sync ORIGINAL >"$work/said" 2>&1 ||
  grep -q 'changes since its last commit are lost' "$work/said" ||
  fail "$(cat "$work/said")"

section "what the kernel sees late of a medium that is in use is no change"
check "cp" cp "$work/data" "$mnt/ORIGINAL/third"
check "sync" vellum sync ORIGINAL
check "unload" vellum unload D00000L1
check "load" vellum load D00000L1 --drive 256
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/third"
check "unmount" vellum unmount "$mnt"
check "it is free again" python3 -c 'import os, sys
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)' "/dev/$disk"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: media that are missing, unreadable, write protected or pulled
# at, while a daemon uses them. Each fault has its own error, and nothing is lost.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"

init_library
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
head -c 4M /dev/urandom >"$work/data"
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
echo "small" >"$mnt/ORIGINAL/small"
check "sync" vellum sync ORIGINAL

section "a medium that the robot does not find"
check "hide" ask_host hide D00002L1
refuses 1 '4/15/01' vellum format D00002L1 --name MISSING
[[ $(element_of D00002L1) == "slot 3" ]] || fail "D00002L1 moved"
agree
check "show" ask_host show D00002L1
check "format" vellum format D00002L1 --name MISSING
agree

section "a medium in use cannot be pulled out"
check "read" cmp "$work/data" "$mnt/ORIGINAL/data"
drive=$(drive_of D00000L1)
device=$(device_of "$drive")
# 5/53/02: removal is prevented.
refuses 1 'Additional Sense Code = 53' \
  mtx -f "$VELLUM_SCSI_CHANGER" unload 1 "$((drive - 256))"
refuses 5 'removal prevented' sg_start -v --eject "$device"
check "read" cmp "$work/data" "$mnt/ORIGINAL/data"
agree

section "a write protected target: the job fails before it writes"
for drive in 256 257; do check "protect" ask_host protect "$drive" 1; done
job=$(start_job "$mnt" "copy ORIGINAL mode=image to=D00003L1")
[[ $(job_end "$mnt" "$job") == failed ]] || fail "the copy did not fail"
job_says "$job" WRITE_PROTECTED
for drive in 256 257; do check "protect" ask_host protect "$drive" 0; done
# It is remembered until a drive sees that it is over.
check "look" vellum --mount "$mnt" load D00003L1
run_job "$mnt" "copy ORIGINAL mode=image to=D00003L1"
agree

section "a medium that becomes write protected while it is written"
check "write" cp "$work/data" "$mnt/ORIGINAL/before"
check "sync" vellum sync ORIGINAL
drive=$(drive_of D00000L1)
check "protect" ask_host protect "$drive" 1
# Whether it is told so or not, nothing of it can be committed: who syncs is
# told, with the sense of the drive. Nothing more is accepted.
cp "$work/data" "$mnt/ORIGINAL/lost" 2>"$work/said" ||
  grep -q "Read-only file system" "$work/said" || fail "$(cat "$work/said")"
refuses 1 '7/27/00' vellum sync ORIGINAL
grep -q 7/27/00 "$mnt/.vellum/alerts" || fail "$(cat "$mnt/.vellum/alerts")"
if echo more 2>/dev/null >"$mnt/ORIGINAL/more"; then
  fail "a volume that takes nothing took a file"
fi
check "what is there is read" cmp "$work/data" "$mnt/ORIGINAL/before"
check "what is there is read" cmp "$work/data" "$mnt/ORIGINAL/data"
agree
check "protect" ask_host protect "$drive" 0
# It is what was committed last, and takes changes again, when it was loaded anew.
refuses 1 'ORIGINAL.*lost' vellum unmount "$mnt"
check "mount" vellum mount "$lib" "$mnt"
check "what was synced" cmp "$work/data" "$mnt/ORIGINAL/before"
[[ ! -e $mnt/ORIGINAL/lost ]] || fail "what was lost is there"
check "write" cp "$work/data" "$mnt/ORIGINAL/after"
check "sync" vellum sync ORIGINAL
check "fsck" vellum fsck ORIGINAL
check "rm" rm "$mnt/ORIGINAL/before" "$mnt/ORIGINAL/after"
check "sync" vellum sync ORIGINAL
agree

section "a medium that becomes unreadable under load"
check "unmount" vellum unmount "$mnt"  # so that nothing is cached
check "mount" vellum mount "$lib" "$mnt"
check "load" cat "$mnt/ORIGINAL/small"
check "cut" ask_host cut D00000L1
if cat "$mnt/ORIGINAL/data" >"$work/seen" 2>"$work/said"; then
  fail "what cannot be read was read"
fi
grep -q "Input/output error" "$work/said" || fail "$(cat "$work/said")"
job=$(start_job "$mnt" "copy ORIGINAL mode=image to=D00004L1")
[[ $(job_end "$mnt" "$job") == failed ]] || fail "the copy did not fail"
job_says "$job" DEVICE_ERROR 3/11/00
agree
check "mend" ask_host mend D00000L1
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$lib" "$mnt"
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"
run_job "$mnt" "copy ORIGINAL mode=image to=D00004L1"
check "compare" vellum compare ORIGINAL D00004L1
check "compare" vellum compare ORIGINAL D00003L1
check "unmount" vellum unmount "$mnt"
for tag in D00000L1 D00003L1 D00004L1; do
  check "fsck" ask_host fsck "$tag"
done

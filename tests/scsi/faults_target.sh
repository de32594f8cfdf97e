#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: the changer and its drives die in the middle of a copy, hang
# during a move, and the daemon dies during a move. Afterwards everything is
# where the changer says, and nothing that was durable is lost.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"

kill_daemon() {
  kill -9 "$(awk '$1 == "pid" {print $2}' "$mnt/.vellum/status")"
  check "unmount what is left" vellum unmount "$mnt"
}

init_library
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
head -c 30M /dev/urandom >"$work/data"
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
check "sync" vellum sync ORIGINAL
run_job "$mnt" "copy ORIGINAL mode=image to=D00002L1"

section "the daemon is killed while the robot has a command"
check "suspend" ask_host suspend
vellum move D00003L1 1030 >/dev/null 2>&1 &
until changer_is_busy; do sleep 0.05; done
# It answers whoever needs neither robot nor drives.
for table in status drives media jobs; do
  check "the daemon answers" timeout 10 "$VELLUM" "$table"
done
kill_daemon
check "resume" ask_host resume
wait || true
# While nobody looked, the robot ended a move, or two.
check "mtx" mtx -f "$VELLUM_SCSI_CHANGER" transfer 6 8
check "mount" vellum mount "$lib" "$mnt"
[[ $(element_of D00003L1) =~ ^"slot "[47]$ ]] ||
  fail "D00003L1 is in $(element_of D00003L1)"
[[ $(element_of D00005L1) == "slot 8" ]] || fail "D00005L1 was sent back"
agree
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"

section "the daemon is killed with media in its drives"
check "read" cmp "$work/data" "$mnt/ORIGINAL/data"
kill_daemon
[[ $(element_of D00000L1) == "drive "* ]] || fail "D00000L1 is not in a drive"
check "mount" vellum mount "$lib" "$mnt"
agree
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"

section "the target dies in the middle of a copy"
job=$(start_job "$mnt" "copy ORIGINAL mode=streaming to=D00004L1")
wait_for_state "$job" "streaming|writing|verifying"
check "kill" ask_host kill
check "start" ask_host start
state=$(job_end "$mnt" "$job")
[[ $state == failed ]] || fail "the copy is $state"
job_says "$job" NO_MEDIUM 2/3A/00
check "reindex" vellum reindex --sync
agree
# Its drives are empty now: what was loaded is loaded anew, without a restart.
check "the backup of before" vellum compare ORIGINAL D00002L1
run_job "$mnt" "copy ORIGINAL mode=streaming to=D00004L1"
check "compare" vellum compare ORIGINAL D00004L1
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"
check "unmount" vellum unmount "$mnt"
for tag in D00000L1 D00002L1 D00004L1; do
  check "fsck" ask_host fsck "$tag"
done

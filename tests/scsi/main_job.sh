#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: the job that Vellum is for, with media that a robot moves. The
# trees ($TREES/first, second, third) come from the host, which reads the media
# when this is done (main_job.py). H8: mtx, sg_inq and Vellum agree (agree.py).
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"
: "${TREES:?the folder of the trees}"

# identical PRIMARY BACKUP: every region of the primary was compared, now.
identical() {
  local text
  text=$(vellum compare "$1" "$2" --json) ||
    fail "$2 is not identical to $1: $text"
  python3 -c '
import json, sys
job = json.loads(sys.argv[1])["result"]
sys.exit(job["regions_changed"] != 0 or job["regions_compared"] == 0)
' "$text" || fail "$1 changed since $2 was made, or nothing was compared: $text"
  checks=$((checks + 1))
}

make_equal() {
  check "rsync" rsync -aHAX --modify-window=-1 --delete "$1/" "$2/"
}

section "init, with the media that are in the drives"
# The target cuts the identifier of its last drive: that one has to be named.
check "init" vellum init "$lib" --changer "$VELLUM_SCSI_CHANGER" \
  --drive "${VELLUM_SCSI_DRIVES##*,}"
check "mount" vellum mount "$lib" "$mnt"
agree
check "inventory" vellum inventory
agree

section "a primary volume"
check "format" vellum format D00000L1 --name ORIGINAL
refuses 1 "holds volume ORIGINAL" vellum format D00000L1 --name AGAIN
check "cp -a" cp -a "$TREES/first/." "$mnt/ORIGINAL/"
check "sync" vellum sync ORIGINAL
same_trees "$TREES/first" "$mnt/ORIGINAL"
agree

section "one-drive image copy, two-drive streaming copy"
run_job "$mnt" "copy ORIGINAL mode=image to=D00002L1"
agree
run_job "$mnt" "copy ORIGINAL mode=streaming to=D00003L1"
agree
identical ORIGINAL D00002L1
identical ORIGINAL D00003L1

section "incremental copy of what changed"
make_equal "$TREES/second" "$mnt/ORIGINAL"
check "sync" vellum sync ORIGINAL
run_job "$mnt" "copy ORIGINAL mode=incremental policy=minicopy to=D00002L1"
identical ORIGINAL D00002L1
agree

section "a copy that ends in the import/export slot"
check "move" vellum move D00004L1 768
agree
run_job "$mnt" "copy ORIGINAL mode=image to=768"
agree
[[ $(element_of D00004L1) == "slot 9" ]] || fail "D00004L1 is not where it was"

section "moves by hand, behind Vellum's back, are noticed"
check "mtx" mtx -f "$VELLUM_SCSI_CHANGER" transfer 6 8
refuses 1 'element 1029 full' python3 -B "$scsi/agree.py" "$mnt"
check "reindex" vellum reindex --sync
agree
check "back" mtx -f "$VELLUM_SCSI_CHANGER" transfer 8 6
check "reindex" vellum reindex --sync
agree

section "nobody can damage a backup; it is read at a mount of its own"
refuses 1 'Read-only file system' touch "$mnt/D00002L1/new file"
refuses 1 'Read-only file system' rm -f "$mnt/D00002L1/a/small"
elsewhere=$work/elsewhere
mkdir "$elsewhere"
check "mount --volume" vellum mount --volume D00002L1 "$elsewhere"
same_trees "$TREES/second" "$elsewhere"
refuses 1 'Read-only file system' touch "$elsewhere/new file"
check "unmount" vellum unmount "$elsewhere"
agree

section "the primary's medium is destroyed"
check "unmount" vellum unmount "$mnt"
check "hide" ask_host hide D00000L1
check "mount" vellum mount "$lib" "$mnt"
refuses 1 'small' cat "$mnt/ORIGINAL/a/small"
agree

section "convert, and go on with the backup"
check "convert" vellum convert D00004L1 --name RESCUED
same_trees "$TREES/second" "$mnt/RESCUED"
make_equal "$TREES/third" "$mnt/RESCUED"
check "sync" vellum sync RESCUED
agree

section "unmount: every medium goes home, and the next start finds it"
check "unmount" vellum unmount "$mnt"
[[ -z $(mtx -f "$VELLUM_SCSI_CHANGER" status | grep "Transfer.*Full") ]] ||
  fail "a medium stayed in a drive"
check "mount" vellum mount "$lib" "$mnt"
agree
[[ $(ls "$mnt") == $'D00002L1\nD00003L1\nORIGINAL\nRESCUED' ]] ||
  fail "volumes: $(ls "$mnt")"
same_trees "$TREES/third" "$mnt/RESCUED"
check "unmount" vellum unmount "$mnt"
check "show" ask_host show D00000L1  # the host reads it

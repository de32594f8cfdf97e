#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: image and streaming copies onto blank discs. One drive is for
# disks, where the original stays, the other one for discs. Each disc is closed,
# and takes no second copy. The host reads them afterwards (recordable.py).
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"
: "${TREES:?the folder of the trees}"

init_library
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
check "cp -a" cp -a "$TREES/first/." "$mnt/ORIGINAL/"
check "sync" vellum sync ORIGINAL

section "a blank disc takes a copy"
run_job "$mnt" "copy ORIGINAL mode=image to=C00003L1"
run_job "$mnt" "copy ORIGINAL mode=streaming to=C00005L1"
for disc in C00003L1 C00005L1; do
  vellum media --json | python3 -c '
import json, sys
row = next(r for r in json.load(sys.stdin) if r["medium"] == sys.argv[1])
expected = {"class": "write-once", "role": "backup", "volume_state": "complete"}
sys.exit(any(row[key] != value for key, value in expected.items()))' "$disc" ||
    fail "$disc: $(vellum media)"
done
agree

section "and no second one, of whatever kind"
check "rsync" rsync -aHAX --modify-window=-1 --delete "$TREES/second/" \
  "$mnt/ORIGINAL/"
check "sync" vellum sync ORIGINAL
for mode in image streaming incremental; do
  for disc in C00003L1 C00005L1; do
    refuses 1 "$disc .* takes nothing more" \
      vellum copy ORIGINAL --mode "$mode" --to "$disc"
  done
done

section "it is what it was, also after a restart"
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$lib" "$mnt"
check "fsck" vellum fsck C00003L1 --data
check "fsck" vellum fsck C00005L1 --data
check "unmount" vellum unmount "$mnt"

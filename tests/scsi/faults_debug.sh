#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: the drive is the kernel's scsi_debug, which fails on demand. The
# robot moves media in and out as if it were the jukebox's own. Sectors that
# cannot be read, then a drive that answers nothing: each command ends with its
# time-out, the daemon goes on meanwhile, and uses the drive again afterwards.
# shellcheck source=tests/scsi/guest_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/guest_lib.sh"

bad_sector=4660  # 0x1234
modprobe scsi_debug ptype=0 removable=1 sector_size=2048 dev_size_mb=32 \
  medium_error_start=$bad_sector medium_error_count=8 no_uld=1
find_device() { lsscsi -g | awk '/scsi_debug/ {print $NF}'; }
until [[ $(find_device) == /dev/sg* ]]; do sleep 0.05; done
drive=$(find_device)

# Bits of the driver's opts, of every command from now on; 0: none.
faults() {
  local driver=/sys/bus/pseudo/drivers/scsi_debug
  echo "$(($1 == 0 ? 0 : 1))" >"$driver/every_nth"
  echo "$1" >"$driver/opts"
}
medium_errors=2
ignore_commands=4
# How many commands to the drive were not answered in time.
time_outs() {
  local device=/sys/class/scsi_generic/${drive#/dev/}/device
  echo "$(($(<"$device/iotmo_cnt")))"
}

drive_is() {
  vellum drives --json | python3 -c '
import json, sys
row = next(d for d in json.load(sys.stdin) if d["address"] == 256)
sys.exit(row["online"] != (sys.argv[1] == "online"))' "$1"
}

check "init" vellum init "$lib" --changer "$VELLUM_SCSI_CHANGER" \
  --drive "256=$drive"
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format D00000L1 --name ORIGINAL
echo "small" >"$mnt/ORIGINAL/small"
# It lies on the bad sectors, too.
head -c 20M /dev/urandom >"$work/data"
check "cp" cp "$work/data" "$mnt/ORIGINAL/data"
check "unmount" vellum unmount "$mnt"  # so that nothing is cached
check "mount" vellum mount "$lib" "$mnt"

section "sectors that cannot be read"
check "load" cat "$mnt/ORIGINAL/small"
faults $medium_errors
if cat "$mnt/ORIGINAL/data" >"$work/seen" 2>"$work/said"; then
  fail "what cannot be read was read"
fi
grep -q "Input/output error" "$work/said" || fail "$(cat "$work/said")"
job=$(start_job "$mnt" "copy ORIGINAL mode=image to=D00002L1")
[[ $(job_end "$mnt" "$job") == failed ]] || fail "the copy did not fail"
job_says "$job" DEVICE_ERROR 3/11/00 "sector $bad_sector"
[[ $(element_of D00002L1) == "slot 3" ]] || fail "D00002L1 was moved"
# What lies elsewhere is there, and takes changes.
echo "more" >"$mnt/ORIGINAL/more"
check "sync" vellum sync ORIGINAL
faults 0
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"

section "a drive that answers nothing"
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$lib" "$mnt"
check "load" cat "$mnt/ORIGINAL/small"
faults $ignore_commands
before=$(time_outs)
cat "$mnt/ORIGINAL/data" >"$work/seen" 2>"$work/said" &
reader=$!
# The daemon and the changer answer before the first time-out is over.
answers=0
while kill -0 "$reader" 2>/dev/null; do
  check "status" vellum status
  check "elements" vellum elements
  [[ $(time_outs) != "$before" ]] || answers=$((answers + 1))
  sleep 1
done
((answers > 0)) || fail "the daemon waited for the drive"
code=0
wait "$reader" || code=$?
[[ $code != 0 ]] || fail "a drive that answers nothing was read"
# The reader ends with the first of them, not with one for each block.
missed=$(($(time_outs) - before))
echo "$answers answers meanwhile, $missed time-outs"
((missed >= 1 && missed <= 4)) || fail "$missed commands timed out"
grep -qE "No medium found|Input/output error" "$work/said" ||
  fail "$(cat "$work/said")"
until drive_is offline; do sleep 0.5; done
check "status" vellum status
faults 0
until drive_is online; do sleep 0.5; done
check "small is there" grep -q small "$mnt/ORIGINAL/small"
check "all is there" cmp "$work/data" "$mnt/ORIGINAL/data"
[[ $(<"$mnt/ORIGINAL/more") == more ]] || fail "what was synced is lost"
check "fsck" vellum fsck ORIGINAL --data
check "unmount" vellum unmount "$mnt"

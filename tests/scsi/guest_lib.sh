# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts that run in the guest share, beside tests/system/lib.sh.
export TMPDIR=/run PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"
: "${VELLUM_SCSI_CHANGER:?the changer}" "${VELLUM_SCSI_DRIVES:?the drives}"

scsi=$top/tests/scsi
lib=$work/library
mnt=$work/mnt
mkdir "$mnt"
# shellcheck disable=SC2034  # for the scripts
exchange=/run/exchange
export VELLUM_MOUNT=$mnt

# The drives of the library as options of `vellum init`.
drive_options() {
  local pair
  for pair in ${VELLUM_SCSI_DRIVES//,/ }; do echo --drive "$pair"; done
}

init_library() {
  # shellcheck disable=SC2046  # words on purpose
  check "init" vellum init "$lib" --changer "$VELLUM_SCSI_CHANGER" \
    $(drive_options)
}

# With the seconds since the start: the guest is slow.
section() { printf -- "--- %s s: %s\n" "$SECONDS" "$*"; }

agree() {
  check "mtx, sg_inq and vellum agree" python3 -B "$scsi/agree.py" "$mnt"
}
ask_host() { "$top/tests/vm/ask_host" "$@"; }

# element_of TAG: where the changer says that the medium is, asked by mtx as
# "drive N" or "slot N" (its own numbers).
element_of() {
  mtx -f "$VELLUM_SCSI_CHANGER" status | sed -nE \
    "s/^ *Data Transfer Element ([0-9]+):Full.*= *$1 *\$/drive \\1/p
     s/^ *Storage Element ([0-9]+).*:Full.*=$1 *\$/slot \\1/p"
}

# The element address of the drive that holds the medium TAG, and the device of
# that drive.
drive_of() {
  vellum drives --json | python3 -c '
import json, sys
print(next(d["address"] for d in json.load(sys.stdin)
           if d["medium"] == sys.argv[1]))' "$1"
}
device_of() {
  local pair
  for pair in ${VELLUM_SCSI_DRIVES//,/ }; do
    [[ ${pair%%=*} != "$1" ]] || echo "${pair#*=}"
  done
}

# job_says JOB PATTERN...: the job's row of the jobs table has them all.
job_says() {
  local job=$1 row pattern
  shift
  row=$(python3 -c '
import json, sys
rows = json.load(open(sys.argv[1] + "/.vellum/jobs.json"))
print(json.dumps(next(r for r in rows if r["id"] == int(sys.argv[2]))))
' "$mnt" "$job")
  for pattern in "$@"; do
    grep -q -- "$pattern" <<<"$row" || fail "job $job says no $pattern: $row"
    checks=$((checks + 1))
  done
}

# wait_for_state JOB PATTERN: until the job is in such a state; fails when it
# ends before.
wait_for_state() {
  local state
  while true; do
    state=$(head -n 1 "$mnt/.vellum/jobs/$1/status")
    [[ ! $state =~ ^($2)$ ]] || return 0
    [[ ! $state =~ ^(done|failed|cancelled)$ ]] || fail "job $1 is $state"
  done
}

# Whether the changer has not answered a command yet.
changer_is_busy() {
  local device=/sys/class/scsi_generic/${VELLUM_SCSI_CHANGER#/dev/}/device
  (($(<"$device/iorequest_cnt") > $(<"$device/iodone_cnt")))
}

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copies that are triggered by control files; what a backup refuses, even to
# root; read-only mounts of it; convert; what survives a kill and the loss of
# the catalog.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
side="$work/a place with blanks"
mkdir "$mnt" "$side"

# The backups that a table of the control tree knows of a primary.
backup_of() {
  python3 -c '
import json, sys
jobs = json.load(open(sys.argv[1] + "/.vellum/jobs.json"))
print(next(j["target"] for j in jobs if j["id"] == int(sys.argv[2])))
' "$mnt" "$1"
}

job_field() {
  python3 -c '
import json, sys
jobs = json.load(open(sys.argv[1] + "/.vellum/jobs.json"))
print(next(j[sys.argv[3]] for j in jobs if j["id"] == int(sys.argv[2])))
' "$mnt" "$1" "$2"
}

# Copies by a write to a control file; sets $job and $backup.
copy() {
  local state
  job=$(start_job "$mnt" "$1")
  state=$(job_end "$mnt" "$job")
  if [[ $state != "done" ]]; then
    cat "$mnt/.vellum/jobs/$job/status" "$mnt/.vellum/jobs/$job/log" >&2
    fail "$1 is $state"
  fi
  backup=$(backup_of "$job")
  checks=$((checks + 1))
}

# compare CHANGED BACKUP: ORIG and the backup are equal, and the number of
# regions that were not compared fulfils the condition: without it, "equal" says
# nothing about a backup of yesterday.
compare() {
  local row
  row=$(vellum --mount "$mnt" compare ORIG "$2" --json) ||
    fail "compare ORIG $2: $row"
  python3 -c '
import json, sys
job = json.loads(sys.argv[1])["result"]
wanted, changed = sys.argv[2], job["regions_changed"]
assert eval(f"{changed} {wanted}"), f"{changed} regions changed, not {wanted}"
used = json.load(open(sys.argv[3]))["used_bytes"]
compared = job["regions_compared"]
assert (compared + changed) * 65536 >= used, f"{compared} regions for {used}"
' "$row" "$1" "$mnt/.vellum/volumes/ORIG/info.json" || fail "compare ORIG $2"
  checks=$((checks + 1))
}
identical() { compare "== 0" "$1"; }

section "a library with data"
check "init" vellum init "$lib" --slots 8 --media 6 --capacity 64M
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name ORIG
cp -a "$top/media" "$top/index" "$mnt/ORIG/"
head -c 9000000 /dev/urandom >"$mnt/ORIG/big"
ln "$mnt/ORIG/big" "$mnt/ORIG/big2"
touch -d '2001-02-03 04:05:06.789012345 UTC' "$mnt/ORIG/big"

section "image copy (one drive) and streaming copy (two drives)"
copy "copy ORIG mode=image"
image=$backup
copy "copy ORIG mode=streaming to=V00003"
streaming=$backup
[[ $image != "$streaming" ]] || fail "both copies are on $image"
for backup in "$image" "$streaming"; do
  identical "$backup"
  # Metadata is answered from the catalog, without opening anything.
  diff <(listing "$mnt/ORIG") <(listing "$mnt/$backup") ||
    fail "listing of $backup"
done

section "what root cannot do with a backup"
b=$mnt/$image
errno_is EACCES open "$b/big"
errno_is EROFS open-write "$b/big"
errno_is EROFS create "$b/new"
errno_is EROFS truncate "$b/big"
errno_is EROFS unlink "$b/big"
errno_is EROFS rename "$b/big" "$b/other"
errno_is EROFS rmdir "$b/media"
errno_is EROFS mkdir "$b/dir"
errno_is EROFS link "$b/big" "$b/link"
errno_is EROFS symlink "$b/symlink"
errno_is EROFS chmod "$b/big"
errno_is EROFS chown "$b/big"
errno_is EROFS utime "$b/big"
errno_is EROFS setxattr "$b/big"
errno_is OK stat "$b/big"
[[ $(stat -c %Y.%y "$b/big") == "$(stat -c %Y.%y "$mnt/ORIG/big")" ]] ||
  fail "times of the backup"
refuses 1 "99|backup" vellum threshold "$image" 50

section "mounted read-only at a place of its own"
check "mount --volume" vellum mount --volume "$image" "$side"
same_trees "$mnt/ORIG" "$side"
errno_is EROFS create "$side/new"
errno_is EROFS unlink "$side/big"
refuses 5 "held|mounted" vellum copy ORIG --to "$image" --wait \
  --if-mounted fail
# A copy onto it waits in the queue and says why; another one passes it.
waiting=$(start_job "$mnt" "copy ORIG mode=streaming to=$image")
said=""
for _ in $(seq 200); do
  said=$(<"$mnt/.vellum/jobs/$waiting/status")
  [[ $said == *"waits for"* ]] && break
  sleep 0.05
done
[[ $said == "queued"*"waits for $image: held by mount at $side" ]] ||
  fail "job $waiting says $said"
vellum jobs | grep -qF "waits for $image" || fail "vellum jobs does not say it"
copy "copy ORIG mode=image to=$streaming"
check "unmount" vellum unmount "$side"
[[ $(job_end "$mnt" "$waiting") == "done" ]] || fail "job $waiting"

section "incremental copies"
dd if=/dev/urandom of="$mnt/ORIG/big" bs=64k seek=20 count=2 conv=notrunc \
  status=none
echo new >"$mnt/ORIG/new"
rm -r "$mnt/ORIG/index"
head -c 20M /dev/urandom >"$mnt/ORIG/only here"
check "sync" vellum sync ORIG
compare ">= 320" "$image"  # nothing of them is on the backup
rm "$mnt/ORIG/only here"
check "track" vellum track
copy "copy ORIG mode=incremental to=$image policy=minicopy"
[[ $(job_field "$job" method) == incremental ]] || fail "method of job $job"
[[ $(job_field "$job" bytes_copied) -lt 4000000 ]] ||
  fail "an incremental copy of $(job_field "$job" bytes_copied) bytes"
identical "$image"
check "mount --volume" vellum mount --volume "$image" "$side"
same_trees "$mnt/ORIG" "$side"
check "unmount" vellum unmount "$side"
# The older backup still holds its own generation, and catches up by itself.
echo newer >>"$mnt/ORIG/new"
printf 'mode=incremental to=%s' "$streaming" >"$mnt/.vellum/volumes/ORIG/copy"
job=$(vellum jobs --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[-1]["id"])')
check "wait" vellum jobs "$job" --wait
identical "$streaming"

section "compare finds what differs"
copy "copy ORIG mode=streaming to=V00005"
victim=$backup
check "unmount" vellum unmount "$mnt"
python3 - "$lib/media/V00005.img" <<'PY'
import mmap, sys
with open(sys.argv[1], "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
    at = m.find(b"SPDX-License-Identifier")
    assert at > 0
    m[at:at + 4] = b"XXXX"
PY
check "mount" vellum mount "$lib" "$mnt"
refuses 4 "differ" vellum compare ORIG "$victim"

section "jobs can be cancelled, media go home"
for _ in 1 2 3; do cat "$mnt/ORIG/big" >>"$mnt/ORIG/more"; done
job=$(start_job "$mnt" "copy ORIG mode=image to=V00006")
echo 1 >"$mnt/.vellum/jobs/$job/cancel" || true
state=$(job_end "$mnt" "$job")
[[ $state == cancelled || $state == "done" ]] || fail "cancel: $state"
refuses 1 "ended|cancel|done" vellum cancel "$job"
refuses 1 "no.*job|job.*no|not" vellum cancel 4711
checks=$((checks + 1))

section "kill -9: the volume is what it was at the last fsync, at least"
head -c 5000000 /dev/urandom >"$work/durable"
dd if="$work/durable" of="$mnt/ORIG/durable" bs=1M conv=fsync status=none
check "sync" vellum sync ORIG
for pid in $(daemons_below_work); do kill -9 "$pid"; done
fusermount3 -uz "$mnt"
check "mount after the kill" vellum mount "$lib" "$mnt"
check "content" cmp "$work/durable" "$mnt/ORIG/durable"
check "fsck" vellum fsck ORIG --data

section "the catalog is disposable"
listing "$mnt/ORIG" >"$work/listing"
check "unmount" vellum unmount "$mnt"
rm -r "$lib/catalog"
check "mount" vellum mount "$lib" "$mnt"
# V00005 was damaged above.
refuses 1 "not read: V00005" vellum inventory --all
diff "$work/listing" <(listing "$mnt/ORIG") || fail "after the catalog's loss"
copy "copy ORIG mode=incremental to=$image"
[[ $(job_field "$job" method) == full ]] ||
  fail "an incremental copy without a map: $(job_field "$job" method)"
identical "$image"

section "the primary is lost: the backup becomes it"
cp -a "$mnt/ORIG" "$work/truth"
copy "copy ORIG mode=incremental to=$image"
check "unmount" vellum unmount "$mnt"
rm "$lib/media/V00001.img"
check "mount" vellum mount "$lib" "$mnt"
check "a mount of the backup" vellum mount --volume "$image" "$side"
same_trees "$work/truth" "$side"
check "unmount" vellum unmount "$side"
check "convert" vellum convert "$image" --name RESCUED
same_trees "$work/truth" "$mnt/RESCUED"
echo usable >"$mnt/RESCUED/usable"
check "fsck" vellum fsck RESCUED --data
check "unmount" vellum unmount "$mnt"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Wrong, missing, foreign and full things: each gives an error that names it,
# and nothing is lost.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ $EUID -ne 0 ]]; then
  # A small tmpfs stands for a full disk.
  exec sudo -n -E VELLUM="$VELLUM" "${BASH_SOURCE[0]}"
fi

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
side=$work/side
mkdir "$mnt" "$side"

check "init" vellum init "$lib" --slots 8 --media 7 --capacity 32M
refuses 1 "$lib" vellum init "$lib"
refuses 2 "no name" vellum init ""
refuses 1 "slots" vellum init "$work/none" --slots 0
refuses 1 "capacity" vellum init "$work/none" --capacity 1M
[[ ! -e $work/none/library.toml ]] || fail "a refused init left something"
touch "$work/file"
mkdir "$work/full-directory"
touch "$work/full-directory/precious"
refuses 1 "empty|directory" vellum init "$work/full-directory"
refuses 1 "directory|file" vellum init "$work/file"

section "no daemon"
refuses 3 "no daemon|not mounted" vellum --mount "$mnt" status
refuses 3 "not mounted" vellum --library "$lib" status
refuses 1 "mount point" vellum unmount "$mnt"

section "mount: wrong library, mount point, second daemon"
refuses 1 "$work/nowhere" vellum mount "$work/nowhere" "$mnt"
refuses 1 "$side" vellum mount "$side" "$mnt"
refuses 1 "$work/nomnt" vellum mount "$lib" "$work/nomnt"
refuses 1 "directory" vellum mount "$lib" "$work/file"
refuses 1 "inside|library" vellum mount "$lib" "$lib/media"
cp "$lib/library.toml" "$work/library.toml"
sed -i 's/^slots = .*/slots = many/' "$lib/library.toml"
refuses 1 "library.toml:[0-9]+" vellum mount "$lib" "$mnt"
cp "$work/library.toml" "$lib/library.toml"
check "mount" vellum mount "$lib" "$mnt"
refuses 1 "process|pid" vellum mount "$lib" "$side"
check "a second library" vellum init "$work/library2" --media 1 --capacity 16M
refuses 1 "$mnt" vellum mount "$work/library2" "$mnt"
refuses 1 "inside the library $lib" vellum mount "$work/library2" "$lib"
check "the first daemon is alive" vellum --mount "$mnt" status

section "commands of the control tree"
errno_is EINVAL write "$mnt/.vellum/command" "frobnicate"
errno_is EINVAL write "$mnt/.vellum/command" "copy"
errno_is EINVAL write "$mnt/.vellum/command" "copy V bogus=1"
errno_is EINVAL write "$mnt/.vellum/command" "copy V mode=fast"
errno_is ENOENT write "$mnt/.vellum/command" "copy NOPE"
errno_is ENOENT write "$mnt/.vellum/command" "cancel 4711"
refuses 1 "" command_answer "$mnt" "frobnicate"
grep -q 'frobnicate' <<<"$(command_answer "$mnt" frobnicate)" ||
  fail "the answer does not name the mistake"

section "volumes and elements that do not exist"
check "format" vellum format V00001 --name ORIG
check "format" vellum format V00002 --name OTHER
head -c 3000000 /dev/urandom >"$work/data"
cp "$work/data" "$mnt/ORIG/data"
cp "$work/data" "$mnt/OTHER/data"
refuses 1 "NOPE" vellum copy NOPE
refuses 1 "NOPE" vellum copy ORIG --to NOPE
refuses 1 "NOPE" vellum info NOPE
refuses 1 "NOPE" vellum fsck NOPE
refuses 1 "NOPE" vellum convert NOPE
refuses 1 "NOPE" vellum mount --volume NOPE "$side"
refuses 1 "9999" vellum format 9999 --name X
refuses 1 "empty|no medium" vellum format 1031 --name X
refuses 1 "9999" vellum move 1024 9999
refuses 1 "empty" vellum move 1031 768
refuses 1 "V00002|full" vellum move 1024 1025
errno_is ENOENT stat "$mnt/NOPE"
errno_is OK stat "$mnt/ORIG/data"

section "names, thresholds, media that hold data"
refuses 1 "volume id|name" vellum format V00003 --name lower
refuses 1 "ORIG" vellum format V00003 --name ORIG
refuses 1 "threshold|100" vellum format V00003 --name X --threshold 101
refuses 1 "99|threshold" vellum format V00003 --name X --role backup --threshold 50
refuses 1 "ORIG|clear" vellum format V00001 --name NEW
check "nothing is lost" cmp "$work/data" "$mnt/ORIG/data"

section "copies onto the wrong medium"
refuses 1 "itself|primary|ORIG" vellum copy ORIG --to ORIG
refuses 1 "itself|primary|ORIG" vellum copy ORIG --to V00001
refuses 1 "OTHER" vellum copy ORIG --to OTHER
check "a backup of OTHER" vellum copy OTHER --to V00003 --wait
backup=$(vellum jobs --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[-1]["target"])')
refuses 1 "OTHER" vellum copy ORIG --to V00003
refuses 1 "ORIG" vellum copy ORIG --to "$backup"
refuses 1 "backup" vellum copy "$backup"
refuses 1 "backup|primary" vellum convert ORIG
check "nothing is lost" cmp "$work/data" "$mnt/OTHER/data"
check "nothing is lost" vellum compare OTHER "$backup"
# shellcheck disable=SC2016  # the inner shell expands
refuses 1 "two|drives|online" bash -c '
  "$1" init "$2" --drives 1 --media 2 --capacity 16M >/dev/null
  mkdir "$3"; "$1" mount "$2" "$3"
  "$1" --mount "$3" format V00001 --name ONE >/dev/null
  "$1" --mount "$3" copy ONE -2
  code=$?; "$1" unmount "$3"; exit $code' _ "$VELLUM" "$work/one" "$work/mnt1"

section "a full medium"
refuses 1 "space" dd if=/dev/zero of="$mnt/ORIG/filler" bs=1M count=64 \
  status=none
errno_is OK stat "$mnt/ORIG/filler"
check "what was there is there" cmp "$work/data" "$mnt/ORIG/data"
rm "$mnt/ORIG/filler"
vellum sync ORIG
vellum sync ORIG
check "there is space again" cp "$work/data" "$mnt/ORIG/data2"
check "threshold" vellum threshold ORIG 20
refuses 1 "space" dd if=/dev/zero of="$mnt/ORIG/filler" bs=1M count=16 \
  status=none
rm -f "$mnt/ORIG/filler"
check "threshold" vellum threshold ORIG 100
check "fsck" vellum fsck ORIG --data

section "missing, foreign and truncated images"
check "unmount" vellum unmount "$mnt"
mv "$lib/media/V00004.img" "$work/V00004.img"
python3 -c 'import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes(32 << 20))' \
  >"$work/random"
dd if="$work/random" of="$lib/media/V00005.img" bs=64k conv=notrunc \
  count=$(($(stat -c %s "$lib/media/V00005.img") / 65536)) status=none
truncate -s 20000001 "$lib/media/V00006.img"
truncate -s 16M "$lib/media/V00007.img"
check "mount all the same" vellum mount "$lib" "$mnt"
check "the others are there" cmp "$work/data" "$mnt/ORIG/data"
for tag in V00004 V00006 V00007; do
  refuses 1 "$tag" vellum format "$tag" --name X
  refuses 1 "$tag.*image" vellum copy ORIG --to "$tag" --wait
  grep -q "$tag" "$mnt/.vellum/alerts" || fail "no alert about $tag"
done
refuses 1 "V00005|clear|data" vellum format V00005 --name X
grep -q '"found":"foreign"' <(vellum inventory --json) ||
  fail "a foreign medium is not recognised"
check "format --clear" vellum format V00005 --name CLEARED --clear
check "it is usable" cp "$work/data" "$mnt/CLEARED/data"
for image in "$work/random" "$lib/media/V00006.img" "$work/nothing.img" \
  /dev/null "$work"; do
  refuses 1 "$image" vellum mount --image "$image" "$side"
  refuses 1 "$image" vellum info --image "$image"
  refuses 1 "$image" vellum fsck --image "$image"
done

section "a full spool"
check "unmount" vellum unmount "$mnt"
mv "$work/V00004.img" "$lib/media/V00004.img"
sed -i 's/^spool_limit = .*/spool_limit = 1000000/' "$lib/library.toml"
check "mount" vellum mount "$lib" "$mnt"
before=$(vellum elements --json)
refuses 1 "space|spool" vellum copy ORIG -1 --to V00004
[[ $(vellum elements --json) == "$before" ]] || fail "a medium was moved"
check "streaming needs none" vellum copy ORIG -2 --to V00004 --wait
check "unmount" vellum unmount "$mnt"

section "a full host disk"
# The catalog's log alone takes 40 MB of it; the last 32 are kept free.
disk=$work/disk
mkdir "$disk"
mount -t tmpfs -o size=120m vellum-test "$disk"
check "init" vellum init "$disk/library" --media 2 --capacity 64M
check "mount" vellum mount "$disk/library" "$mnt"
check "format" vellum format V00001 --name ORIG
dd if="$work/data" of="$mnt/ORIG/data" bs=1M conv=fsync status=none
refuses 1 "space" dd if=/dev/urandom of="$mnt/ORIG/filler" \
  bs=1M count=60 conv=fsync status=none
check "what was durable can be read" cmp "$work/data" "$mnt/ORIG/data"
check "what was written before is committed" vellum unmount "$mnt"
[[ -z $(ls -A "$mnt") ]] || fail "the daemon did not end on a full disk"
mount -o remount,size=200m "$disk"
check "with room again: mount" vellum mount "$disk/library" "$mnt"
check "what was durable is there" cmp "$work/data" "$mnt/ORIG/data"
check "fsck" vellum fsck ORIG
check "it can be written" cp "$work/data" "$mnt/ORIG/data2"
check "unmount" vellum unmount "$mnt"
umount "$disk"

# fill_disk ROOM: so much of the disk stays free.
fill_disk() {
  head -c 600M /dev/zero >>"$disk/filler" 2>/dev/null || true
  truncate -s "-$1" "$disk/filler"
}

section "a full host disk that gets room again"
mount -t tmpfs -o size=400m vellum-test "$disk"
check "init" vellum init "$disk/library" --media 3 --slots 4 --capacity 100M
# Nothing is committed by itself: what waits is known.
sed -i 's/^checkpoint_interval_ms = .*/checkpoint_interval_ms = 600000/' \
  "$disk/library/library.toml"
check "mount" vellum mount "$disk/library" "$mnt"
check "format" vellum format V00001 --name P
echo kept >"$mnt/P/kept"
check "sync" vellum sync
check "copy" vellum copy P -2 --wait
echo waits >"$mnt/P/waits"
fill_disk 100K
refuses 1 "space" vellum copy P --mode incremental
# shellcheck disable=SC2016  # the inner shell expands
refuses 1 "space" bash -c 'echo no >"$1"' _ "$mnt/P/no"
grep -q 'no space in' "$mnt/.vellum/alerts" || fail "no alert of the full disk"
refuses 1 "space|full" vellum sync P
# What waits cannot be committed now, and must not be dropped either.
refuses 1 "P" vellum move P 1027
check "what waits is there" grep -q waits "$mnt/P/waits"
rm "$disk/filler"
check "sync" vellum sync
echo after >"$mnt/P/after"
check "copy" vellum copy P --mode incremental --wait
check "move" vellum move P 1027
for name in kept waits after; do
  check "$name is there" grep -q "$name" "$mnt/P/$name"
done

section "files made while the host disk is full"
# The volume stops 32 MiB before the end; then somebody else takes the rest.
mkdir "$mnt/P/many"
fill_disk 34M
made=0
for i in $(seq 400); do
  { head -c 4000 "$work/data" >"$mnt/P/many/$i"; } 2>/dev/null || break
  made=$i
done
[[ $made -gt 0 ]] || fail "nothing can be made with 34 MiB free"
[[ $made -lt 400 ]] || fail "a full host disk refuses nothing"
rm -f "$mnt/P/many/$((made + 1))"
fill_disk 100K
refuses 1 "P" vellum move P 1024
check "it says what waits" grep -q '"uncommitted": true' \
  <(vellum info P --json)
rm "$disk/filler"
check "move" vellum move P 1024
for i in $(seq "$made"); do
  check "file $i" cmp <(head -c 4000 "$work/data") "$mnt/P/many/$i"
done
check "the directory is there" test -d "$mnt/P/many"
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$disk/library" "$mnt"
check "the directory is there" test -d "$mnt/P/many"
for i in $(seq "$made"); do
  check "file $i" cmp <(head -c 4000 "$work/data") "$mnt/P/many/$i"
done
check "fsck" vellum fsck P --data

section "the end on a full host disk, and a start"
echo lost >"$mnt/P/lost"
fill_disk 100K
refuses 1 "volume P" vellum unmount "$mnt"
refuses 1 "no space in $disk/library/catalog" \
  vellum mount "$disk/library" "$mnt"
! mountpoint -q "$mnt" || fail "a mount is left"
rm "$disk/filler"
check "mount" vellum mount "$disk/library" "$mnt"
check "what was committed is there" grep -q after "$mnt/P/after"
errno_is ENOENT stat "$mnt/P/lost"
check "fsck" vellum fsck P --data
check "unmount" vellum unmount "$mnt"
umount "$disk"

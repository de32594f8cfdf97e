#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Volumes that a daemon wrote, through a mount, in the eyes of readers that know
# nothing of Vellum; see README.md here. VELLUM_FILES: how many small files each
# volume gets (10000).
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"
: "${UDF_SUMS:?the path of udfread_sha256}"
: "${TREE_MANIFEST:?the path of tree_manifest}"
: "${GUEST_INIT:?the path of guest_init}"

readers=$top/tests/readers
files=${VELLUM_FILES:-10000}
lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt PATH=$PATH:/usr/sbin:/sbin
mkdir "$mnt" "$work/seven"

compare() {
  python3 -B "$readers/compare.py" "$@" || fail "compare.py $1"
  checks=$((checks + 1))
}

section "two trees of $files small files and everything odd"
python3 -B "$readers/corpus.py" make "$work/plain" "$files"
python3 -B "$readers/corpus.py" make "$work/all" "$files" --all
# Before anything reads them: reading changes access times.
for tree in plain all; do
  "$TREE_MANIFEST" --count-links "$work/$tree" >"$work/$tree.expected" ||
    fail "manifest of the tree"
done

section "written through a mount"
check "init" vellum init "$lib" --slots 4 --media 2 --capacity 2G
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name PLAIN
check "format" vellum format V00002 --name ALL
for tree in plain all; do
  check "cp -a" cp -a "$work/$tree/." "$mnt/${tree^^}/"
  check "sync" vellum sync "${tree^^}"
done
python3 -B "$readers/corpus.py" scatter "$mnt/PLAIN/scattered" 100
python3 -B "$readers/corpus.py" scatter "$mnt/PLAIN/written again" 1300
python3 -B "$readers/corpus.py" scatter "$mnt/ALL/scattered" 100
python3 -B "$readers/corpus.py" scatter "$mnt/ALL/written again" 1300
check "unmount" vellum unmount "$mnt"
plain=$lib/media/V00001.img
all=$lib/media/V00002.img

section "Vellum: fsck, and a mount of the image alone"
for image in "$plain" "$all"; do
  check "fsck" vellum fsck --image "$image" --data
done
most=$(vellum dump-catalog "$lib" | python3 -c '
import json, sys
print(max(len(json.loads(line).get("extents", [])) for line in sys.stdin))')
[[ $most -gt 1000 ]] || fail "no file has more than $most extents"
for tree in plain all; do
  image=${!tree}
  check "mount --image" vellum mount --image "$image" "$mnt"
  "$TREE_MANIFEST" "$mnt" >"$work/seen" || fail "manifest of $mnt"
  check "unmount" vellum unmount "$mnt"
  compare vellum "$work/$tree.expected" "$work/seen"
done

section "udfinfo"
for image in "$plain" "$all"; do
  errors=$(udfinfo "$image" 2>&1 >/dev/null) || fail "udfinfo $image: $errors"
  [[ -z $errors ]] || fail "udfinfo says of $image: $errors"
  checks=$((checks + 1))
done

section "libudfread"
for tree in plain all; do
  image=${!tree}
  "$UDF_SUMS" "$image" >"$work/sums" 2>"$work/errors" ||
    fail "udfread_sha256: $(head -n 5 "$work/errors")"
  [[ ! -s $work/errors ]] || fail "libudfread: $(head -n 5 "$work/errors")"
  compare udfread "$work/$tree.expected" "$work/sums" "$work/$tree"
done

section "7-Zip"
export LC_ALL=C.UTF-8
check "7z t" 7z t "$plain"
[[ $(7z t "$plain") != *Warning* ]] || fail "7z t has warnings"
check "7z l" 7z l "$plain"
check "7z x" 7z x -o"$work/seven" "$plain"
"$TREE_MANIFEST" "$work/seven" >"$work/seen" || fail "manifest of 7-Zip's tree"
compare seven "$work/plain.expected" "$work/seen"

section "Linux, in a virtual machine"
"$top/tests/vm/boot.py" --seconds $((600 + files / 25)) \
  --init "$GUEST_INIT" --results "$work/linux" \
  plain="$plain:2048" all="$all" || fail "the virtual machine"
compare linux "$work/plain.expected" "$work/linux" plain
compare linux "$work/all.expected" "$work/linux" all

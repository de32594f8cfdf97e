#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Volumes that a daemon wrote, through a mount, in the eyes of readers that know
# nothing of Vellum; see README.md here. VELLUM_FILES: how many small files each
# volume gets (10000). VELLUM_LINUX: which of the volumes Linux reads (all five),
# as half a million files take it hours.
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
mkdir "$mnt"

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

section "written through a mount, and copied to backups"
check "init" vellum init "$lib" --slots 6 --media 5 --capacity 2G
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name PLAIN
check "format" vellum format V00002 --name ALL
later=(sizes modes owners times attributes)
check "cp -a" cp -a "$work/all/." "$mnt/ALL/"
check "cp -a" python3 -B "$readers/corpus.py" without "$work/plain" \
  "$mnt/PLAIN" "${later[@]}"
check "a first copy" vellum copy PLAIN --mode streaming --to V00005 --wait
check "cp -a" python3 -B "$readers/corpus.py" part "$work/plain" \
  "$mnt/PLAIN" "${later[@]}"
check "sync" vellum sync
for tree in PLAIN ALL; do
  check "scatter" python3 -B "$readers/corpus.py" scatter \
    "$mnt/$tree/scattered" 100
done
check "write again" python3 -B "$readers/corpus.py" again \
  "$mnt/PLAIN/written again" 1300
# In a chain of descriptors then, which 7-Zip cannot read.
check "scatter" python3 -B "$readers/corpus.py" scatter \
  "$mnt/ALL/written again" 1300
check "image copy" vellum copy PLAIN --mode image --to V00003 --wait
check "streaming copy" vellum copy ALL --mode streaming --to V00004 --wait
check "incremental copy" vellum copy PLAIN --mode incremental \
  --policy minicopy --to V00005 --wait
check "unmount" vellum unmount "$mnt"

# Volumes as they are called below -> the medium, and the tree that is on them.
declare -A image=() tree_of=()
add() {
  image[$1]=$lib/media/$2.img
  tree_of[$1]=$3
}
add plain V00001 plain
add all V00002 all
add imaged V00003 plain
add streamed V00004 all
add updated V00005 plain
volumes=(plain all imaged streamed updated)
read -r -a for_linux <<<"${VELLUM_LINUX:-${volumes[*]}}"
for volume in "${for_linux[@]}"; do
  [[ -v image[$volume] ]] || fail "VELLUM_LINUX: no volume $volume: ${volumes[*]}"
done

section "Vellum: fsck, and a mount of the image alone"
vellum dump-catalog "$lib" >"$work/catalog" || fail "dump-catalog"
python3 -B "$readers/corpus.py" extents <"$work/catalog" || fail "extents"
checks=$((checks + 1))
for volume in "${volumes[@]}"; do
  check "fsck" vellum fsck --image "${image[$volume]}" --data
  check "mount --image" vellum mount --image "${image[$volume]}" "$mnt"
  "$TREE_MANIFEST" "$mnt" >"$work/seen" || fail "manifest of $mnt"
  check "unmount" vellum unmount "$mnt"
  echo "$volume:"
  compare vellum "$work/${tree_of[$volume]}.expected" "$work/seen"
done

section "udfinfo"
for volume in "${volumes[@]}"; do
  errors=$(udfinfo "${image[$volume]}" 2>&1 >/dev/null) ||
    fail "udfinfo $volume: $errors"
  [[ -z $errors ]] || fail "udfinfo says of $volume: $errors"
  checks=$((checks + 1))
done

section "libudfread"
for volume in "${volumes[@]}"; do
  tree=${tree_of[$volume]}
  "$UDF_SUMS" "${image[$volume]}" >"$work/sums" 2>"$work/errors" ||
    fail "udfread_sha256: $(head -n 5 "$work/errors")"
  [[ ! -s $work/errors ]] || fail "libudfread: $(head -n 5 "$work/errors")"
  echo "$volume:"
  compare udfread "$work/$tree.expected" "$work/sums" "$work/$tree"
done

section "7-Zip"
export LC_ALL=C.UTF-8
for volume in "${volumes[@]}"; do
  [[ ${tree_of[$volume]} == plain ]] || continue
  answer=$(7z t "${image[$volume]}") || fail "7z t $volume: $answer"
  [[ $answer != *Warning* ]] || fail "7z t $volume has warnings"
  check "7z l" 7z l "${image[$volume]}"
  check "7z x" 7z x -o"$work/seven" "${image[$volume]}"
  "$TREE_MANIFEST" "$work/seven" >"$work/seen" || fail "manifest of 7-Zip's tree"
  echo "$volume:"
  compare seven "$work/plain.expected" "$work/seen"
  rm -rf "$work/seven"
done

section "Linux, in a virtual machine"
disks=()
for volume in "${for_linux[@]}"; do
  # One with the sectors that optical drives show.
  [[ $volume == plain ]] && size=:2048 || size=
  disks+=("$volume=${image[$volume]}$size")
done
begin=$SECONDS
"$top/tests/vm/boot.py" --seconds $((900 + files / 10)) \
  --init "$GUEST_INIT" --results "$work/linux" "${disks[@]}" ||
  fail "the virtual machine"
echo "the virtual machine took $((SECONDS - begin)) s"
for volume in "${for_linux[@]}"; do
  echo "$volume:"
  compare linux "$work/${tree_of[$volume]}.expected" "$work/linux" "$volume"
done

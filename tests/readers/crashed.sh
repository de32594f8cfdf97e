#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Volumes that were never closed, in the eyes of other readers, before Vellum
# has replayed their journal: no file shows another file's content, no directory
# is refused, and where a process was killed, not power, everything that is
# listed can be read.
# VELLUM_ROUNDS: how many images of each kind (8; the virtual machine takes 13);
# VELLUM_SEED repeats a run.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"
: "${UDF_SUMS:?the path of udfread_sha256}"
: "${CRASH_IMAGES:?the path of crash_images}"
: "${GUEST_INIT:?the path of guest_init}"

rounds=${VELLUM_ROUNDS:-8}
seed=${VELLUM_SEED:-$RANDOM}
lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
mkdir "$mnt" "$work/images"
echo "VELLUM_SEED=$seed"

section "the daemon is killed while it writes"
check "init" vellum init "$lib" --slots 2 --media 1 --capacity 100M
sed -i 's/^checkpoint_interval_ms.*/checkpoint_interval_ms = 200/' \
  "$lib/library.toml"
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name CRASHED
for round in 1 2; do
  python3 -B "$top/tests/readers/crash_writer.py" "$mnt/CRASHED" \
    "${round}000000" $((seed + round)) >"$work/writer" &
  writer=$!
  while [[ $(find "$mnt/CRASHED" -type f | wc -l) -lt 150 ]]; do sleep 0.05; done
  for pid in $(daemons_below_work); do kill -9 "$pid"; done
  wait "$writer" || fail "the writer: $(cat "$work/writer")"
  fusermount3 -uz "$mnt"
  cp --sparse=always "$lib/media/V00001.img" "$work/images/killed$round.img"
  check "mount after the kill" vellum mount "$lib" "$mnt"
  rm -rf "$mnt/CRASHED"/*
done
check "unmount" vellum unmount "$mnt"

section "commits that ended in the middle"
"$CRASH_IMAGES" "$work/images" "$rounds" "$seed" >"$work/log" 2>&1 ||
  fail "$(cat "$work/log")"
for image in "$work/images"/{kept,cut}*; do
  report=$(vellum --json fsck --image "$image") || fail "$image: $report"
  grep -q '"replay_pending":true' <<<"$report" || echo "$image is in place"
done

section "libudfread"
files=0
unread=0
for image in "$work/images"/*; do
  name=$(basename "$image" .img)
  if ! "$UDF_SUMS" --stamps "$image" >"$work/$name" 2>"$work/errors"; then
    if [[ $name != cut* ]] || grep -qE 'its own content|cannot list' "$work/errors"; then
      fail "$name, VELLUM_SEED=$seed: $(head -n 5 "$work/errors")"
    fi
    unread=$((unread + 1))
  fi
  files=$((files + $(grep -vc '^directory' "$work/$name" || true)))
  checks=$((checks + 1))
done
echo "libudfread: $files files with their own content; of $rounds images after" \
  "a power cut, $unread have a file that waits for the replay"
[[ $files -gt $((20 * rounds)) ]] || fail "too little was read"

section "control: blocks that are reused at once"
mkdir "$work/reused"
"$CRASH_IMAGES" "$work/reused" "$rounds" "$seed" reuse >"$work/log" 2>&1 ||
  fail "$(cat "$work/log")"
foreign=0
for image in "$work/reused"/*; do
  "$UDF_SUMS" --stamps "$image" >/dev/null 2>"$work/errors" || true
  ! grep -q 'its own content' "$work/errors" || foreign=$((foreign + 1))
done
rm -r "$work/reused"
echo "control: $foreign of $((2 * rounds)) images show another file's content"
[[ $foreign -eq $((2 * rounds)) ]] ||
  fail "VELLUM_SEED=$seed: reused blocks were not noticed in each image"
checks=$((checks + 1))

section "Linux, in a virtual machine"
images=()
for image in "$work/images"/*; do
  images+=("crashed-$(basename "$image" .img)=$image:2048")
done
"$top/tests/vm/boot.py" --seconds 120 --init "$GUEST_INIT" \
  --results "$work/linux" \
  "${images[@]}" || fail "the virtual machine"
# awk: the lines of a volume with its name before them.
awk '/^volume / {name = $2} {print name "\t" $0}' "$work/linux" >"$work/seen"
wrong=$(grep -aP '\terror:foreign$' "$work/seen" || true)
[[ -z $wrong ]] || fail "VELLUM_SEED=$seed, Linux: ${wrong:0:1000}"
wrong=$(grep -aP '\terror:|\tmount ' "$work/seen" |
  grep -av -e 'mount OK' -e '^crashed-cut' || true)
[[ -z $wrong ]] || fail "VELLUM_SEED=$seed, Linux: ${wrong:0:1000}"
for image in "$work/images"/{kept,killed}*; do
  name=$(basename "$image" .img)
  [[ $(grep -acP "^crashed-$name\t.*\tf\t" "$work/seen") -eq \
    $(grep -vc '^directory' "$work/$name") ]] ||
    fail "VELLUM_SEED=$seed: Linux and libudfread see other files of $name"
  checks=$((checks + 1))
done
echo "Linux: $(grep -acP '\tf\t.*\t[0-9a-f]{64}$' "$work/seen") files with" \
  "their own content"

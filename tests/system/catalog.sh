#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# X8: the catalog is disposable. Deleted and made again from the media, it is
# what it was, to the byte, but for what no medium says; and the media work in
# another library.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
other=$work/other
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
mkdir "$mnt"

# dump LIBRARY NAME: the catalog to NAME, all of it to NAME.all.
dump() {
  "$VELLUM" dump-catalog "$1" >"$work/$2" || fail "dump-catalog $1"
  "$VELLUM" dump-catalog "$1" --all >"$work/$2.all" || fail "dump-catalog --all"
  checks=$((checks + 2))
}

# The same but for lines of what only a catalog knows.
same_catalogs() {
  cmp "$work/$1" "$work/$2" >&2 ||
    fail "$(diff "$work/$1" "$work/$2" | cut -c1-1000 | head -n 6)"
  diff <(grep -vE '^\{"volume":"[^"]*","(catalog|changes)":' "$work/$1.all") \
    "$work/$1" >&2 || fail "--all shows other lines"
  checks=$((checks + 2))
}

# The mount's root and the control tree are not the volumes'.
volumes_listing() { listing "$mnt" | grep -av -e '^\.vellum' -e '^ d '; }

section "a library with two primaries and two backups"
check "init" vellum init "$lib" --slots 8 --media 5 --capacity 200M
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name ODD --threshold 90
check "format" vellum format V00002 --name CODE
python3 -B "$top/tests/readers/corpus.py" make "$work/tree" 500 --all
rm "$work/tree/sparse 5 GiB"  # takes long to compare
check "cp -a" cp -a "$work/tree/." "$mnt/ODD/"
check "cp -a" cp -a "$top/media" "$top/index" "$mnt/CODE/"
check "sync" vellum sync
for volume in ODD CODE; do check "copy" vellum copy "$volume" --wait; done
# What the backups do not have, in blocks that were used before.
rm -r "$mnt/CODE/index"
python3 -B "$top/tests/readers/corpus.py" scatter "$mnt/ODD/written again" 600
cp -a "$top/copy" "$mnt/CODE/"
check "sync" vellum sync
refuses 1 "is served by process" vellum dump-catalog "$lib"
volumes_listing >"$work/listing"
names=$(find "$mnt" -mindepth 1 -path "$mnt/.vellum" -prune -o -print0 |
  tr -dc '\0' | wc -c)
check "unmount" vellum unmount "$mnt"
dump "$lib" before
[[ $(grep -c '"path":' "$work/before") -eq $names ]] ||
  fail "$(grep -c '"path":' "$work/before") names instead of $names"

section "the catalog is deleted"
rm -r "$lib/catalog"
refuses 1 "no catalog" vellum dump-catalog "$lib"
check "mount" vellum mount "$lib" "$mnt"
[[ -z $(ls "$mnt") ]] || fail "volumes without a catalog"
vellum reindex --sync >"$work/sync"
[[ $(grep -c 'not known' "$work/sync") -eq 5 ]] || fail "$(cat "$work/sync")"
vellum reindex --reset >"$work/reset"
[[ $(grep -cE '(ODD|CODE|V0000[34]|blank)$' "$work/reset") -eq 5 ]] ||
  fail "$(cat "$work/reset")"
diff "$work/listing" <(volumes_listing) >&2 ||
  fail "another tree"
check "unmount" vellum unmount "$mnt"
dump "$lib" after
same_catalogs before after

section "a catalog that is right stays as it is"
check "mount" vellum mount "$lib" "$mnt"
check "reindex --update" vellum reindex --update
check "reindex --reset" vellum reindex --reset
diff "$work/listing" <(volumes_listing) >&2 ||
  fail "another tree"
cmp "$mnt/CODE/media/library.h" "$top/media/library.h" || fail "content"
check "unmount" vellum unmount "$mnt"
dump "$lib" again
same_catalogs before again

section "a catalog that is damaged"
check "mount" vellum mount "$lib" "$mnt"
check "generations" vellum generations CODE 3
check "unmount" vellum unmount "$mnt"
rm "$lib"/catalog/MANIFEST-*
refuses 1 "vellum mount. makes it anew" vellum dump-catalog "$lib"
check "mount" vellum mount "$lib" "$mnt"
grep -q "reindex --reset" <(vellum alerts) || fail "$(vellum alerts)"
grep -q '"generations":3' <(vellum generations CODE --json) ||
  fail "$(vellum generations CODE --json)"
check "reindex --reset" vellum reindex --reset
grep -q "reindex --reset" <(vellum alerts) && fail "$(vellum alerts)"
diff "$work/listing" <(volumes_listing) >&2 ||
  fail "another tree"
check "fsck" vellum fsck CODE --data
check "unmount" vellum unmount "$mnt"
dump "$lib" salvaged
same_catalogs before salvaged

section "a medium is taken away: its volume stays known"
mv "$lib/media/V00002.img" "$work/"
check "mount" vellum mount "$lib" "$mnt"
vellum reindex --sync >"$work/sync"
grep -q 'V00002.*CODE' "$work/sync" || fail "$(cat "$work/sync")"
refuses 1 "not read: V00002" vellum reindex --reset
check "names" test -e "$mnt/CODE/media/library.h"
errno_is ENOMEDIUM open "$mnt/CODE/media/library.h"
check "unmount" vellum unmount "$mnt"
mv "$work/V00002.img" "$lib/media/"

section "the media in another library"
check "init" vellum init "$other" --slots 6 --media 5 --capacity 200M --drives 1
cp --sparse=always "$lib"/media/*.img "$other/media/"
check "mount" vellum mount "$other" "$mnt"
check "reindex" vellum reindex --update
diff "$work/listing" <(volumes_listing) >&2 ||
  fail "another tree"
check "unmount" vellum unmount "$mnt"
dump "$other" moved
same_catalogs before moved
check "mount" vellum mount "$other" "$mnt"
same_trees "$work/tree" "$mnt/ODD"
echo new >"$mnt/CODE/new"
check "copy" vellum copy CODE --wait
check "fsck" vellum fsck CODE --data
check "unmount" vellum unmount "$mnt"

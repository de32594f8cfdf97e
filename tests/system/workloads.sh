#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# D1: what people do on a filesystem, done on a primary volume and compared with
# a native folder; then other readers of UDF read what is left on the medium.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
native=$work/native
mkdir "$mnt" "$native"

make_tree() {
  local tree=$1 i
  mkdir -p "$tree/code" "$tree/odd" "$tree/many"
  # Real input: this project's own sources.
  tar -C "$top" --exclude='./build*' --exclude=./.git -cf - . |
    tar -C "$tree/code" -xf -
  : >"$tree/odd/empty"
  head -c 1 /dev/urandom >"$tree/odd/one-byte"
  head -c 2048 /dev/urandom >"$tree/odd/one-sector"
  head -c 3000001 /dev/urandom >"$tree/odd/odd-size"
  truncate -s 40M "$tree/odd/sparse"
  printf 'island' | dd of="$tree/odd/sparse" bs=1 seek=20M conv=notrunc \
    status=none
  ln "$tree/odd/one-sector" "$tree/odd/second-name"
  ln -s one-sector "$tree/odd/symlink"
  ln -s "$(printf 'x%.0s' {1..1000})" "$tree/odd/long-symlink"
  mkfifo "$tree/odd/fifo"
  printf 'a' >"$tree/odd/$(printf 'n%.0s' {1..255})"
  printf 'b' >"$tree/odd/Größe und 漢字 🙂"
  printf 'c' >"$tree/odd/"$'newline\nand\ttab'
  mkdir -p "$tree/odd/d1/d2/d3/d4/d5/d6/d7/d8"
  printf 'd' >"$tree/odd/d1/d2/d3/d4/d5/d6/d7/d8/deep"
  chmod 4751 "$tree/odd/one-byte"
  chmod 1777 "$tree/odd/d1"
  chown 1234:5678 "$tree/odd/empty"
  setfattr -n user.note -v 'an attribute' "$tree/odd/one-sector"
  setfattr -n user.big -v "$(printf 'v%.0s' {1..900})" "$tree/odd/d1"
  setfacl -m u:1234:rwx "$tree/odd/odd-size"
  touch -d '1999-12-31 23:59:59.123456789 UTC' "$tree/odd/one-byte"
  touch -d '2038-02-01 00:00:00.000000001 UTC' "$tree/odd/d1"
  for i in {1..500}; do printf '%s' "$i" >"$tree/many/file-$i"; done
}

section "a library with two volumes"
check "init" vellum init "$lib" --slots 4 --media 3 --capacity 400M
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name WORK
check "format" vellum format V00002 --name PLAIN
tree=$native/tree
make_tree "$tree"

section "cp -a, rsync -aHAX, tar"
check "cp -a" cp -a "$tree" "$mnt/WORK/cp"
same_trees "$tree" "$mnt/WORK/cp"
check "rsync" rsync -aHAX --modify-window=-1 "$tree/" "$mnt/WORK/rsync/"
same_trees "$tree" "$mnt/WORK/rsync"
check "rsync again" rsync -aHAX --checksum "$tree/" "$mnt/WORK/rsync/"
mkdir "$mnt/WORK/tar"
tar -C "$tree" --xattrs --xattrs-include='user.*' --acls -cf - . |
  tar -C "$mnt/WORK/tar" --warning=no-timestamp --xattrs --xattrs-include='user.*' --acls -xpf -
same_trees "$tree" "$mnt/WORK/tar"
check "tar --compare" tar -C "$tree" -df <(tar -C "$mnt/WORK/cp" -cf - .)

section "find"
diff <(cd "$tree" && find . -newermt 2000-01-01 ! -type d -size +1k | LC_ALL=C sort) \
  <(cd "$mnt/WORK/cp" && find . -newermt 2000-01-01 ! -type d -size +1k |
    LC_ALL=C sort) || fail "find"
check "find -delete" find "$mnt/WORK/tar/many" -name 'file-1*' -delete
[[ $(find "$mnt/WORK/tar/many" -type f | wc -l) -eq 389 ]] ||
  fail "find -delete left $(find "$mnt/WORK/tar/many" -type f | wc -l) files"

section "git"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org
export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
git init -q -b main "$native/repo"
cp -a "$tree/code/media" "$native/repo/"
git -C "$native/repo" add -A
git -C "$native/repo" commit -q -m one
check "git clone" git clone -q "file://$native/repo" "$mnt/WORK/repo"
diff -r --exclude=.git "$native/repo" "$mnt/WORK/repo" || fail "git clone"
echo more >>"$mnt/WORK/repo/media/README.md"
check "git commit" git -C "$mnt/WORK/repo" commit -q -a -m two
check "git gc" git -C "$mnt/WORK/repo" gc -q
check "git fsck" git -C "$mnt/WORK/repo" fsck --strict
[[ -z $(git -C "$mnt/WORK/repo" status --porcelain) ]] || fail "git status"

section "dd"
head -c 20000000 /dev/urandom >"$native/dd"
for target in "$native/dd2" "$mnt/WORK/dd"; do
  dd if="$native/dd" of="$target" bs=1M conv=fsync status=none
  # In the middle, across a border of regions, and beyond the end.
  dd if="$native/dd" of="$target" bs=4099 count=9 seek=31 conv=notrunc \
    status=none
  dd if="$native/dd" of="$target" bs=65536 count=3 seek=10 conv=notrunc,fsync \
    status=none
  dd if="$native/dd" of="$target" bs=1000 count=1 seek=30000 conv=notrunc \
    status=none
  truncate -s -777 "$target"
done
check "dd" cmp "$native/dd2" "$mnt/WORK/dd"
check "dd with O_DIRECT" dd if="$mnt/WORK/dd" of="$work/direct" bs=1M \
  iflag=direct status=none
check "O_DIRECT reads the same" cmp "$native/dd2" "$work/direct"

section "sqlite3 in WAL mode, two writers at once"
db=$mnt/WORK/data.sqlite
[[ $(sqlite3 "$db" 'PRAGMA journal_mode=WAL') == wal ]] || fail "no WAL mode"
sqlite3 "$db" 'CREATE TABLE t(writer INT, n INT, text TEXT)'
writer() {
  local i
  {
    echo '.timeout 20000'
    for i in {1..60}; do
      echo "BEGIN IMMEDIATE;"
      echo "INSERT INTO t SELECT $1, $i, hex(randomblob(500));"
      echo "COMMIT;"
    done
  } | sqlite3 "$db"
}
writer 1 &
first=$!
writer 2 &
second=$!
wait "$first" || fail "writer 1"
wait "$second" || fail "writer 2"
[[ $(sqlite3 "$db" 'SELECT count(*), count(DISTINCT writer) FROM t') == '120|2' ]] ||
  fail "rows are missing"
[[ $(sqlite3 "$db" 'PRAGMA integrity_check') == ok ]] || fail "integrity_check"
checks=$((checks + 2))

section "rename, unlink of an open file, truncation"
check "an unlinked open file keeps its content" python3 -c '
import os, sys
with open(sys.argv[1], "w+b") as file:
    file.write(b"kept" * 100000)
    file.flush()
    os.unlink(sys.argv[1])
    os.fsync(file.fileno())
    file.seek(0)
    assert file.read() == b"kept" * 100000
    assert os.fstat(file.fileno()).st_nlink == 0
' "$mnt/WORK/open"
echo 1 >"$mnt/WORK/a" && echo 2 >"$mnt/WORK/b"
mv -f "$mnt/WORK/a" "$mnt/WORK/b"
[[ $(cat "$mnt/WORK/b") == 1 && ! -e $mnt/WORK/a ]] || fail "rename over a file"
errno_is EXDEV rename "$mnt/WORK/b" "$mnt/PLAIN/b"
errno_is ENOTEMPTY rmdir "$mnt/WORK/cp"
checks=$((checks + 2))

section "another reader's volume: no symlinks, special or sparse files"
mkdir "$mnt/PLAIN/tree"
rsync -a --no-links --no-specials --no-devices --exclude=sparse \
  "$tree/" "$mnt/PLAIN/tree/"
(cd "$mnt/PLAIN" && find . -type f -print0 | sort -z | xargs -0 sha256sum) \
  >"$work/plain.sums"
(cd "$mnt/WORK" && find . -type f -print0 | sort -z | xargs -0 sha256sum) \
  >"$work/work.sums"
listing "$mnt/WORK" >"$work/work.listing"

section "unmount and mount again: all is as it was"
check "unmount" vellum unmount "$mnt"
[[ -z $(ls -A "$mnt") ]] || fail "something is left at $mnt"
check "mount" vellum mount "$lib" "$mnt"
diff "$work/work.listing" <(listing "$mnt/WORK") || fail "after a restart"
same_trees "$tree" "$mnt/WORK/cp"
(cd "$mnt/WORK" && sha256sum --quiet -c "$work/work.sums") ||
  fail "contents after a restart"
check "unmount" vellum unmount "$mnt"

section "the images, without the daemon"
for tag in V00001 V00002; do
  check "fsck of $tag" vellum fsck --image "$lib/media/$tag.img" --data
  errors=$(udfinfo "$lib/media/$tag.img" 2>&1 >/dev/null) ||
    fail "udfinfo $tag: $errors"
  [[ -z $errors ]] || fail "udfinfo $tag says: $errors"
  checks=$((checks + 1))
done
check "7z t" 7z t "$lib/media/V00002.img"
check "mount --image" vellum mount --image "$lib/media/V00001.img" "$mnt"
same_trees "$tree" "$mnt/cp"
errno_is EROFS create "$mnt/new"
check "unmount" vellum unmount "$mnt"

section "libudfread reads back every file with equal SHA-256"
: "${UDF_SUMS:?the path of the libudfread program}"
sums() { grep -oE '^\\?[0-9a-f]{64} ' "$1" | tr -d '\\ ' | LC_ALL=C sort; }
for pair in "V00001 work" "V00002 plain"; do
  read -r tag name <<<"$pair"
  "$UDF_SUMS" "$lib/media/$tag.img" >"$work/udfread.sums" ||
    fail "libudfread could not read $tag"
  # Names that are no UDF names are shortened there: contents are compared.
  missing=$(LC_ALL=C comm -23 <(sums "$work/$name.sums") \
    <(sums "$work/udfread.sums") | wc -l)
  [[ $missing -eq 0 ]] || fail "libudfread misses $missing contents of $tag"
  checks=$((checks + 1))
done
# It shows symlinks and special files as files, too; PLAIN has none.
diff <(sums "$work/plain.sums") <(sums "$work/udfread.sums") ||
  fail "libudfread reads more from V00002 than there is"

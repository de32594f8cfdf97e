#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon as a process: in the foreground under a service manager, its
# signals, how clients find it, and what `vellum` answers by other names and as
# JSON.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
mkdir "$mnt"
check "init" vellum init "$lib" --slots 4 --media 3 --capacity 32M

# Waits until a condition holds.
await() {
  local text=$1 i
  shift
  for ((i = 0; i < 400; ++i)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  fail "$text did not happen"
}
has_line() { [[ -f $1 ]] && grep -q "$2" "$1"; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

section "in the foreground, with a service manager's socket"
python3 -u -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("LISTENING")
while True:
    print(s.recv(4096).decode())
' "$work/notify" >"$work/notified" &
await "a socket" has_line "$work/notified" LISTENING
NOTIFY_SOCKET=$work/notify "$VELLUM" mount -f "$lib" "$mnt" \
  >"$work/stdout" 2>"$work/log" &
daemon=$!
await "READY=1" has_line "$work/notified" READY=1
grep -q "MAINPID=$daemon" "$work/notified" || fail "MAINPID is not $daemon"
check "it answers" vellum --mount "$mnt" format V00001 --name ORIG
echo data >"$mnt/ORIG/file"

section "attributes come with a listing"
mkdir "$mnt/ORIG/many"
touch "$mnt/ORIG/many/"{0001..0600}
check "sync" vellum --mount "$mnt" sync
# A mount of its own: its kernel side knows nothing of these files yet. Of a
# backup, because that of a primary keeps nothing.
check "copy" vellum --mount "$mnt" copy ORIG --to V00003 --wait
mkdir "$work/side"
check "mount --volume" vellum --mount "$mnt" mount --volume V00003 "$work/side"
[[ $(LC_ALL=C ls -f "$work/side/many" | wc -l) -eq 602 ]] || fail "the listing"
# Whatever needs the daemon now waits until it is killed.
kill -STOP "$daemon"
code=0
timeout 20 python3 -c '
import os, sys
for path in sys.argv[1:]:
    os.lstat(path)
' "$work/side/many/"{0001..0600} || code=$?
kill -CONT "$daemon"
[[ $code -eq 0 ]] || fail "attributes had to be asked for (exit code $code)"
checks=$((checks + 1))
check "unmount" vellum --mount "$mnt" unmount "$work/side"

section "clients find it"
check "by --library" vellum --library "$lib" status
check "by VELLUM_LIBRARY" env VELLUM_LIBRARY="$lib" "$VELLUM" status
check "by VELLUM_MOUNT" env VELLUM_MOUNT="$mnt" "$VELLUM" status
export VELLUM_MOUNT=$mnt

section "other names, and JSON everywhere"
for name in listcopymedia listmedia mcstat acmtrkstat acmhistdisp mm; do
  ln -s "$VELLUM" "$work/$name"
done
check "listmedia" grep -q V00001 <("$work/listmedia")
check "listcopymedia" grep -q -- --UNUSED-- <("$work/listcopymedia")
check "mcstat" grep -q 1024-1027 <("$work/mcstat")
check "acmhistdisp" grep -q Job <("$work/acmhistdisp")
check "acmtrkstat" grep -q Transaction-Disk <("$work/acmtrkstat")
check "mm" "$work/mm" 1025 1027 0 0 /dev/sg3
grep -q '"volume_tag": *"V00002"' <(vellum media --json) || fail "media --json"
for words in status changer elements drives media copies track history jobs \
  alerts "info ORIG" "sync" "fsck ORIG" inventory "move 1027 1025" \
  "copy ORIG --to V00002 --wait" "jobs 1" "jobs 1 --log" "threshold ORIG 90" \
  "fsck --image $lib/media/V00002.img" "info --image $lib/media/V00002.img"; do
  # shellcheck disable=SC2086  # words
  vellum $words --json >"$work/json" 2>"$work/errors" ||
    fail "$words: $(cat "$work/errors")"
  check "$words --json" python3 -m json.tool "$work/json"
done
vellum copy NOPE --json >"$work/json" 2>"$work/errors" && fail "copy NOPE"
check "an error is JSON, too" python3 -c '
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer["ok"] is False, answer
assert answer["error"]["errno"] == "ENOENT", answer
assert "NOPE" in answer["error"]["message"], answer
' "$work/json"
grep -q '^vellum: .*NOPE' "$work/errors" || fail "no message on stderr"

section "SIGTERM ends it cleanly"
echo more >"$mnt/ORIG/file2"
kill -TERM "$daemon"
await "the end of the daemon" is_gone "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
await "STOPPING=1" has_line "$work/notified" STOPPING=1
[[ -z $(ls -A "$mnt") ]] || fail "the mount is left"
grep -q "is served" "$work/log" || fail "no log on stderr"
[[ ! -s $work/stdout ]] || fail "stdout: $(cat "$work/stdout")"
[[ ! -e $lib/state/mount ]] || fail "state/mount is left"
refuses 3 "not mounted" env -u VELLUM_MOUNT "$VELLUM" --library "$lib" status
check "the volume is clean" vellum fsck --image "$lib/media/V00001.img" --data
check "mount" vellum mount "$lib" "$mnt"
[[ $(cat "$mnt/ORIG/file" "$mnt/ORIG/file2") == $'data\nmore' ]] || fail "data"

section "unmounted from outside"
umount "$mnt" 2>/dev/null || fusermount3 -u "$mnt"
check "it ends by itself, and the library is free" \
  timeout 20 flock "$lib/state/lock" true
check "mount" vellum mount "$lib" "$mnt"

section "a mount that is in use"
exec 8<"$mnt/ORIG/file"
refuses 1 "$mnt: files are open on it: close them, or .*all the same \(--force" \
  timeout 20 "$VELLUM" unmount "$mnt"
check "it is still served" cat "$mnt/ORIG/file"
# Its medium is in a drive: what an image says may be half of a commit.
image=$lib/media/V00001.img
refuses 1 "$image: a drive of a running library has it" \
  vellum fsck --image "$image"
check "info --image all the same" vellum info --image "$image"
vellum info --image "$image" >"$work/info" 2>"$work/warning" ||
  fail "info --image: $(cat "$work/warning")"
grep -q "warning: image $image: a drive of a running library has it" \
  "$work/warning" ||
  fail "info --image of an image in a drive warns of nothing"
grep -q ORIG "$work/info" || fail "info --image says no volume"
check "unmount --force" timeout 20 "$VELLUM" unmount --force "$mnt"
exec 8<&-
check "the library is free" timeout 20 flock "$lib/state/lock" true
check "nothing was lost" vellum fsck --image "$lib/media/V00001.img" --data

section "a killed daemon's mount is removed without asking other daemons"
other=$work/other
mkdir "$other"
check "init" vellum init "$work/library2" --slots 4 --media 3 --capacity 32M
check "mount" vellum mount "$work/library2" "$other"
check "mount" vellum mount "$lib" "$mnt"
pid_of() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["pid"])' \
    "$1/.vellum/status.json"
}
stopped=$(pid_of "$other")
killed=$(pid_of "$mnt")
kill -STOP "$stopped"
kill -KILL "$killed"
await "the end of the daemon" is_gone "$killed"
if ! timeout 20 "$VELLUM" unmount "$mnt"; then
  kill -CONT "$stopped"
  fail "unmount of a killed daemon's mount"
fi
kill -CONT "$stopped"
[[ -z $(ls -A "$mnt") ]] || fail "the mount is left"
check "unmount" vellum unmount "$other"

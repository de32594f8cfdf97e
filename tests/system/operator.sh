#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What goes wrong at an operator's hand: open files, lost bar codes, devices
# that are offline, full slots. Nothing is lost, and the exit code says so.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
mkdir "$mnt"
check "init" vellum init "$lib" --slots 6 --media 6 --capacity 32M
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name P
echo one >"$mnt/P/one"
check "copy" vellum copy P --to V00002 --wait

section "a volume whose files are open is not formatted"
exec {open}<>"$mnt/P/one"
refuses 1 "V00001.*1 of the files of P is open" \
  vellum format V00001 --name Q --clear
exec {open}>&-
check "it is there" grep -q one "$mnt/P/one"

section "a backup whose bar code is lost is known by its label"
echo two >"$mnt/P/two"
check "fault" vellum fault lost-bar-code V00002
check "the changer tells" vellum reindex --sync
refuses 5 "V00002" vellum copy P --to 1025 --wait
check "another medium is taken" vellum copy P --wait
check "fault clear" vellum fault clear
check "inventory" vellum inventory
check "the old backup is whole" vellum fsck V00002
check "and was not written" grep -q '"number": *1\b\|/1' \
  <(vellum backup-info V00002 --json)

section "an offline library says nothing of its media"
check "offline" vellum library offline
refuses 1 "library is offline" vellum inventory --all
check "online" vellum library online
! grep -q UNREADABLE <(vellum media) || fail "$(vellum media)"

section "an import that finds no room"
check "export" vellum export V00002
refuses 1 "exported" vellum load V00002
check "a medium for the slot" vellum door take V00002
check "a new one" vellum door put V00099 --new
check "import" vellum import
check "the old one is back at the door" vellum door put V00002
refuses 1 "not imported: V00002" vellum import
check "unmount" vellum unmount "$mnt"

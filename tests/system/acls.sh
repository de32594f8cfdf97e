#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# POSIX ACLs on a primary: the same steps there and in a native folder leave
# the same ACLs, modes and attributes, and let the same users in. Then copies of
# trees with ACLs, backups, read-only mounts.
# shellcheck source=tests/system/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lib=$work/library
mnt=$work/mnt
export VELLUM_MOUNT=$mnt
native=$work/native
side=$work/side
mkdir "$mnt" "$native" "$side"
# Other users reach what the test makes.
chmod 755 "$work"

# What the steps and the access checks have in common; names of users:
#   owner 1001 (group 2001, in 2002 too), friend 1002 (2009, named by ACLs),
#   mate 1003 (2001), member 1004 (2009, in 2003, which ACLs name),
#   stranger 1005 (2009).
cat >"$work/users.sh" <<'USERS'
as() {
  local user=$1 ids
  shift
  case $user in
    root) "$@"; return ;;
    owner) ids=(1001 2001 2002) ;;
    friend) ids=(1002 2009 2009) ;;
    mate) ids=(1003 2001 2001) ;;
    member) ids=(1004 2009 2003) ;;
    stranger) ids=(1005 2009 2009) ;;
  esac
  setpriv --reuid="${ids[0]}" --regid="${ids[1]}" --groups="${ids[2]}" -- "$@"
}
USERS
# shellcheck disable=SC1091
source "$work/users.sh"

# Modes, owners, ACLs and attributes of everything in a folder.
acls() {
  (
    cd "$1" || exit
    find . -printf '%P %y %m %U:%G %n\n' | LC_ALL=C sort
    find . ! -type l -print0 | LC_ALL=C sort -z |
      xargs -0 getfacl -n --absolute-names --
    # Names only: whether an ACL says more than the mode shows here.
    find . ! -type l -print0 | LC_ALL=C sort -z |
      xargs -0 getfattr -m - --absolute-names --
  )
}

# Who can do what with everything in a folder, tried and not asked.
access() {
  local user path
  (
    cd "$1" || exit
    # Nobody's answer is to depend on the place that the folder is in.
    while read -r -d '' path; do
      for user in owner friend mate member stranger; do
        if [[ -d $path ]]; then
          as "$user" bash -c '
            can=
            ls "$1" && can+=r
            touch "$1/try" && rm -f "$1/try" && can+=w
            cd "$1" && can+=x
            echo "$2 $1 $can" >&3' _ "$path" "$user" 3>&1 >/dev/null 2>&1
        else
          as "$user" bash -c '
            can=
            cat "$1" && can+=r
            : >>"$1" && can+=w
            "$1" && can+=x
            echo "$2 $1 $can" >&3' _ "$path" "$user" 3>&1 >/dev/null 2>&1
        fi
      done
    done < <(find . \( -type f -o -type d \) -print0 | LC_ALL=C sort -z)
  )
}

# step USER COMMAND: in both folders, with the same outcome and result.
step() {
  local user=$1 command=$2 tree
  for tree in "$native/tree" "$mnt/WORK/tree"; do
    (
      cd "$tree" || exit
      code=0
      as "$user" bash -c "$command" 2>&1 || code=$?
      echo "exit $code"
    ) >"$work/outcome.$(basename "$(dirname "$tree")")"
  done
  diff "$work/outcome.native" "$work/outcome.WORK" >&2 ||
    fail "another outcome: $command"
  # The kernel has been asked for all of it before: what it kept must not stay.
  diff <(acls "$native/tree") <(acls "$mnt/WORK/tree") >&2 ||
    fail "another result: $command"
  checks=$((checks + 1))
}

same_access() {
  diff <(access "$native/tree") <(access "$mnt/WORK/tree") >&2 ||
    fail "access differs: $1"
  checks=$((checks + 1))
}

section "a volume, and a native folder that keeps ACLs"
check "init" vellum init "$lib" --slots 4 --media 3 --capacity 64M
check "mount" vellum mount "$lib" "$mnt"
check "format" vellum format V00001 --name WORK
mkdir "$native/tree" "$mnt/WORK/tree"
check "the native folder keeps ACLs" \
  setfacl -m u:1002:rx,d:u:1002:r "$native/tree"
[[ -n $(getfattr -m - "$native/tree" --absolute-names) ]] ||
  fail "the native folder does not list ACLs"
setfacl -b "$native/tree"
chown 1001:2001 "$native/tree" "$mnt/WORK/tree"
chmod 755 "$native/tree" "$mnt/WORK/tree"

section "access ACLs and the mode"
step owner 'printf "#!/bin/true\n" >f; chmod 640 f'
step owner 'setfacl -m u:1002:rw f'
same_access "a named user"
step owner 'setfacl -m g:2003:rx,u:1005:- f'
same_access "a named group, and nothing for one user"
step owner 'chmod 600 f'
same_access "chmod takes the mask away"
step owner 'chmod 674 f'
same_access "chmod gives the mask"
step owner 'setfacl -m m::r f'
same_access "the mask limits named entries"
step owner 'stat -c %a f; setfacl -m m::rwx,o::x f; stat -c %a f'
step owner 'setfacl -x u:1002 f'
step owner 'setfacl -x g:2003,u:1005 f'
step owner 'setfacl -b f'
same_access "no ACL"
step owner 'setfacl -m u::rwx,g::rx,o::- f'
step owner 'setfacl -m u:1002:rw f; setfacl --set u::rw,g::r,o::r f'
step owner 'setfacl -n -m u:1002:rwx,m::- f; chmod g+r f'
step owner 'ln f second; setfacl -m u:1003:x second; rm second'
step owner 'setfattr -x system.posix_acl_access f'
step owner 'setfattr -x system.posix_acl_access f'
step owner 'setfattr -n system.posix_acl_access -v 0x0200 f'
step owner 'setfattr -n system.posix_acl_access -v 0x0300000001000600 f'
step owner 'setfattr -n system.posix_acl_access -v 0x02000000 f'
step owner 'ln -s f link; setfacl -m u:1002:rw link; getfacl -n link'
step friend 'setfacl -m u:1002:rwx f'
step root 'setfacl -m u:1002:rwx f'
# A small file's content and a large ACL have no room in one entry.
step owner 'head -c 1500 /dev/zero >small; for i in {1..60}; do
  echo "u:$((3000 + i)):r"; done | setfacl -M - small; cksum <small'

section "default ACLs, inherited by what is made"
step owner 'mkdir d plain; setfacl -d -m u:1002:rwx,g:2003:rx d'
step owner 'setfacl -d -m u:1002:rwx f'
step owner 'umask 077; touch d/a; mkdir d/sub; mkfifo d/fifo; ln -s a d/link'
step owner 'umask 027; touch d/sub/b; mkdir -p d/sub/x/y; cp f d/sub/x/copied'
step owner 'umask 0; touch d/all; mkdir d/alldir; touch plain/all'
step owner 'umask 027; touch plain/masked; mkdir plain/dir; mkfifo plain/fifo'
step owner 'umask 077; mkdir -m 700 d/closed; install -m 751 f d/installed'
step owner 'python3 -c "import os; os.close(os.open(\"d/o\", os.O_CREAT, 0o604))"'
step root 'umask 022; touch d/roots; mknod d/null c 1 3; mkdir d/rootdir'
same_access "inherited"
step owner 'setfacl -d -m o::- d; mkdir d/none; touch d/none/f'
step owner 'setfacl --set d:u::rwx,d:g::rx,d:o::- plain; mkdir plain/sub
  touch plain/sub/f; umask 077; touch plain/f'
step owner 'setfacl -R -m g:2003:rwX,d:g:2003:rwX d'
same_access "setfacl -R"
step owner 'chmod g+s d; mkdir d/setgid; touch d/setgid/f'
step owner 'setfacl -k d; umask 027; touch d/after; mkdir d/afterdir'
step owner 'setfattr -x system.posix_acl_default d'
step owner 'mv d/sub plain/moved; touch plain/moved/new'
step owner 'getfacl -nR plain >backup; setfacl -bR plain
  setfacl --restore=backup; rm backup'
same_access "at the end"

section "set-user-id and set-group-id bits"
step root 'touch s; chown 1001:2003 s; chmod 6775 s'
step owner 'setfacl -m u:1002:rwx s'
step root 'chown 1001:2002 s; chmod 6775 s'
step owner 'setfacl -m u:1002:rw s'
step owner 'setfacl -b s'
step root 'chmod 6777 s; setfacl -m u:1005:rwx s'
step stranger 'echo x >>s'
step root 'chown 1003:2001 s; chmod 4750 s; chown 1001 s'

section "ACLs that do not fit"
many=$(for i in {1..250}; do printf 'u:%d:r,' "$((3000 + i))"; done)
refuses 1 "no space left" setfacl -m "${many%,}" "$mnt/WORK/tree/f"
diff <(acls "$native/tree") <(acls "$mnt/WORK/tree") >&2 ||
  fail "a refused ACL left something"
# One fits the folder, but not twice: as access and as default ACL.
mkdir "$mnt/WORK/wide"
wide=$(for i in {1..100}; do printf 'u:%d:r,' "$((3000 + i))"; done)
check "a wide default ACL" setfacl -d -m "${wide%,}" "$mnt/WORK/wide"
refuses 1 "no space left" mkdir "$mnt/WORK/wide/dir"
check "a file takes one" touch "$mnt/WORK/wide/file"

section "cp -a, rsync -aHAX, tar --acls"
check "cp -a" cp -a "$native/tree" "$mnt/WORK/cp"
diff <(acls "$native/tree") <(acls "$mnt/WORK/cp") >&2 || fail "cp -a"
same_trees "$native/tree" "$mnt/WORK/cp"
# Without the window rsync compares whole seconds only, and leaves the time of a
# directory that it has just made in the same second.
check "rsync" rsync -aHAX --modify-window=-1 "$native/tree/" "$mnt/WORK/rsync/"
same_trees "$native/tree" "$mnt/WORK/rsync"
check "rsync back" rsync -aHAX --modify-window=-1 "$mnt/WORK/rsync/" "$native/back/"
same_trees "$native/tree" "$native/back"
diff <(acls "$native/tree") <(acls "$native/back") >&2 || fail "rsync -aHAX"
mkdir "$mnt/WORK/tar"
tar -C "$native/tree" --acls -cf - . | tar -C "$mnt/WORK/tar" --acls -xpf -
diff <(acls "$native/tree") <(acls "$mnt/WORK/tar") >&2 || fail "tar --acls"
checks=$((checks + 2))

section "after a restart"
acls "$mnt/WORK" >"$work/before"
check "unmount" vellum unmount "$mnt"
check "mount" vellum mount "$lib" "$mnt"
diff "$work/before" <(acls "$mnt/WORK") >&2 || fail "after a restart"
same_access "after a restart"

section "a backup shows ACLs and keeps them"
run_job "$mnt" "copy WORK to=V00002"
backup=$(python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))[0]["target"])' "$mnt/.vellum/jobs.json")
diff <(acls "$mnt/WORK") <(acls "$mnt/$backup") >&2 || fail "ACLs of $backup"
refuses 1 "read-only file system" setfacl -m u:1:r "$mnt/$backup/tree/f"
refuses 1 "read-only file system" setfacl -b "$mnt/$backup/tree/f"
refuses 1 "read-only file system" setfacl -k "$mnt/$backup/tree/plain"
refuses 1 "read-only file system" \
  setfacl -d -m u:1:r "$mnt/$backup/tree/plain"

section "read-only mounts let in whom the ACLs let in"
readers() {
  local user
  for user in owner friend mate member stranger; do
    (cd "$1" && find tree -type f -print0 | LC_ALL=C sort -z |
      while read -r -d '' path; do
        if as "$user" cat "$path" >/dev/null 2>&1; then echo "$user $path"; fi
      done)
  done
}
readers "$mnt/WORK" >"$work/readers"
diff "$work/readers" <(readers "$native") >&2 || fail "readers of the primary"
check "mount --volume" vellum mount --volume "$backup" "$side"
diff "$work/readers" <(readers "$side") >&2 || fail "readers of the volume"
diff <(acls "$mnt/WORK") <(acls "$side") >&2 || fail "ACLs of the volume"
refuses 1 "read-only file system" setfacl -m u:1:r "$side/tree/f"
check "unmount" vellum unmount "$side"
check "unmount" vellum unmount "$mnt"
for tag in V00001 V00002; do
  check "fsck of $tag" vellum fsck --image "$lib/media/$tag.img"
done
check "mount --image" vellum mount --image "$lib/media/V00001.img" "$mnt"
diff "$work/readers" <(readers "$mnt") >&2 || fail "readers of the image"
diff "$work/before" <(acls "$mnt") >&2 || fail "ACLs of the image"
refuses 1 "read-only file system" setfacl -m u:1:r "$mnt/tree/f"
check "unmount" vellum unmount "$mnt"

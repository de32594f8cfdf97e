# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the system tests share. A test sources this file with VELLUM (the
# program) set, and gets: $work, a temporary folder that is gone at the end,
# whatever happens; no daemon that it started outlives it.
set -euo pipefail

: "${VELLUM:?the path of the vellum program}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # for the tests
top=$(cd "$here/../.." && pwd)
# Global options of another library must not reach into the test.
unset VELLUM_MOUNT VELLUM_LIBRARY

work=$(mktemp -d "${TMPDIR:-/tmp}/vellum-test.XXXXXX")
checks=0

vellum() { "$VELLUM" "$@"; }

# Mount points below $work, the last one first.
mounts_below_work() {
  local target
  while read -r target; do
    printf '%b\n' "$target"  # blanks stand there as \040
  done < <(awk -v w="$work/" 'index($2, w) == 1 {print $2}' /proc/self/mounts |
    tac)
}

cleanup() {
  local code=$? mount pid
  set +e
  trap : INT TERM  # a second one must not break this off
  cd /
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null; done
  while read -r mount; do
    timeout 20 "$VELLUM" unmount --force "$mount" >/dev/null 2>&1 ||
      fusermount3 -uz "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null
  done < <(mounts_below_work)
  for pid in $(daemons_below_work); do kill -9 "$pid" 2>/dev/null; done
  while read -r mount; do umount -l "$mount"; done < <(mounts_below_work)
  rm -rf --one-file-system "$work"
  if [[ $code -eq 0 ]]; then
    echo "$(basename "$0"): $checks checks passed"
  else
    echo "$(basename "$0"): FAILED (exit $code) after $checks checks" >&2
  fi
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Processes of this program that were started with a path below $work.
daemons_below_work() {
  local dir
  for dir in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$dir/cmdline" | grep -qF -- "$work/" &&
      [[ $(readlink "$dir/exe" 2>/dev/null) == "$(readlink -f "$VELLUM")" ]]
    then
      echo "${dir#/proc/}"
    fi
  done
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

section() { printf -- '--- %s\n' "$*"; }

# check TEXT COMMAND...: the command succeeds.
check() {
  local text=$1
  shift
  # No pipe: what a daemon starts before it leaves its terminal may keep it open.
  if ! "$@" >"$work/output" 2>&1; then
    tail -n 20 "$work/output" >&2
    fail "$text ($*)"
  fi
  checks=$((checks + 1))
}

# refuses CODE PATTERN COMMAND...: the command exits with CODE and its output
# has the (extended, any case) pattern.
refuses() {
  local code=$1 pattern=$2 output got=0
  shift 2
  output=$("$@" 2>&1) || got=$?
  [[ $got -eq $code ]] ||
    fail "exit code $got, not $code: $* (said: $output)"
  grep -qiE -- "$pattern" <<<"$output" ||
    fail "'$*' does not say '$pattern' but: $output"
  checks=$((checks + 1))
}

# errno_is NAME CALL ARGUMENT...: the system call (see errno.py) ends with that
# errno, or OK.
errno_is() {
  local want=$1 got
  shift
  got=$(python3 -B "$here/errno.py" "$@")
  [[ $got == "$want" ]] || fail "$*: $got, not $want"
  checks=$((checks + 1))
}

# The answer to a command of the control tree; fails as the command does.
command_answer() {
  local mount=$1 text=$2 fd code=0
  exec {fd}<>"$mount/.vellum/command"
  # A builtin would print an error of its own; the answer says it better.
  printf '%s' "$text" 1>&"$fd" 2>/dev/null || code=1
  cat <&"$fd"
  exec {fd}>&-
  return "$code"
}

# Starts a job by a write to a control file; prints its number.
start_job() {
  local mount=$1 text=$2 answer
  answer=$(command_answer "$mount" "$text") || fail "$text: $answer"
  sed -n 's/.*"job":\([0-9]*\).*/\1/p' <<<"$answer"
}

# Waits for the end of a job; prints how it ended.
job_end() {
  local mount=$1 job=$2 state=""
  while true; do
    state=$(head -n 1 "$mount/.vellum/jobs/$job/status")
    case $state in
      done | failed | cancelled)
        echo "$state"
        return
        ;;
    esac
    sleep 0.05
  done
}

# run_job MOUNT COMMAND: starts the job and expects it to be done.
run_job() {
  local mount=$1 text=$2 job state
  job=$(start_job "$mount" "$text")
  state=$(job_end "$mount" "$job")
  if [[ $state != "done" ]]; then
    cat "$mount/.vellum/jobs/$job/status" "$mount/.vellum/jobs/$job/log" >&2
    fail "job $job ($text) is $state"
  fi
  checks=$((checks + 1))
}

# Two trees are equal: names, kinds, modes, owners, times to the nanosecond,
# sizes, links, targets, contents, extended attributes and ACLs.
same_trees() {
  local a=$1 b=$2 difference
  difference=$(rsync -aHAX --checksum --dry-run --itemize-changes --delete \
    "$a/" "$b/")
  [[ -z $difference ]] || fail "$a and $b differ: ${difference:0:2000}"
  diff <(listing "$a") <(listing "$b") >&2 || fail "listings of $a and $b"
  checks=$((checks + 1))
}

listing() {
  (cd "$1" && find . -type d -printf '%P %y %m %U %G %T@\n' -o \
    -printf '%P %y %m %U %G %s %n %T@ %l\n' | LC_ALL=C sort)
}

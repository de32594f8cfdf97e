#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitized.sh COMMAND [ARGUMENT...]: runs a test whose programs are built with a
# sanitizer. What they report, a daemon without a terminal too, goes to files; any
# report makes the test fail. The exit code is the command's, or 99 for a report.
# The files of a test that is killed stay, below VELLUM_REPORTS if that is set.
set -uo pipefail

reports=$(mktemp -d ${VELLUM_REPORTS:+-p "$VELLUM_REPORTS"})
for name in ASAN LSAN TSAN UBSAN; do
  options=${name}_OPTIONS
  export "$options=${!options:+${!options}:}log_path=$reports/$name:print_suppressions=0"
done

code=0
"$@" || code=$?
for report in "$reports"/*; do
  [[ -s $report ]] || continue
  printf '##### %s\n' "${report##*/}"
  cat "$report"
  code=99
done
rm -rf "$reports"
exit "$code"

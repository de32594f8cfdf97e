#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pjdfstest (tests/third_party) on a mounted primary and on a native tmpfs.

Both run at the same time. Each assertion that does not hold on the volume must
be in deviations.txt, with its reason, and each one that is there must not hold;
the same for those that do not hold natively, which are lines with `native`. At
the end what cannot pass (a read-only directory) must be noticed, and so must a
line of deviations.txt that is not true.

PJDFSTEST names the helper program. Needs root.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

from harness import Failure, Library, expect  # noqa: E402

SUITE = os.path.join(os.path.dirname(HERE), "third_party", "pjdfstest")
PROGRAM = os.path.abspath(os.environ.get("PJDFSTEST",
                                         "build/tests/pjdfstest"))
AT_ONCE = 8  # files of one side: most of their time they sleep
PATIENCE = 300  # seconds for one file
PLAN = re.compile(r"^1\.\.(\d+)")
EXEMPT = "# TO" "DO"  # the suite itself does not count it
LINE = re.compile(r"^(not )?ok (\d+)(.*)")


def run_file(name, suite, folder):
    """How many assertions there were, and which of them did not hold."""
    done = subprocess.run(["sh", os.path.join(suite, "tests", name)],
                          cwd=folder, capture_output=True, text=True,
                          check=False, timeout=PATIENCE)
    planned, seen, failed = None, set(), {}
    for line in done.stdout.splitlines():
        if match := PLAN.match(line):
            planned = int(match.group(1))
        elif match := LINE.match(line):
            number = int(match.group(2))
            seen.add(number)
            if match.group(1) and EXEMPT not in match.group(3):
                failed[number] = match.group(3).strip(" -")
    if planned is None or seen != set(range(1, planned + 1)):
        # It ended early: what was not reached does not hold.
        for number in set(range(1, (planned or 1) + 1)) - seen:
            failed[number] = f"not reached: {done.stderr.strip()[-200:]}"
    return len(seen), failed


def run_suite(names, suite, folder):
    """(file, assertion) -> what was said of each that does not hold."""
    count, wrong = 0, {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, (seen, failed) in zip(names, pool.map(
                lambda name: run_file(name, suite, folder), names)):
            count += seen
            wrong.update({(name, n): text for n, text in failed.items()})
    return count, wrong


def read_deviations(path):
    """side -> {(file, assertion): reason}"""
    known = {"volume": {}, "native": {}}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            side, name, numbers, reason = line.split(maxsplit=3)
            for number in numbers.split(","):
                first, _, last = number.partition("-")
                for n in range(int(first), int(last or first) + 1):
                    known[side][(name, n)] = reason.strip()
    return known


def unexpected(side, wrong, known):
    """What is not as deviations.txt says."""
    lines = [f"{side}: {name} {n} does not hold: {text}"
             for (name, n), text in sorted(wrong.items())
             if (name, n) not in known]
    return lines + [
        f"{side}: {name} {n} holds, deviations.txt says it does not: {reason}"
        for (name, n), reason in sorted(known.items())
        if (name, n) not in wrong]


def prepare_suite(work):
    """The scripts look for the program above the folder that they are in."""
    suite = os.path.join(work, "suite")
    os.mkdir(suite)
    os.symlink(os.path.join(SUITE, "tests"), os.path.join(suite, "tests"))
    os.symlink(PROGRAM, os.path.join(suite, "pjdfstest"))
    return suite


def controls(suite, native):
    """What is wrong must be noticed."""
    frozen = os.path.join(native, "frozen")
    os.mkdir(frozen)
    subprocess.run(["mount", "--bind", frozen, frozen], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", frozen], check=True)
        _, wrong = run_suite(["mkdir/00.t"], suite, frozen)
    finally:
        subprocess.run(["umount", frozen], check=True)
    lines = unexpected("native", wrong, {})
    expect(any("got EROFS" in line for line in lines),
           f"of a read-only directory it said only: {lines[:3]}")
    expect(unexpected("native", {}, {("mkdir/00.t", 1): "no reason"}),
           "a deviation that is none was not noticed")


def main():
    expect(os.geteuid() == 0, "pjdfstest must be run by root")
    tests = os.path.join(SUITE, "tests")
    names = sorted(os.path.relpath(path, tests) for path in
                   glob.glob(os.path.join(tests, "*", "*.t")))
    expect(len(names) > 200, f"only {len(names)} files in {tests}")
    known = read_deviations(os.path.join(HERE, "deviations.txt"))
    with Library(media=1, capacity="256M", checkpoint_ms=5000) as library:
        os.chmod(library.work, 0o755)
        suite = prepare_suite(library.work)
        native = os.path.join(library.work, "native")
        os.mkdir(native)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=755",
                        "tmpfs", native], check=True)
        library.start()
        library.tell("format V00001 name=VOL threshold=100")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            sides = {side: pool.submit(run_suite, names, suite, folder)
                     for side, folder in (("volume", library.path("VOL")),
                                          ("native", native))}
            results = {side: run.result() for side, run in sides.items()}
        lines = []
        for side, (_, wrong) in results.items():
            lines += unexpected(side, wrong, known[side])
        library.fsck("VOL")
        controls(suite, native)
        library.unmount()
    for side, (count, wrong) in results.items():
        print(f"pjdfstest: {side}: {len(names)} files, {count} assertions, "
              f"{count - len(wrong)} hold, {len(wrong)} do not "
              f"({len(known[side])} expected)")
    if lines:
        raise Failure("\n".join(["not as expected:", *lines]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"pjdfstest: FAILED: {found}", file=sys.stderr)
        sys.exit(1)

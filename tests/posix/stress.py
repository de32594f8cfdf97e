#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stress-ng and fio, as Debian has them, on a mounted primary.

stress-ng: every stressor of its class "filesystem" that is about the file
system under it, for a second, two processes each, with its own verification.
What it skips must be what is listed here. fio: files that carry checksums of
every block, written at random (buffered, O_DIRECT, mmap), read back at once,
after the daemon was killed, and after the medium was closed and loaded again.
At the end fsck; what is wrong on purpose must be noticed.
VELLUM_SECONDS (1): of each stressor.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

from harness import Failure, Library, expect, must_fail  # noqa: E402

# Of that class, but about other things: mounts of their own, event and file
# descriptors, /proc, the I/O scheduler, and fanotify of the whole system.
OTHER = ("bind-mount", "binderfs", "dup", "eventfd", "fanotify", "handle",
         "ioprio", "procfs")
# What no FUSE file system has; README.md says so.
SKIPPED = {"fiemap", "verity"}
BLOCKS = 4096
FIO = {
    "buffered": ["--ioengine=psync"],
    "direct": ["--ioengine=psync", "--direct=1"],
    "mapped": ["--ioengine=mmap"],
}


def stress(folder, seconds, *words):
    return subprocess.run(
        ["stress-ng", *words, "--timeout", f"{seconds}s", "--verify",
         "--temp-path", folder, "--metrics-brief", "--hdd-bytes", "32m",
         "--iomix-bytes", "32m", "--fallocate-bytes", "32m"],
        capture_output=True, text=True, check=False, timeout=900)


def check_stress(done):
    """What it has printed; Failure: what it found."""
    text = done.stdout + done.stderr
    wrong = [line for line in text.splitlines() if ": fail:" in line
             or "aborted early" in line]
    expect(done.returncode == 0 and not wrong,
           f"stress-ng: exit code {done.returncode}\n{text[-4000:]}")
    return text


def run_stress(folder, seconds):
    text = check_stress(stress(
        folder, seconds, "--class", "filesystem", "--sequential", "2",
        "--exclude", ",".join(OTHER)))
    skipped = set(re.findall(r"\] ([a-z-]+): .*skipping", text))
    ran = set(re.findall(r"metrc: \[\d+\] ([a-z-]+) +\d+ +\d+\.", text))
    expect(skipped == SKIPPED, f"stress-ng skipped {sorted(skipped)}, "
           f"expected {sorted(SKIPPED)}\n{text[-4000:]}")
    expect(len(ran) > 30, f"stress-ng ran only {sorted(ran)}")
    return len(ran)


def fio(folder, how, *words):
    """Bytes that it read and verified; Failure says what it found."""
    done = subprocess.run(
        ["fio", f"--name={how}", f"--directory={folder}", "--size=24m",
         "--rw=randwrite", "--bsrange=4k-64k", f"--blockalign={BLOCKS}",
         "--verify=crc32c", "--verify_fatal=1", "--randrepeat=1",
         "--end_fsync=1", "--minimal", *FIO[how], *words],
        capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Failure(f"fio {how} {' '.join(words)}: {done.stderr[-2000:]}"
                      f"{done.stdout[-500:]}")
    row = done.stdout.strip().splitlines()[-1].split(";")
    return 1024 * int(row[5])


def verify_all(folder):
    return sum(fio(folder, how, "--verify_only=1") for how in FIO)


def main():
    seconds = int(os.environ.get("VELLUM_SECONDS", 1))
    with Library(media=1, capacity="1G", checkpoint_ms=1000) as library:
        library.start()
        library.tell("format V00001 name=VOL threshold=100")
        folder = library.path("VOL", "stress")
        os.mkdir(folder)
        ran = run_stress(folder, seconds)
        expect(os.listdir(folder) == [], f"left: {os.listdir(folder)}")
        library.fsck("VOL")

        folder = library.path("VOL", "fio")
        os.mkdir(folder)
        verified = sum(fio(folder, how) for how in FIO)
        library.kill()
        library.unmount()
        library.start()
        verified += verify_all(folder)
        library.unmount()
        library.start()
        verified += verify_all(folder)
        library.fsck("VOL")

        with open(os.path.join(folder, "direct.0.0"), "r+b") as file:
            file.seek(5 * BLOCKS + 100)
            file.write(b"changed")
        must_fail("a changed block",
                  lambda: fio(folder, "direct", "--verify_only=1"),
                  "crc32c: verify failed at file ",
                  f"direct.0.0 offset {5 * BLOCKS}, ")
        # No directory can be made there.
        must_fail("that files cannot be renamed in /proc",
                  lambda: check_stress(stress("/proc", 1, "--rename", "1")),
                  "exit code 2", "fail: ", "rename: mkdir ")
        library.unmount()
    print(f"stress: {ran} stressors of stress-ng for {seconds} s each, 0 "
          f"failed, skipped {', '.join(sorted(SKIPPED))}; fio: {len(FIO)} "
          f"files, {verified >> 20} MiB verified, at once, after a kill and after "
          "a reload, 0 blocks wrong; fsck clean; the changed block "
          "was noticed")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"stress: FAILED: {found}", file=sys.stderr)
        sys.exit(1)

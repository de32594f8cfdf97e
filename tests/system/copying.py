#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills and power cuts inside copies, before each write and flush.

Copies of each mode (image over the only backup, image over one of two,
streaming to an unused medium, incremental, by file): the daemon dies before the
writes and flushes that the copy makes to media, catalog and spool, one after the
other (deaths.py counts them), as a kill or as a power cut, which loses all or
some of what was not flushed. Right then, with no daemon, the target is by itself
the old or the new generation, or incomplete: a backup only if the job's log had
announced that there is no atomic commit; every other medium is what it was. After
the restart the job goes on by itself (or was never taken), the backup is exactly
the new generation, by its mount, by `compare` and by `fsck`; no medium of the
pool is lost, nothing is left in the spool, and all media are in their slots. At
the end of each mode it must be noticed when flushed writes are lost all the same.
VELLUM_FAULT_STEP=N dies before every Nth (4; the first by the seed), VELLUM_DEATHS=3
in all three ways each time instead of one in turn; VELLUM_ROUNDS (0: all) limits
the places of each mode; VELLUM_SEED repeats a run.
"""

import json
import os
import sys
import time

from deaths import DeathTest
from harness import (Failure, Library, ReadOnlyMount, describe_tree, expect,
                     must_fail, seed_and_rounds)

STEP = 4
ANNOUNCED = "without an atomic commit"
MEDIA = 4


class Scenario:
    """One copy. `others`: backups beside the target that stay what they are."""

    def __init__(self, name, start, mode, target, words="", backup=True,
                 announced=False):
        self.name, self.start, self.target = name, start, target
        self.command = f"copy VOL {words}mode={mode} to={target}"
        self.backup = backup  # the target is one before
        self.announced = announced  # it may be given up
        self.files = mode == "files"
        self.others = [m for m in ("V00002", "V00003")
                       if m != target and (m == "V00002" or start == "two")]


SCENARIOS = [
    Scenario("image over the only backup", "one", "image", "V00002"),
    Scenario("image over one of two", "two", "image", "V00002",
             announced=True),
    Scenario("streaming", "one", "streaming", "V00004", backup=False),
    Scenario("incremental", "one", "incremental", "V00002"),
    Scenario("by file", "one", "files", "V00004", words="/ recursive=yes ",
             backup=False),
]


class Counts:
    old = new = incomplete = announced = blank = resumed = again = 0


def files_of(tree):
    """What a copy by file keeps of the files of a tree: not the ctimes. Without
    those that it is writing."""
    return {path: row[:3] + row[4:6] + row[7:] for path, row in tree.items()
            if row[0] & 0o170000 == 0o100000
            and not path.startswith(".vellum-copy~")}


class Test(DeathTest):
    def __init__(self, library, seed):
        super().__init__(library, seed)
        self.old = None  # what the backups hold at the start
        self.new = {}  # what VOL holds, by start
        self.first_job = 0  # that a death can meet
        self.counts = Counts()

    def prepare(self):
        library = self.library
        library.start()
        library.tell("format V00001 name=VOL")
        for name in ("a", "b"):
            os.makedirs(library.path("VOL", "folder", name))
        for i in range(6):
            path = library.path("VOL", "folder", "ab"[i % 2], f"file{i}")
            with open(path, "wb") as file:
                file.write(self.rng.randbytes(30_000 * i))
            os.chmod(path, 0o600 + i)
            os.utime(path, ns=(10**18 + i, 10**18 + 12345 * i))
        self.old = self.copy_old("V00002")
        library.unmount()
        self.save("old")
        library.start()
        self.copy_old("V00003")
        self.change("two")
        self.go_back("old")
        library.start()
        self.change("one")

    def copy_old(self, medium):
        self.library.tell("sync VOL")
        row = self.library.wait_job(self.library.tell(
            f"copy VOL mode=streaming to={medium}")["job"])
        expect(row["state"] == "done", f"copy: {row}")
        return describe_tree(self.library.path("VOL"))

    def change(self, start):
        """To the generation that is copied; saves that as `start`."""
        library = self.library
        for i in range(1, 6, 2):
            path = library.path("VOL", "folder", "b", f"file{i}")
            with open(path, "r+b") as file:
                file.write(b"%d changed " % i * 700)
            os.utime(path, ns=(2 * 10**18 + i, 2 * 10**18 + 54321 * i))
        os.unlink(library.path("VOL", "folder", "a", "file4"))
        with open(library.path("VOL", "folder", "a", "later"), "wb") as file:
            file.write(b"later " * 20_000)
        library.tell("sync VOL")
        self.new[start] = describe_tree(library.path("VOL"))
        library.unmount()
        self.save(start)

    def begin(self, scenario):
        self.go_back(scenario.start)
        self.library.start()
        self.library.tell("fsck VOL")  # it is in a drive

    # --- With no daemon

    def state(self, medium):
        """As its control slot says; None: there is no volume."""
        info = self.library.call("info", "--image", self.library.image(medium),
                                 "--json", codes=(0, 1))
        if info.returncode != 0:
            return None
        return json.loads(info.stdout)["state"]

    def tree(self, medium):
        with ReadOnlyMount(self.library,
                           image=self.library.image(medium)) as side:
            return describe_tree(side)

    def is_tree(self, what, seen, wanted):
        for path in sorted(seen.keys() | wanted.keys()):
            expect(seen.get(path) == wanted.get(path),
                   f"{what}: {path} is {str(seen.get(path))[:150]}, not "
                   f"{str(wanted.get(path))[:150]}")

    def look_at_target(self, scenario):
        """"old", "new", "blank", "incomplete"."""
        new, medium = self.new[scenario.start], scenario.target
        state = self.state(medium)
        if state in (None, "formatted"):
            expect(not scenario.backup, f"{medium} was a backup")
            return "blank"
        if state == "incomplete":
            expect(not scenario.backup or scenario.announced,
                   f"{medium} is incomplete")
            return state
        seen = self.tree(medium)
        if scenario.files:
            for path, row in files_of(seen).items():
                expect(row == files_of(new).get(path),
                       f"{medium}: {path} is {str(row)[:150]}")
            return "new" if len(files_of(seen)) == len(files_of(new)) else "old"
        if scenario.backup and seen == self.old:
            return "old"
        self.is_tree(f"{medium} (state {state})", seen, new)
        return "new"

    def look_at_media(self, scenario):
        found = self.look_at_target(scenario)
        self.is_tree("V00001", self.tree("V00001"), self.new[scenario.start])
        for medium in scenario.others:
            expect(self.state(medium) == "complete", f"{medium} is no backup")
            self.is_tree(medium, self.tree(medium), self.old)
        return found

    # --- With the daemon

    def expect_announced(self, job):
        with open(self.library.control("jobs", str(job), "log"),
                  encoding="utf-8") as file:
            log = file.read()
        expect(ANNOUNCED in log, f"given up without a word: {log}")
        self.counts.announced += 1

    def go_on(self, scenario, given_up):
        library = self.library
        jobs = [row["id"] for row in library.table("jobs")
                if row["id"] >= self.first_job]
        expect(jobs or self.job is None, f"job {self.job} was answered, and lost")
        expect(jobs or not given_up, "no job, but the backup is incomplete")
        if jobs:
            expect(len(jobs) == 1, f"jobs: {jobs}")
            if given_up:
                self.expect_announced(jobs[0])
            self.counts.resumed += library.took_up_again(jobs[0])
        else:
            self.counts.again += 1
            jobs = [library.tell(scenario.command)["job"]]
        row = library.wait_job(jobs[0])
        expect(row["state"] == "done" and row["medium"] == scenario.target,
               f"job: {row}")
        return row["target"]

    def check(self, scenario):
        found = self.look_at_media(scenario)
        setattr(self.counts, found, getattr(self.counts, found) + 1)
        library, new = self.library, self.new[scenario.start]
        library.start()
        backup = self.go_on(scenario,
                            found == "incomplete" and scenario.backup)
        with ReadOnlyMount(library, volume=backup) as side:
            seen = describe_tree(side)
        if scenario.files:
            self.is_tree(backup, files_of(seen), files_of(new))
        else:
            self.is_tree(backup, seen, new)
            row = library.wait_job(library.tell(f"compare VOL {backup}")["job"])
            expect(row["state"] == "done", f"compare: {row}")
        library.fsck(backup)
        self.is_tree("VOL", describe_tree(library.path("VOL")), new)
        library.fsck("VOL")
        self.check_pool(scenario)
        library.unmount()
        expect(library.places() == self.homes,
               f"not at home: {library.places()}")
        expect(self.look_at_media(scenario) == "new" and
               self.state(scenario.target) in ("complete", "files"),
               f"{scenario.target} at the end: {self.state(scenario.target)}")

    def check_pool(self, scenario):
        known = {scenario.target, *scenario.others}
        rows = self.library.table("copies")
        unused = {row["medium"] for row in rows
                  if row["label"] == "--UNUSED--"}
        held = {row["medium"] for row in rows if row["label"] == "VOL"}
        expect(held == known and unused == set(self.homes) - known - {"V00001"},
               f"the pool: {rows}")
        left = os.listdir(os.path.join(self.library.dir, "spool"))
        expect(not left, f"left in the spool: {left}")

    # --- All of one copy

    def all_of(self, scenario, rounds):
        begin = lambda: self.begin(scenario)
        check = lambda: self.check(scenario)
        self.go_back(scenario.start)
        self.library.start()
        self.first_job = 1 + max(
            (row["id"] for row in self.library.table("jobs")), default=0)
        self.library.unmount()
        tried = self.everywhere(begin, scenario.command, check, STEP, rounds)
        total = len(self.deaths.calls())
        self.control(scenario, begin, check)
        return tried, total

    def control(self, scenario, begin, check):
        """Everything that it wrote is lost, though it was flushed."""
        self.die(begin, scenario.command, 0, "flushed")
        counts, self.counts = self.counts, Counts()
        said = (f"{scenario.target}: folder/a is [" if scenario.backup else
                f"medium {scenario.target} holds no volume, it is blank")
        try:
            must_fail(f"{scenario.name}: that all its writes were lost", check,
                      said)
        finally:
            self.counts = counts
        if self.library.mounts():
            self.library.unmount()


def main():
    seed, rounds = seed_and_rounds("copying", 0)
    begin = time.monotonic()
    with Library(media=MEDIA, slots=MEDIA + 1,
                 checkpoint_ms=3600_000) as library:
        test = Test(library, seed)
        test.prepare()
        places = {s.name: test.all_of(s, rounds) for s in SCENARIOS}
    c = test.counts
    said = ", ".join(f"{name} {tried} of {total}"
                     for name, (tried, total) in places.items())
    print(f"copying: deaths before writes and flushes: {said}; {test.died} "
          f"deaths, {test.cuts} of them power cuts ({test.lost} sectors lost); "
          f"the target was then the old generation {c.old}, the new one "
          f"{c.new}, incomplete {c.incomplete} ({c.announced} of them backups, "
          f"as announced), blank {c.blank} times; {c.resumed} jobs went on by "
          f"themselves, {c.again} had not been taken; all ended; "
          f"{time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"copying: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
